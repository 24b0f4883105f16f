"""What this process may use of its machine."""

import os

MOST_READERS = 8
"""More readers than this were never waited for: a patch costs one core a few milliseconds."""


def available_cores() -> int:
    """Count the processor cores that this process may run on: a job's share, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_readers(ranks: int = 1) -> int:
    """Give how many processes should read patches for each rank: the cores but one, shared, from 2 to 8.

    Args:
        ranks: Training processes on this machine that read for themselves.
    """
    return min(MOST_READERS, max(2, (available_cores() - 1) // max(1, ranks)))
