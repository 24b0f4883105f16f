"""Which of submitit's jobs SLURM still has, asked of its queue: not every cluster answers to ``sacct``."""

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob
from typing_extensions import override

QUEUE = ("squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T")
SECONDS = 60
"""At most between two looks; as long as a lost job may stay unnoticed."""
ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "REVOKED"),
    "TIMEOUT",
}
"""States that a job does not come back from; one that is requeued is pending."""
GONE = "GONE"
"""The state of a job that the queue has forgotten."""


class QueueWatcher(SlurmInfoWatcher):
    """Asks ``squeue`` what became of jobs, where submitit's own watcher asks ``sacct``."""

    @override
    def _make_command(self) -> list[str] | None:
        return list(QUEUE) if self._registered - self._finished else None

    @override
    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Give each job's state by its number.

        Args:
            string: What the queue answered, a line a job.
        """
        text = string if isinstance(string, str) else string.decode()
        rows = (line.partition("|") for line in text.split())
        listed = {job: {"State": state} for job, _, state in rows}
        return {job: listed.get(job, {"State": GONE}) for job in self._registered - self._finished}

    @override
    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether a job is over.

        Args:
            job_id: Its number, with its place in an array.
            mode: ``force``, ``standard`` or ``cache``: whether the queue is asked at once, at times, or not.
        """
        return self.get_state(job_id, mode=mode) in {*ENDED, GONE}


def watch_queue() -> None:
    """Have submitit ask the queue about jobs that are yet to be submitted."""
    SlurmJob.watcher = QueueWatcher(delay_s=SECONDS)
