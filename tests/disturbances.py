"""Work that is stopped, or refused by the disk, at the nth change that it makes to a folder's files."""

import errno
import functools
import os
import sys
from contextlib import contextmanager
from pathlib import Path

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.mkdir", "os.rename")
"""What Python tells of, beside files that are opened to be written; to remove something always works."""

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
KINDS = {"Ctrl-C": KeyboardInterrupt(), "a full disk": FULL, "a disk to read only": READ_ONLY}

_asked = {}


@contextmanager
def disturb(folder, number, error):
    """Raise an error at a change below a folder.

    Args:
        folder: Whose files count.
        number: Of the change, from 1.
        error: An ``OSError`` gets the file's name, as the system gives it.

    Yields:
        A list, which is not empty once that was done.
    """
    _listen()
    done = []
    _asked.update(folder=folder.absolute(), left=number, error=error, done=done)
    try:
        yield done
    finally:
        _asked.clear()


@functools.cache
def _listen():
    sys.addaudithook(_hear)


def _hear(event, arguments):
    if not _asked or event not in ("open", *CHANGES):
        return
    place, *more = arguments
    if isinstance(place, int) or (event == "open" and not more[1] & WRITES):
        return
    path = Path(os.fsdecode(place)).absolute()
    if not path.is_relative_to(_asked["folder"]):
        return
    _asked["left"] -= 1
    if _asked["left"] == 0:
        _asked["done"].append(path)
        error = _asked["error"]
        raise type(error)(error.errno, error.strerror, str(path)) if isinstance(error, OSError) else error


def read_files(folder):
    """Give what lies in a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
