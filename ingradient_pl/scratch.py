"""Folders in the system's temporary one that no kill leaves behind for good."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingradient_pl.unfinished import forget_unfinished, is_left_over, note_unfinished, unfinished_path

_UNTIL_TRAINING: list[Path] = []
"""Folders of this process that are not needed once a run trains."""


@contextmanager
def scratch_folder(*, until_training: bool = False) -> Iterator[Path]:
    """Give a folder that is removed on leaving; what killed processes of this user left is removed first.

    Args:
        until_training: Whether it may go as soon as a run trains, whose process may be killed at any time.
    """
    place = Path(tempfile.gettempdir())
    _remove_lost(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{unfinished_path(place / 'scratch').name}-", dir=place))
    note_unfinished(folder)
    if until_training:
        _UNTIL_TRAINING.append(folder)
    try:
        yield folder
    finally:
        if folder in _UNTIL_TRAINING:
            _UNTIL_TRAINING.remove(folder)
        shutil.rmtree(folder, ignore_errors=True)
        forget_unfinished(folder)


def clear_scratch() -> None:
    """Remove the folders that were wanted until a run trains: all its processes have read their config."""
    for folder in _UNTIL_TRAINING:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_lost(place: Path) -> None:
    """Remove this user's folders of processes that are gone; in a shared place others have theirs."""
    for entry in place.glob(".unfinished@*@*@scratch-*"):
        try:
            own = not hasattr(os, "getuid") or entry.lstat().st_uid == os.getuid()
            lost = own and is_left_over(entry)
        except OSError:  # its process has just removed it
            continue
        if lost and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
