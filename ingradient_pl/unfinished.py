"""What is being written, under names that say so: removed once it failed, or whoever wrote it is gone."""

import os
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HOUR = 3600
LONG, ENDING = 120, 20
"""Bytes of a name that is kept in that of an unfinished file; letters kept of a longer one's end."""

PATIENCE = 10.0
"""Seconds that a process that is told to stop waits for what its other threads are writing."""

_BEGUN: dict[Path, tuple[int, int]] = {}
"""What is being written, and the process and thread that do it."""

_LEAVING = threading.Event()
"""Whether this process is about to end: nothing more is begun."""


def unfinished_path(path: Path) -> Path:
    """Name what is not finished yet: by machine, process and target, no longer than a file system takes.

    Args:
        path: Of what it will be.
    """
    name = path.name
    if len(os.fsencode(name)) > LONG:
        name = f"{zlib.crc32(os.fsencode(name)):08x}{name[-ENDING:]}"
    return path.with_name(f".unfinished@{socket.gethostname()}@{os.getpid()}@{name}")


@contextmanager
def write_unfinished(path: Path) -> Iterator[Path]:
    """Name what is not finished yet, to be written and moved within; it is removed on leaving, however.

    Args:
        path: Of what it will be.
    """
    temporary = unfinished_path(path)
    note_unfinished(temporary)
    try:
        yield temporary
    finally:
        remove_entry(temporary)
        forget_unfinished(temporary)


def note_unfinished(path: Path) -> None:
    """Have :func:`remove_unfinished` remove a file or folder; where it is at work, stay here for good.

    Args:
        path: That will be made.
    """
    _BEGUN[path.absolute()] = os.getpid(), threading.get_ident()
    if _LEAVING.is_set() and threading.current_thread() is not threading.main_thread():
        forget_unfinished(path)
        threading.Event().wait()


def forget_unfinished(path: Path) -> None:
    """Leave a file or folder that was noted as it is from now on.

    Args:
        path: As it was noted.
    """
    _BEGUN.pop(path.absolute(), None)


def remove_unfinished() -> None:
    """Remove what this process has begun to write and not finished: it is about to be killed.

    What other threads are writing is waited for, as they would make it again; they begin nothing else.
    """
    _LEAVING.set()
    process, thread = os.getpid(), threading.get_ident()
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and any(
        owner == process and writer != thread for owner, writer in [*_BEGUN.values()]
    ):
        time.sleep(0.005)
    for entry, (owner, _) in [*_BEGUN.items()]:
        if owner == process:
            remove_entry(entry)


def remove_entry(path: Path) -> None:
    """Remove a file, a folder or a link, where there is one; what cannot be removed stays.

    Args:
        path: Links are not followed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left behind in a folder; those still running keep theirs.

    Args:
        folder: Searched itself, not the folders in it.
    """
    for entry in folder.glob(".unfinished@*@*@*"):
        if not _alive(entry):
            remove_entry(entry)


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
