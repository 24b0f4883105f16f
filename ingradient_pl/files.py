"""Folders and files that appear whole or not at all, whatever happens to the run that writes them."""

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ingradient_pl.unfinished import forget_unfinished, note_unfinished, remove_entry, write_unfinished

SYSTEM = ("dev", "proc", "sys")
"""Folders of a system whose entries are no files."""

MEMORY = ("dev", "shm")
"""A disk in memory, whose entries are."""

BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error)
"""What Python's reader of zip files raises for a damaged one, beside ValueError, OSError and RuntimeError."""

REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that does not take more; such errors name no file."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What it says that is full."""


def keeps_all_out(error: BaseException) -> bool:
    """Whether an error keeps whatever follows from being written, too: the disk is full, or to be read only.

    Args:
        error: As it was raised.
    """
    return isinstance(error, OSError) and error.errno in (*FULL, errno.EROFS)


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


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that appears whole or not at all, in the place of an older one.

    Args:
        folder: Its parent must be there.
        files: Content by file name.

    Raises:
        OSError: If the disk does not take it; nothing is left of it then.
    """
    with write_unfinished(folder) as temporary, _name_asked(temporary, folder):
        temporary.mkdir()
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        remove_folder(folder)
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another run was quicker
                raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write in; on leaving all of it is in ``folder``, and nothing where that fails.

    The folders above are made where there are none.

    Args:
        folder: New, or empty: then it stays what it is, such as a disk of its own, and what was written
            moves in.

    Raises:
        OSError: If the disk does not take it, with the name of the folder.
    """
    there = folder.is_dir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        write_unfinished(folder / folder.name if there else folder) as temporary,
        _name_asked(temporary, folder),
    ):
        temporary.mkdir()
        yield temporary
        if there:
            _move_entries(temporary, folder)
        else:
            temporary.rename(folder)


def _move_entries(source: Path, target: Path) -> None:
    """Move what is in a folder into another one; nothing stays there where that is interrupted."""
    moved = [target / entry.name for entry in source.iterdir()]
    try:
        for place in moved:
            note_unfinished(place)
            (source / place.name).rename(place)
    except BaseException:
        for place in moved:
            remove_entry(place)
        raise
    finally:
        for place in moved:
            forget_unfinished(place)


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
    with write_unfinished(path) as temporary, _name_asked(temporary, path):
        yield temporary
        if sync:
            _on_disk(temporary)
        temporary.replace(path)
        if sync:
            _on_disk(path.parent)


@contextmanager
def _name_asked(temporary: Path, path: Path) -> Iterator[None]:
    """Have errors of the disk name what was asked for, not the name under which it is written."""
    try:
        yield
    except OSError as error:
        asked = _find_asked(error, temporary, path)
        if asked is None:
            raise
        raise OSError(error.errno, error.strerror, str(asked)) from error


def _find_asked(error: OSError, temporary: Path, path: Path) -> Path | None:
    """Give what was asked for in the place of what an error names; None where it names something else."""
    if error.filename is None:
        return path if error.errno in REFUSED else None
    if not isinstance(error.filename, str | bytes):
        return None
    named = Path(os.fsdecode(error.filename))
    return path / named.relative_to(temporary) if named.is_relative_to(temporary) else None


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
    with write_unfinished(folder.with_name(f"old-{folder.name}")) as aside, suppress(FileNotFoundError):
        folder.rename(aside)  # there is one, unless another run was quicker


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
