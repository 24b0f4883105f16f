"""Cases that a network was trained on: they must not validate what starts from its weights."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from ingradient_pl.finetuning.trained_on import TrainedOn
from ingradient_pl.phrases import name_some


def check_unseen(
    origin: str,
    trained: Sequence[TrainedOn],
    validation: TrainedOn,
    patients: Mapping[str, str] | None = None,
    images: Mapping[str, str] | None = None,
) -> list[str]:
    """Refuse to validate on cases that the weights were trained on, or on other cases of those patients.

    A case is known by its name in the same data set, and by its image anywhere.

    Args:
        origin: Where the weights came from.
        trained: What they were trained on, one entry a data set; empty where nothing tells.
        validation: The cases that would validate.
        patients: The patient of each case of its data set; cases that are not there stand for themselves.
        images: Check sum of the image of each case of its data set; empty where there is none.

    Returns:
        Warnings: the source does not tell, or another data set has cases of the same names.

    Raises:
        ValueError: If a case that trained the weights, or another of its patient, would validate.
    """
    warnings = []
    if not trained:
        warnings.append(
            f"{origin} does not tell which cases it was trained on. If some of them validate now, the scores "
            "flatter: see to it that none does (data.split.file=splits_final.json)."
        )
    of, sums = patients or {}, images or {}
    for known in trained:
        same = known.is_same_data(validation)
        alike = {name for name, image in sums.items() if image and image in set(known.images)}
        seen = {of.get(name, name) for name in (*alike, *(known.cases if same else ()))}
        both = sorted(name for name in validation.cases if of.get(name, name) in seen)
        if both:
            raise ValueError(
                f"{len(both)} validation cases, or their patients, trained {origin}: {name_some(both)}"
                f"{_other_names(known, alike, sums)}. "
                "Their scores would flatter. Keep its division with init_split=source, or divide with "
                "data.split.number=N or data.split.file=FILE so that they train."
            )
        if not same:
            warnings += _same_names(origin, known, validation, sums)
    return warnings


def _other_names(known: TrainedOn, alike: Collection[str], sums: Mapping[str, str]) -> str:
    """Say what cases were called when the weights saw them, where that is another name."""
    before = dict(zip(known.images, known.cases, strict=False))
    renamed = [f"{name} was {before[sums[name]]}" for name in sorted(alike) if before[sums[name]] != name]
    return f" (by their images: {name_some(renamed)})" if renamed else ""


def _same_names(
    origin: str, known: TrainedOn, validation: TrainedOn, sums: Mapping[str, str]
) -> Iterator[str]:
    """Say which cases of another data set have names of cases that trained, and maybe their images."""
    before = dict(zip(known.cases, known.images, strict=False))
    other = {name for name, image in before.items() if image and sums.get(name) not in (None, "", image)}
    both = sorted((set(known.cases) & set(validation.cases)) - other)
    if both:
        yield (
            f"{len(both)} validation cases have names of cases that trained {origin} ({name_some(both)}), in "
            f"another data set ('{known.data}', {known.path or 'of unknown place'}). If they are the "
            "same cases, the scores flatter."
        )
