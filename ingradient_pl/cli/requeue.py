"""Within a job of SLURM, the signal that its time is nearly over has the job queued again."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ingradient_pl.cli.failures import DEFAULT, is_first_rank


@contextmanager
def requeue_when_told() -> Iterator[None]:
    """At SIGUSR1 (``sbatch --signal=USR1@60``) have SLURM queue this job again.

    SLURM then stops it by SIGTERM, and the job that it starts again goes on with the last whole epoch.
    Nothing is done outside a job, or where somebody handles the signal already.
    """
    job, owner = os.environ.get("SLURM_JOB_ID"), os.getpid()
    idle = threading.current_thread() is not threading.main_thread() or job is None
    if idle or signal.getsignal(signal.SIGUSR1) not in DEFAULT:
        yield
        return

    def requeue(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner or not is_first_rank():  # all processes hear it
            return
        try:
            done = subprocess.run(["scontrol", "requeue", str(job)], capture_output=True, check=False)
            failed = done.stderr.decode(errors="replace").strip() if done.returncode else ""
        except OSError as error:
            failed = str(error)
        told = f"did not queue this job again: {failed}" if failed else "has queued this job again."
        os.write(2, f"SIGUSR1: SLURM {told}\n".encode())

    before = signal.signal(signal.SIGUSR1, requeue)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
