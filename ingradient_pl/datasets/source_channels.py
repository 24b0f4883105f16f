"""Channels of a source beside those of a model: which is which, by their names and their order."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.records import SourceError
from ingradient_pl.task import Task

UNNAMED = re.compile(r"((image|channel|modality)[ _-]*)?\d*", re.IGNORECASE)
"""Names of channels that say nothing of what they hold."""


def order_channels(path: Path, channels: Sequence[str], task: Task) -> tuple[int, ...]:
    """Find a task's channels among those of a source that has the same ones in another order.

    Args:
        path: Of the source, for the message.
        channels: The source's, in its order.
        task: Of the model.

    Returns:
        Which of the source's channels is each of the task's; nothing where they are taken as they stand: in
        the task's order, or under other names.

    Raises:
        SourceError: If several channels in another order share a name.
    """
    found, wanted = ([name.strip().casefold() for name in names] for names in (channels, task.channels))
    if found == wanted or sorted(found) != sorted(wanted):
        return ()
    if len(set(found)) < len(found):
        raise SourceError(
            f"{path}: its channels are {', '.join(channels)}, in this order; the model wants them as "
            f"{', '.join(task.channels)}, and which is which their names do not say. Give a table with the "
            "columns image_0, image_1, ... in that order."
        )
    return tuple(found.index(name) for name in wanted)


def describe_channels(path: Path, channels: Sequence[str], task: Task) -> tuple[str, ...]:
    """Remark on a source whose channels have other names than a model's, or the same in another order.

    Args:
        path: Of the source, for the remark.
        channels: The source's, in its order; numbers and the like name nothing.
        task: Of the model.
    """
    here, there = ", ".join(channels), ", ".join(task.channels)
    if order_channels(path, channels, task):
        return (f"{path}: its channels are {here}, the model wants {there}: each is taken by its name.",)
    pairs = zip(channels, task.channels, strict=False)
    named = [
        (one, other) for one, other in pairs if not UNNAMED.fullmatch(one) and not UNNAMED.fullmatch(other)
    ]
    if all(one.strip().casefold() == other.strip().casefold() for one, other in named):
        return ()
    return (
        f"{path}: its channels are called {here}, those of the model {there}: they are taken in this order. "
        "Are they the same contrasts?",
    )


def named_channels(described: Mapping[str, Any]) -> list[str]:
    """Give the channels that a description names, in their order; none where it names none.

    Args:
        described: The content of a ``dataset.json``.
    """
    named_there = described.get("channel_names", described.get("modality"))
    if not isinstance(named_there, Mapping) or not all(str(key).isdigit() for key in named_there):
        return []
    return [str(name) for _, name in sorted(named_there.items(), key=lambda entry: int(entry[0]))]
