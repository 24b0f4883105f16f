"""What outputs and channels of a source mean, held against those of the new task."""

from collections.abc import Iterator, Sequence

from torch import nn

from ingradient_pl.finetuning.adapt import pair_names
from ingradient_pl.finetuning.counterpart import output_names
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.networks.unet import UNet
from ingradient_pl.task import Task


def check_labels(source: Source, task: Task) -> None:
    """Refuse labels that their names do not tell apart: heads are taken over by name.

    Args:
        source: The weights to start from.
        task: What the new network's outputs mean.

    Raises:
        ValueError: If two labels of one side have one name, whatever its case.
    """
    for origin, one in ((source.origin, source.task), ("the data set", task)):
        twins = [] if one is None else _twins(output_names(one))
        if twins:
            raise ValueError(
                f"Labels {' and '.join(map(repr, twins))} of {origin} are one name with two meanings, and "
                "heads are taken over by name. Rename one of them in dataset.json, and prepare again."
            )


def tell_other_meanings(network: nn.Module, source: Source, task: Task) -> Iterator[str]:
    """Say which names may mean something else here than they did in the source.

    Args:
        network: The new one.
        source: The weights to start from.
        task: What the new network's channels and outputs mean.
    """
    if source.task is None:
        return
    yield from _other_integers(source.task, task, source.origin)
    known, wanted = list(source.task.foreground), list(task.foreground)
    if all(place is None for place in pair_names(wanted, known)):
        yield (
            f"{source.origin} was trained for {', '.join(known)}, none of which is a label here "
            f"({', '.join(wanted)}): its heads are of no use. Is it the source that was meant?"
        )
    yield from _tell_alike("Label", wanted, known, source.origin)
    yield from _tell_alike("Channel", task.channels, source.inputs, source.origin)
    if isinstance(network, UNet) and isinstance(source.network, UNet):
        yield from _other_channels(task.channels, source.inputs, source.origin)
        return
    pairs = (
        ("channels", source.inputs, task.channels),
        ("outputs", source.task.output_names, task.output_names),
    )
    for what, theirs, ours in pairs:
        if pair_names(ours, theirs) != list(range(len(theirs))):
            yield (
                f"The {what} of {source.origin} are {', '.join(theirs)}, here {', '.join(ours)}. Which layer "
                "of this network they belong to is not known, so it was taken where its shape fits."
            )


def _tell_alike(what: str, wanted: Sequence[str], known: Sequence[str], origin: str) -> Iterator[str]:
    """Say which names are two for want of a blank or a sign."""
    there = {_letters(name): name for name in known if name}
    for name, place in zip(wanted, pair_names(wanted, known), strict=True):
        near = there.get(_letters(name)) if place is None else None
        if near is not None:
            yield (
                f"{what} '{name}' is '{near}' in {origin} but for blanks and signs, and is taken for another "
                "one. If it is the same, name it as there in dataset.json, and prepare again."
            )


def _other_channels(wanted: Sequence[str], known: Sequence[str], origin: str) -> Iterator[str]:
    """Say that several channels start alike, since the source has none of their names."""
    if len(wanted) > 1 and any(known) and all(place is None for place in pair_names(wanted, known)):
        yield (
            f"The channels of {origin} are {', '.join(known)}, none of which is here ({', '.join(wanted)}): "
            "all start as their mean. If they are the same, name them as there in dataset.json, and prepare "
            "again."
        )


def _letters(name: str) -> str:
    """Leave letters and digits of a name, whatever their case; all of it where it has none."""
    return "".join(filter(str.isalnum, name.casefold())) or name


def _other_integers(known: Task, task: Task, origin: str) -> Iterator[str]:
    """Say which labels of one name are made of other integers: of more or fewer, or in the same data set."""
    if known.overlap is not None or task.overlap is not None:  # their integers are those of combinations
        return
    here, there = (
        {name.strip().casefold(): (name, values) for name, values in one.in_files.foreground.items()}
        for one in (task, known)
    )
    for plain in here.keys() & there.keys():
        (name, values), (_, before) = here[plain], there[plain]
        same_data = bool(task.name) and task.name == known.name
        if len(values) != len(before) or (same_data and set(values) != set(before)):
            yield (
                f"Label '{name}' is {_list(values)} here and was {_list(before)} in {origin}: one name with "
                "two meanings? Its row of the heads was taken by name. If it means something else, rename it."
            )


def _twins(names: Sequence[str]) -> list[str]:
    plain = [name.strip().casefold() for name in names]
    return [name for name, one in zip(names, plain, strict=True) if plain.count(one) > 1]


def _list(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
