"""Cases that a network was trained on: they must not validate what starts from its weights."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ingradient_pl.phrases import name_some


class TrainedOn(NamedTuple):
    """Cases of one data set that a network was trained on.

    Args:
        cases: Their names.
        data: Name of the data set; empty where it has none.
        path: Of the store.
        sha256: The store's check sum.
        images: Check sum of each case's image, in the order of the cases; empty where none was kept.
    """

    cases: tuple[str, ...]
    data: str = ""
    path: str = ""
    sha256: str = ""
    images: tuple[str, ...] = ()

    def is_same_data(self, other: "TrainedOn") -> bool:
        """Whether names in both mean the same cases: one store, one content or one name of the data set.

        Args:
            other: Cases of another run.
        """
        pairs = ((self.data, other.data), (self.path, other.path), (self.sha256, other.sha256))
        return any(bool(one) and one == two for one, two in pairs)

    def as_plain(self) -> dict[str, Any]:
        """Give it as it is written into the record of a run."""
        return {**self._asdict(), "cases": list(self.cases), "images": list(self.images)}

    @classmethod
    def from_plain(cls, told: Mapping[str, Any]) -> "TrainedOn":
        """Read what :meth:`as_plain` gave; what else stands there is left alone.

        Args:
            told: Plain values of a run's record.
        """
        texts = {name: str(told.get(name, "")) for name in ("data", "path", "sha256")}
        cases, images = (tuple(map(str, told.get(name, ()))) for name in ("cases", "images"))
        return cls(cases=cases, images=images, **texts)


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
                "data.split.number=N (null: all cases train) or data.split.file=FILE so that they train."
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
