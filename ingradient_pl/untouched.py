"""A folder as it was before: what was made in it for work that was refused before it began is removed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

BEGUN = ("run.json", "*.ckpt")
"""Files that are there once a run has begun, whoever trained, here or elsewhere."""

REASON = "error.txt"
"""Why a run of a sweep failed, in the folder of that run: who is told of it looks there."""


class FolderBefore(NamedTuple):
    """What lay in a folder before anything was made there.

    Args:
        folder: With links followed; it need not exist.
        there: All that lay in it.
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
        return cls(own, frozenset(_walk(own)), missing, os.getpid())

    def is_begun(self) -> bool:
        """Whether something has been trained there since."""
        new = (path for path in _walk(self.folder) if path not in self.there)
        return any(
            any(path.match(pattern) for pattern in BEGUN)
            or (path.name == REASON and path.parent != self.folder)
            for path in new
        )

    def restore(self) -> None:
        """Remove what is new, unless something has been trained there; what cannot be removed stays."""
        if self.process != os.getpid() or self.is_begun():
            return
        for path in sorted(_walk(self.folder), reverse=True):
            if path not in self.there:
                with suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for place in self.missing:
            with suppress(OSError):  # somebody else has put something there
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


def _walk(folder: Path) -> Iterator[Path]:
    """Give all that is in a folder; links are not followed."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))
