"""Folders and files that appear whole or not at all, whatever happens to the run that writes them."""

import errno
import os
import shutil
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

HOUR = 3600
SYSTEM = ("dev", "proc", "sys")
"""Folders of a system whose entries are no files."""

MEMORY = ("dev", "shm")
"""A disk in memory, whose entries are."""

LONG, ENDING = 120, 20
"""Bytes of a name that is kept in that of an unfinished file; letters kept of a longer one's end."""

BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error)
"""What Python's reader of zip files raises for a damaged one, beside ValueError, OSError and RuntimeError."""

_BEGUN: set[Path] = set()
"""What this process, or the one that it was forked from, is writing."""

REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that does not take more; such errors name no file."""


def take_room(handle: int, size: int, place: Path) -> None:
    """Have the disk keep room for a file that is written through memory: a full one else ends the process.

    Args:
        handle: Of the open file, which gets this size.
        size: Bytes.
        place: What the message names.

    Raises:
        OSError: If there is no such room.
    """
    try:
        if hasattr(os, "posix_fallocate") and size:
            os.posix_fallocate(handle, 0, size)
        else:  # macOS and Windows
            os.ftruncate(handle, size)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}: {size} bytes are needed", str(place)) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left behind in a folder; those still running keep theirs.

    Args:
        folder: Searched itself, not the folders in it.
    """
    for entry in folder.glob(".unfinished@*@*@*"):
        if not _alive(entry):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in the place of an older one.

    Args:
        folder: Its parent must be there.
        files: Content by file name.

    Raises:
        OSError: If the disk does not take it; nothing is left of it then.
    """
    temporary = unfinished_path(folder)
    note_unfinished(temporary)
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
        _BEGUN.discard(temporary.absolute())


@contextmanager
def whole_file(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Give a name to write under, with the same ending; what was written takes ``path``'s place on leaving.

    The folder is made where there is none. Nothing is left of a write that fails.

    Args:
        path: Of the file.
        sync: Whether it must be on the disk before it takes the older file's place: a power cut then leaves
            the one or the other.

    Raises:
        OSError: If ``path`` is a device, a pipe or a folder, which no file may replace; if the disk does not
            take it, with the name of the file.
    """
    if is_special(path) or path.is_dir():
        raise OSError(errno.EINVAL, "it is not a plain file and cannot be replaced by one", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished_path(path)
    note_unfinished(temporary)
    try:
        yield temporary
        if sync:
            _on_disk(temporary)
        temporary.replace(path)
        if sync:
            _on_disk(path.parent)
    except OSError as error:
        unnamed = error.filename is None and error.errno in REFUSED
        if unnamed or error.filename == str(temporary):  # a name that nobody has given
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
        _BEGUN.discard(temporary.absolute())


def replace_file(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made where there is none.

    A device or a pipe (``/dev/null``, ``/dev/stdout``) is written to and stays what it is.

    Args:
        path: Replaced where it exists.
        content: The whole file.
    """
    if is_special(path):
        with path.open("wb") as file:
            file.write(content)
        return
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def hold_alone(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes that do so, where the system can; they wait.

    Args:
        folder: That exists.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check_can_be_folder(folder: Path, content: str) -> None:
    """Refuse a folder that cannot be one, since it is a file, or the nearest above it that is there.

    Args:
        folder: It need not be there.
        content: What goes into it, several of them, for the message.

    Raises:
        NotADirectoryError: If there is such a file.
    """
    there = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if there is not None and not there.is_dir():
        raise NotADirectoryError(f"{there} is not a folder: {content} need one. Name another.")


def is_special(path: Path) -> bool:
    """Whether a path leads to a device, a pipe or a socket, or to one of the system's own links to them.

    Args:
        path: It need not exist.
    """
    parts = path.absolute().parts
    if parts[1:2] and parts[1] in SYSTEM and parts[1:3] != MEMORY:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def remove_folder(folder: Path) -> None:
    """Take a case out of the store at one stroke, then delete it; of a link only the link itself.

    Args:
        folder: A folder or a link to one; nothing happens where it does not exist.
    """
    aside = unfinished_path(folder.with_name(f"old-{folder.name}"))
    try:
        folder.rename(aside)
    except FileNotFoundError:  # there is none, or another run was quicker
        return
    if aside.is_symlink():
        aside.unlink(missing_ok=True)
    else:
        shutil.rmtree(aside, ignore_errors=True)


def _on_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of its files, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot be asked for a folder
            raise
    finally:
        os.close(descriptor)


def unfinished_path(path: Path) -> Path:
    """Name what is not finished yet: by machine, process and target, no longer than a file system takes.

    Args:
        path: Of what it will be.
    """
    name = path.name
    if len(os.fsencode(name)) > LONG:
        name = f"{zlib.crc32(os.fsencode(name)):08x}{name[-ENDING:]}"
    return path.with_name(f".unfinished@{socket.gethostname()}@{os.getpid()}@{name}")


def note_unfinished(path: Path) -> None:
    """Have :func:`remove_unfinished` remove a file or folder.

    Args:
        path: Named by :func:`unfinished_path`, or beginning with such a name.
    """
    _BEGUN.add(path.absolute())


def remove_unfinished() -> None:
    """Remove what this process has begun to write and not finished: it is about to be killed."""
    for entry in _BEGUN.copy():
        if entry.name.split("@", 3)[2] == str(os.getpid()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink(missing_ok=True)


def is_left_over(entry: Path) -> bool:
    """Whether what is unfinished stays so: another process began it and is gone.

    Args:
        entry: Named by :func:`unfinished_path`.
    """
    return entry.name.split("@", 3)[2] != str(os.getpid()) and not _alive(entry)


def _alive(entry: Path) -> bool:
    """Whether an entry's maker may still be at work: its process runs, or it is young and from elsewhere."""
    host, process = entry.name.split("@", 3)[1:3]
    if host == socket.gethostname() and process.isdigit() and os.name == "posix":
        return int(process) != os.getpid() and _runs(int(process))
    return time.time() - entry.stat().st_mtime < HOUR


def _runs(process: int) -> bool:
    """Whether a process is at work; one that was killed and that nobody has asked after is not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:  # not Linux, or it has just ended
        return True
    return state.split()[:1] != ["Z"]
