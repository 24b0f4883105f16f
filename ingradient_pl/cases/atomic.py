"""Folders and files that appear whole or not at all, whatever happens to the run that writes them."""

import errno
import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path

HOUR = 3600


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left behind in a folder; those still running keep theirs."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.startswith(".") and not _alive(entry):
            shutil.rmtree(entry, ignore_errors=True)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in the place of an older one.

    Raises:
        OSError: If the disk does not take it; nothing is left of it then.
    """
    temporary = folder.with_name(f".{folder.name}{_mine()}")
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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_mine()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Take a case out of the store at one stroke, then delete it."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}-old{_mine()}")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _mine() -> str:
    return f"@{socket.gethostname()}@{os.getpid()}"


def _alive(entry: Path) -> bool:
    """Whether a folder's maker may still be at work: its process runs, or it is young and from elsewhere."""
    _, _, owner = entry.name.partition("@")
    host, _, process = owner.rpartition("@")
    if host == socket.gethostname() and process.isdigit() and os.name == "posix":
        return int(process) != os.getpid() and _runs(int(process))
    return bool(host) and time.time() - entry.stat().st_mtime < HOUR


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
