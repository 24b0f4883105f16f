"""What this process may use of its machine."""

import multiprocessing
import os
from functools import cache
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much memory a job may take."""

CASE_BYTES = 2**32
"""Memory for a case at work: a CT of 900 x 700 x 700 voxels takes 3.4 GB while it is prepared."""

MOST_READERS = 8
"""More readers than this were never waited for: a patch costs one core a few milliseconds."""

OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cublas_status_alloc_failed")
"""What Python's, torch's and CUDA's errors say of it."""

NO_DEVICE = ("No supported", "can not run on your system", "But your machine only has")
"""What Lightning says of an accelerator that this machine does not have."""


def available_cores() -> int:
    """Count the processor cores that this process may run on: a job's share, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def available_memory() -> int:
    """Give the bytes of memory that this process may take: the machine's, or its job's where that is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    try:
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        found += [soft] if soft != resource.RLIM_INFINITY else []
        found.append(int(CGROUP.read_text(encoding="ascii")))
    except (ImportError, OSError, ValueError):  # no such system, no such limit, or the word 'max'
        pass
    return min(found, default=2**63)


def default_case_workers() -> int:
    """Give how many cases are worked on at a time: as many as there are cores, if memory holds so many."""
    return max(1, min(available_cores(), available_memory() // CASE_BYTES))


def default_readers(ranks: int = 1) -> int:
    """Give how many processes should read patches for each rank: the cores but one, shared, from 2 to 8.

    Args:
        ranks: Training processes on this machine that read for themselves.
    """
    return min(MOST_READERS, max(2, (available_cores() - 1) // max(1, ranks)))


def process_context() -> str | None:
    """Give how a process that reads is started; None for Python's default.

    Within joblib's workers the default is joblib's own way, which starts joblib's processes alone.
    """
    known = multiprocessing.get_all_start_methods()
    return None if multiprocessing.get_start_method(allow_none=True) in (None, *known) else known[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the host's or a device's memory did not suffice.

    Args:
        error: As Python, torch or CUDA raised it.
    """
    return isinstance(error, MemoryError) or any(said in str(error).lower() for said in OUT_OF_MEMORY)


def explain_missing_device(said: str) -> str:
    """Say what to take where an accelerator was asked for that is not there; give other texts as they are.

    Args:
        said: An error's message.
    """
    if not any(part in said for part in NO_DEVICE):
        return said
    first = " ".join(said.split()).rstrip("!. ")
    return (
        f"{first}: this machine does not have what trainer.accelerator and trainer.devices ask for. Take "
        "what it has (trainer=auto, for LightningCLI --trainer.accelerator auto), or cpu; `ingradient "
        "doctor` says what that is, and what is wrong with it."
    )
