"""What the workers of a cluster are given to do in tests; they import it by name."""

import os
import signal
import time
from pathlib import Path


def double(item):
    return 2 * item


def refuse(item):
    raise ValueError(f"nothing is to be had of {item}")


def die_once(folder, item):
    """Kill the process that works on item 2, the first time."""
    mark = Path(folder) / "died"
    if item == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def die(item):
    os.kill(os.getpid(), signal.SIGKILL)


def wait_once(folder, item):
    """Have the job of SLURM that works on item 2 wait to be cancelled, the first time."""
    mark = Path(folder) / "waits"
    if item == 2 and not mark.exists():
        mark.write_text("{SLURM_ARRAY_JOB_ID}_{SLURM_ARRAY_TASK_ID}".format(**os.environ))
        time.sleep(600)
    return item


def die_of_seed_0(config):
    """A job of a sweep that is killed where the seed is 0, before it could say anything; else its score."""
    if config.seed == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.5
