"""Folders and files that appear whole or not at all, whatever happens to the run that writes them."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HOUR = 3600


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left behind in a folder; those still running keep theirs."""
    for entry in folder.glob(".unfinished@*@*@*"):
        if not _alive(entry):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in the place of an older one.

    Raises:
        OSError: If the disk does not take it; nothing is left of it then.
    """
    temporary = _unfinished(folder)
    try:
        temporary.mkdir()
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        remove_folder(folder)
        temporary.rename(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another run was quicker
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name to write under, with the same ending; what was written takes ``path``'s place on leaving.

    The folder is made where there is none. Nothing is left of a write that fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _unfinished(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made where there is none."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def remove_folder(folder: Path) -> None:
    """Take a case out of the store at one stroke, then delete it."""
    if folder.exists():
        aside = _unfinished(folder.with_name(f"old-{folder.name}"))
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".unfinished@{socket.gethostname()}@{os.getpid()}@{path.name}")


def _alive(entry: Path) -> bool:
    """Whether an entry's maker may still be at work: its process runs, or it is young and from elsewhere."""
    host, process = entry.name.split("@", 3)[1:3]
    if host == socket.gethostname() and process.isdigit() and os.name == "posix":
        return int(process) != os.getpid() and _runs(int(process))
    return time.time() - entry.stat().st_mtime < HOUR


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
