"""A folder as it was before: what was made in it for work that was refused before it began is removed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

BEGUN = ("run.json", "*.ckpt", "checkpoints/*.ckpt")
"""Files of a run, or of one of a sweep, that has begun, whoever trained, here or elsewhere."""

REASON = "error.txt"
"""Why a run of a sweep failed, in its folder: a traceback, and what it comes to where that is known."""

MADE = (".hydra", "train.log", REASON, "sweep.json", "multirun.yaml")
"""What is made in the folder of a run or sweep before anything begins; nothing else is ever removed."""


class FolderBefore(NamedTuple):
    """What lay in a folder before anything was made there.

    Args:
        folder: With links followed; it need not exist.
        there: What lay in it of what is made there (``MADE``), and of what tells that something has begun.
        missing: The folder and those above it that did not exist, the innermost first.
        process: Who looked: processes that it starts leave the folder alone.
    """

    folder: Path
    there: frozenset[Path]
    missing: tuple[Path, ...]
    process: int

    @classmethod
    def of(cls, folder: Path) -> "FolderBefore":
        """Look at a folder.

        Args:
            folder: It need not exist.
        """
        own = Path(os.path.realpath(folder))
        missing = tuple(place for place in (own, *own.parents) if not place.exists())
        return cls(own, frozenset({*_list_made(own), *_list_begun(own)}), missing, os.getpid())

    def is_begun(self) -> bool:
        """Whether something has been trained there since."""
        return bool({*_list_begun(self.folder)} - self.there)

    def restore(self) -> None:
        """Remove what was made, unless something has been trained there; what cannot be removed stays.

        A folder goes once nothing is left in it: what anybody else has put there stays.
        """
        if self.process != os.getpid() or self.is_begun():
            return
        for path in sorted({*_list_made(self.folder)} - self.there, reverse=True):
            with suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for place in self.missing:
            with suppress(OSError):
                place.rmdir()


_NOTED: list[FolderBefore] = []
"""Folders of this process in which nothing has begun."""


def note_folder(before: FolderBefore) -> None:
    """Have a folder restored at the end of :func:`restore_unbegun`, if that is an error.

    Args:
        before: As it was.
    """
    _NOTED.append(before)


@contextmanager
def restore_unbegun() -> Iterator[None]:
    """Restore the folders that are noted within, where an error ends what would have filled them."""
    first = len(_NOTED)
    try:
        yield
    except BaseException:
        restore_noted(first)
        raise
    finally:
        del _NOTED[first:]


def restore_noted(first: int = 0) -> None:
    """Restore the noted folders, the newest first.

    Args:
        first: How many of the oldest are left alone.
    """
    while len(_NOTED) > first:
        _NOTED.pop().restore()


def keep_noted() -> None:
    """Leave all noted folders as they are from now on: something has begun."""
    _NOTED.clear()


def _list_made(folder: Path) -> Iterator[Path]:
    """Give what lies in a folder of what is made there; links are not followed."""
    for path in (folder / name for name in MADE):
        if path.is_symlink() or path.exists():
            yield path
        if not path.is_symlink():
            for place, folders, files in os.walk(path):
                yield from (Path(place, name) for name in (*folders, *files))


def _list_begun(folder: Path) -> Iterator[Path]:
    """Give what a run has left in a folder, or the runs of a sweep in folders of their own."""
    for pattern in BEGUN:
        yield from folder.glob(pattern)
        yield from folder.glob(f"*/{pattern}")
    yield from folder.glob(f"*/{REASON}")
