"""How a command ends: 0 done, 1 failed work, 2 bad usage; a user's mistake is one line, not a traceback."""

import atexit
import errno
import io
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from ingradient_pl.files import REFUSED
from ingradient_pl.machine import is_out_of_memory
from ingradient_pl.messages import UsageError as UsageError
from ingradient_pl.messages import printable
from ingradient_pl.unfinished import remove_unfinished
from ingradient_pl.untouched import restore_noted
from ingradient_pl.workers.stopped import Stopped

FAILED, MISUSED = 1, 2
TERMINATED, INTERRUPTED = 143, 130
"""Exit codes of a command that was told to stop, as shells have them."""
RANKS = ("LOCAL_RANK", "RANK", "SLURM_PROCID")
STOPPED = "stopped before its end, as it was told to."
DEFAULT = (signal.default_int_handler, signal.SIG_DFL)
"""What becomes of a signal that nobody has asked for; one that is ignored stays ignored."""
FULL_ERRORS = "HYDRA_FULL_ERROR"
"""Hydra's own variable: set it to 1 to see every traceback."""

ONE_LINE = "INGRADIENT_ONE_LINE"
"""Tells the processes that a command starts, and that inherit the variable above, that nobody set it."""

LOST_WORKER = re.compile(
    r"DataLoader worker \(pid(\(s\))? [\d, ]+\) (is killed by signal: [\w ]+|exited unexpectedly)"
)
"""What torch says when a process that reads is gone."""

LOST_WORKER_CURE = (
    "Too little memory is the usual reason: take fewer processes that read (data.workers=1, or 0 for none). "
    "A training run goes on where it was with resume=RUN"
)

LOST_DEVICE = re.compile(
    r"CUDA error: (unspecified launch failure|unknown error|hardware stack error|the launch timed out[^\n]*"
    r"|uncorrectable (NVLink|ECC) error[^\n]*|[^\n]*busy or unavailable|[^\n]*(GPU|device) (is|was) lost)"
)
"""What CUDA says of a device that is gone, broken or another's: no fault of the program."""

LOST_DEVICE_CURE = (
    "The device or its driver failed, or another process holds it: nvidia-smi and the system's log (dmesg) "
    "say more, `ingradient doctor` what is there. A training run goes on where it was with resume=RUN, "
    "on another device too (trainer.devices=[1])"
)

OUT_OF_MEMORY_CURE = (
    "A training step takes less with a smaller plan.batch_size or plan.patch (or plan for this memory: "
    "ingradient plan --memory_gb N), with trainer.precision=bf16-mixed, or with data.resident=false, which "
    "leaves the cases on the host; a prediction with --window_batch 1. See that nobody else uses the device"
)

CURES = {
    errno.ENOENT: "Check the path",
    errno.ENOTDIR: "A file stands where a folder is wanted: check the path",
    errno.EEXIST: "It is there already: name another, or delete it",
    errno.EISDIR: "A folder stands where a file is wanted: name a file",
    errno.EROFS: "This disk can only be read: name a folder on another",
    errno.EACCES: "You lack the right to it: name another folder, or ask its owner",
    errno.ENOSPC: "Free some space, or name a folder on another disk",
    errno.EDQUOT: "Your share of the disk is used up: free some space, or name a folder on another disk",
    errno.ENAMETOOLONG: "Name it shorter",
}
"""What to do about what a disk does not give."""


def ignore_useless_warnings() -> None:
    """Keep from users what Lightning 2.6 says on torch 2.12 and later: nothing they can act on."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)


def is_first_rank() -> bool:
    """Whether no other process of this run has a lower rank: folders are the first one's affair."""
    return not any(int(os.environ.get(name) or 0) for name in RANKS)


