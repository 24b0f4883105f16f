"""Channels of a source beside those of a model that is to predict it: their order and their names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.records import SourceError
from ingradient_pl.task import Task

UNNAMED = re.compile(r"((image|channel|modality)[ _-]*)?\d*", re.IGNORECASE)
"""Names of channels that say nothing of what they hold."""


def check_order(path: Path, channels: Sequence[str], task: Task) -> None:
    """Refuse a source that has a task's channels in another order; other names than the task's may be right.

    Args:
        path: Of the source, for the message.
        channels: The source's, in its order.
        task: Of the model or the store.

    Raises:
        SourceError: If the names are the same, but not their order.
    """
    found, wanted = ([name.lower() for name in names] for names in (channels, task.channels))
    if found != wanted and sorted(found) == sorted(wanted):
        raise SourceError(
            f"{path}: its channels are {', '.join(channels)}, in this order; the model wants them as "
            f"{', '.join(task.channels)}. Give a table with the columns image_0, image_1, ... in that order."
        )


def describe_channels(channels: Sequence[str], task: Task) -> tuple[str, ...]:
    """Remark on a source whose channels have other names than those that a model was trained on.

    Args:
        channels: The source's, in its order; numbers and the like name nothing.
        task: Of the model.
    """
    pairs = zip(channels, task.channels, strict=False)
    named = [
        (one, other) for one, other in pairs if not UNNAMED.fullmatch(one) and not UNNAMED.fullmatch(other)
    ]
    if all(one.strip().casefold() == other.strip().casefold() for one, other in named):
        return ()
    return (
        f"its channels are called {', '.join(channels)}, those of the model {', '.join(task.channels)}: they "
        "are taken in this order. Are they the same contrasts?",
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
