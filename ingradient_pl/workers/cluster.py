"""Cases worked on by other machines: a dask cluster that is running, or jobs that submitit hands to SLURM.

Both see the same folders as this process. What a lost worker had in hand is done again by another.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ingradient_pl import __version__
from ingradient_pl.files import remove_folder
from ingradient_pl.optional import require
from ingradient_pl.workers.threads import Item, Result, Workers

JOBS = 16
"""Jobs of SLURM that cases are shared among, where nobody says how many."""
ATTEMPTS = 3
"""How often the cases of a lost job are given to another."""
ADDRESS = re.compile(r"([a-z]+://)?[^\s/?#]+:\d{1,5}/?")
"""Of a dask scheduler, with or without the way to reach it."""

PATIENCE = 30
"""Seconds to wait for a scheduler, and for its first worker."""
POLL = 0.2
"""Seconds from one look at the jobs to the next."""
SUBMITIT = {"slurm": "slurm", "local": "local"}
"""What submitit calls them: jobs of SLURM, or processes of this machine, to try the same with."""


class ClusterError(ConnectionError):
    """A cluster that cannot be used, or that lost the same work too often."""


@contextmanager
def open_workers(
    cluster: str, options: Mapping[str, str | int] | None = None, *, folder: Path
) -> Iterator[Workers]:
    """Give the workers of a cluster, and let go of them afterwards.

    Args:
        cluster: Address of a dask scheduler (``tcp://host:8786``) or its file (``scheduler.json``);
            ``slurm`` for jobs by submitit, ``local`` for the same as processes of this machine.
        options: Of submitit's jobs: ``timeout_min``, ``slurm_partition``, ``gpus_per_node``,
            ``cpus_per_task``, ...; and ``jobs``, how many at most.
        folder: Where the files of jobs go while they run, on a disk that all machines see.

    Raises:
        ClusterError: If there is no such cluster, it has no worker, or its workers run another version.
        ImportError: If the package that speaks to it is not installed.
        Stopped: At SIGTERM, once the jobs are cancelled.
    """
    if cluster in SUBMITIT:
        jobs = _Jobs.of(SUBMITIT[cluster], dict(options or {}), Path(folder))
        from ingradient_pl.workers.submitted_jobs import cancel_when_left  # which needs submitit

        with cancel_when_left("stopped before its end, as it was told to, and its jobs with it."):
            yield jobs
        remove_folder(jobs.folder)
        return
    if options:
        raise ClusterError(
            f"The options {', '.join(options)} are for jobs, --cluster slurm or local; the workers of a dask "
            "cluster were started with their own."
        )
    with _connect(cluster) as workers:
        yield workers


class _DaskWorkers(NamedTuple):
    """The workers of a dask cluster; its scheduler gives a lost worker's work to another."""

    client: Any

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Give the number of each item and what the function made of it, as they are done."""
        distributed = _package("distributed")
        running = {
            self.client.submit(function, item, pure=False): number for number, item in enumerate(items)
        }
        try:
            for future in distributed.as_completed(list(running), loop=self.client.loop):
                try:
                    yield running[future], future.result()
                except distributed.KilledWorker as error:
                    raise ClusterError(
                        f"Every worker that worked on {items[running[future]]!r:.200} was lost ({error}). "
                        "Look at the workers' logs: too little memory is the usual reason."
                    ) from error
        finally:
            self.client.cancel(list(running))


@contextmanager
def _connect(address: str) -> Iterator[_DaskWorkers]:
    distributed = _package("distributed")
    given = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    if address.endswith(".json") and not Path(address).is_file():
        raise ClusterError(f"There is no scheduler file {address}: start dask scheduler --scheduler-file.")
    # dask would wait, and fail at the end
    if not address.endswith(".json") and not ADDRESS.fullmatch(address):
        raise ClusterError(f"'{address}' is not the address of a dask scheduler: write tcp://HOST:PORT.")
    try:
        client = _within_patience(
            lambda: distributed.Client(**given, timeout=PATIENCE, set_as_default=False), address
        )
    except ClusterError:
        raise
    except (OSError, TimeoutError, ValueError, TypeError, LookupError, MemoryError) as error:
        raise ClusterError(
            f"No dask scheduler answers at {address} ({error}). Start one (dask scheduler; dask worker "
            "ADDRESS --nthreads 1) and name its address."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ClusterError(
                f"The dask scheduler at {address} has no worker: start some (dask worker {address} "
                "--nthreads 1)."
            ) from error
        _check_versions(client.run(_version))
        yield _DaskWorkers(client)


def _within_patience(connect: Callable[[], Any], address: str) -> Any:
    """Wait for a connection, but not for ever: who listens there may say nothing at all."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(connect())
        except Exception as error:  # noqa: BLE001 - raised below, where somebody waits for it
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2 * PATIENCE)
    if not found:
        raise ClusterError(
            f"What listens at {address} does not answer as a dask scheduler does. Name the scheduler's own "
            "address, as it said it when it started."
        )
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _version() -> str:
    return __version__