@contextmanager
def stop_in_one_line(command: str, *, starting: bool = True, told: str = STOPPED) -> Iterator[None]:
    """End a command at once, with a line and the right exit code, when a signal tells it to.

    Args:
        command: What the message begins with, such as ``ingradient plan``.
        starting: Whether the keyboard does so, too: imports turn an exception into others. Work that has
            begun gets it as an exception, and tidies up.
        told: What is said, such as how to go on.

    Raises:
        Stopped: If the keyboard stops work that has begun.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        for one in (signal.SIGTERM, signal.SIGINT):  # that it is told again changes nothing
            signal.signal(one, signal.SIG_IGN)
        remove_unfinished()
        restore_noted()
        if is_first_rank():
            begins = "\n" if sys.stderr.isatty() else ""  # below a bar that shows how far the work is
            os.write(2, f"{begins}{command}: {told}\n".encode())
        os._exit(128 + number)

    wanted = (signal.SIGTERM, signal.SIGINT) if starting else (signal.SIGTERM,)
    before = {one: signal.signal(one, leave) for one in wanted if signal.getsignal(one) in DEFAULT}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if any(isinstance(one, KeyboardInterrupt) for one in _behind(error)):  # or what a parser made of it
            raise Stopped(told, by_signal=False) from error
        raise
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def plain_errors(command: str) -> Iterator[None]:
    """Turn what a user can mend into one message; exit code 2 for :class:`UsageError`, 1 for the rest.

    Anything else is a fault of the program and keeps its traceback.

    Args:
        command: What the message begins with, such as ``ingradient plan``.
    """
    tracebacks = os.environ.get(FULL_ERRORS) == "1" and ONE_LINE not in os.environ
    try:
        with nullcontext() if tracebacks else _one_line(command):
            yield
    except BrokenPipeError:  # the reader of our output (| head) has seen enough
        sys.stdout = None
    except (ValueError, OSError, KeyError, ImportError) as error:
        if tracebacks:
            raise
        fail(command, _find_refusal(error) or error, MISUSED if isinstance(error, UsageError) else FAILED)
    except (RuntimeError, MemoryError) as error:
        if any("killed by signal: Terminated" in str(one) for one in _behind(error)):
            print(f"{command}: {STOPPED}", file=sys.stderr)  # who stops a group of processes tells all of it
            sys.exit(TERMINATED)
        told = explain_failure(error)
        if tracebacks or told is None:
            raise
        fail(command, RuntimeError(told))
    except (KeyboardInterrupt, Stopped) as stopped:
        print(f"{command}: {str(stopped) or STOPPED}", file=sys.stderr)
        sys.exit(TERMINATED if isinstance(stopped, Stopped) and stopped.by_signal else INTERRUPTED)
    finally:
        atexit.unregister(_end_without_a_word)
        atexit.register(_end_without_a_word)  # the last to be registered is the first that is called


def _end_without_a_word() -> None:
    """Have a signal end this process at once: packages take a while to tidy up when all has been said."""
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(one) in DEFAULT:
                signal.signal(one, lambda number, _: os._exit(128 + number))


def explain_failure(error: BaseException) -> str | None:
    """Say in a line what Python, torch or CUDA mean by an error, and what to do; None where unknown.

    Args:
        error: As it was raised.
    """
    if not isinstance(error, (RuntimeError, MemoryError)):
        return None
    return next(filter(None, (_explain_mistake(one) for one in _behind(error))), None)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Give an error and those that were being handled when it arose: a lost worker upsets what tidies up."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__context__


def _find_refusal(error: BaseException) -> BaseException | None:
    """Give what a disk refused, where another package made an error of its own of that; None elsewhere."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if frames and str(frames[-1].f_globals.get("__name__")).startswith("ingradient_pl"):
        return None
    return next((one for one in _behind(error) if isinstance(one, OSError) and one.errno in REFUSED), None)


def _explain_mistake(error: BaseException) -> str | None:
    """Say plainly what torch says of a user's mistake; None where it is none."""
    said = str(error)
    if is_out_of_memory(error):
        return f"{(said.strip() or 'Out of memory.').splitlines()[0][:200]} {OUT_OF_MEMORY_CURE}"
    lost = LOST_WORKER.search(said)
    if lost:
        return f"{lost[0]}. {LOST_WORKER_CURE}"
    gone = LOST_DEVICE.search(said)
    if gone:
        return f"{gone[0]}. {LOST_DEVICE_CURE}"
    if "loading state_dict" in said:
        first = next((line.strip() for line in said.splitlines()[1:]), "")
        return f"The checkpoint is of another network than the configured one: {first[:200]}"
    return None


@contextmanager
def _one_line(command: str) -> Iterator[None]:
    inherited, before, of_threads = ONE_LINE in os.environ, sys.unraisablehook, threading.excepthook
    os.environ[ONE_LINE] = "1"

    def say_unraisable(unraisable: Any) -> None:
        if not LOST_WORKER.search(str(unraisable.exc_value)):  # who waits for its data tells of a lost reader
            before(unraisable)

    def say_thread(found: threading.ExceptHookArgs) -> None:
        if isinstance(found.exc_value, OSError):  # of a logger that writes beside the training
            print(f"{command}: {_describe(found.exc_value)}", file=sys.stderr)
        else:
            of_threads(found)

    sys.unraisablehook, threading.excepthook = say_unraisable, say_thread
    try:
        yield
    finally:
        sys.unraisablehook, threading.excepthook = before, of_threads
        if not inherited:
            os.environ.pop(ONE_LINE, None)


def fail(command: str, error: BaseException, code: int = FAILED) -> None:
    """Print ``error`` to standard error and leave with ``code``.

    Args:
        command: What the message begins with.
        error: Whose message is printed.
        code: The process's exit code: 1 for what failed, 2 for wrong usage.
    """
    print(f"{command}: {_describe(error)}", file=sys.stderr)
    sys.exit(code)


def _describe(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    told = [printable(text) or type(error).__name__]
    if isinstance(error, OSError):
        file = _file_written(error) if error.errno in REFUSED and error.filename is None else None
        told[0] += "" if file is None else printable(f": {file!r}")
        told += [CURES[error.errno]] if error.errno in CURES else []
    return ". ".join(told)


def _file_written(error: OSError) -> str | None:
    """Give the name of the file that was being written where an error arose: the system does not tell."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        for value in frame.f_locals.values():
            name = getattr(value, "name", None) if isinstance(value, io.IOBase) else None
            if isinstance(name, str | bytes) and getattr(value, "mode", "r") not in ("r", "rb"):
                return os.fsdecode(name)
    return None