def _check_versions(found: Mapping[str, str]) -> None:
    others = {worker: version for worker, version in found.items() if version != __version__}
    if others:
        worker, version = next(iter(others.items()))
        raise ClusterError(
            f"{len(others)} of {len(found)} workers run another version of ingradient_pl ({worker}: "
            f"{version}; here {__version__}). Install the same everywhere."
        )


class _Jobs(NamedTuple):
    """Jobs by submitit, each with a share of the cases."""

    executor: Any
    folder: Path
    most: int
    unfinished: type[Exception]

    @classmethod
    def of(cls, kind: str, options: dict[str, str | int], folder: Path) -> "_Jobs":
        submitit = _package("submitit")
        most = options.pop("jobs", JOBS)
        if not isinstance(most, int) or most < 1:
            raise ClusterError(f"jobs must be a whole number, at least 1; got {most}.")
        try:
            executor = submitit.AutoExecutor(folder=str(folder.resolve()), cluster=kind)
            executor.update_parameters(**options)
        except (RuntimeError, NameError, ValueError, TypeError) as error:
            raise ClusterError(f"submitit cannot start jobs of {kind}: {error}") from error
        if kind == SUBMITIT["slurm"]:
            from ingradient_pl.workers.slurm_queue import watch_queue  # which needs submitit

            watch_queue()
        return cls(executor, folder, most, submitit.core.utils.UncompletedJobError)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Give the number of each item and what the function made of it, as jobs end."""
        waiting, reason = list(range(len(items))), ""
        for _ in range(ATTEMPTS):
            lost: list[int] = []
            for share, outcomes in self._run(function, items, waiting):
                if isinstance(outcomes, str):
                    lost, reason = sorted([*lost, *share]), outcomes
                    continue
                for number, outcome in zip(share, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        raise outcome
                    yield number, outcome
            waiting = lost
            if not waiting:
                return
        raise ClusterError(
            f"{len(waiting)} of {len(items)} cases were in jobs that did not end, {ATTEMPTS} times over: "
            f"{reason} The jobs' logs are in {self.folder}."
        )

    def _run(
        self, function: Callable[[Any], Any], items: Sequence[Any], waiting: Sequence[int]
    ) -> Iterator[tuple[Sequence[int], Any]]:
        """Give each job's share of items and what came of it, as jobs end: results, or why there are none."""
        if not waiting:
            return
        shares = [waiting[part :: self.most] for part in range(min(self.most, len(waiting)))]
        with self.executor.batch():
            jobs = [self.executor.submit(_Share(function, [items[n] for n in share])) for share in shares]
        running = list(zip(jobs, shares, strict=True))
        while running:
            for job, share in [one for one in running if one[0].done()]:
                running.remove((job, share))
                try:
                    yield share, job.result()
                except self.unfinished as error:
                    yield share, " ".join(str(error).split("\n")[:2])
            time.sleep(POLL)


@dataclass
class _Share:
    """A job's items; one whose time ends, or that gives way to another, goes on with the item it was at.

    Args:
        function: Called with each item; what it raises is handed back, and ends the work.
        items: What it is called with.
        found: What it has made of the first items.
    """

    function: Callable[[Any], Any]
    items: Sequence[Any]
    found: list[Any] = field(default_factory=list)

    def __call__(self) -> list[Any]:
        """Give what the function makes of each item."""
        unfinished = _package("submitit").core.utils.UncompletedJobError
        for item in self.items[len(self.found) :]:
            try:
                self.found.append(self.function(item))
            except unfinished:  # raised by the signal that ends this job for good
                raise
            except Exception as error:  # noqa: BLE001 - raised again where the work was asked for
                return [*self.found, *[error] * (len(self.items) - len(self.found))]
        return self.found

    def checkpoint(self) -> Any:
        """Give submitit what to start again where SLURM takes this job's machine away."""
        return _package("submitit").helpers.DelayedSubmission(self)


def _package(name: str) -> Any:
    return require(name, "The workers of --cluster", "ingradient_pl[cluster]")
