"""Jobs of a sweep that submitit hands to others: a lost one is a failed run, and none outlives the sweep."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ingradient_pl.cli.overrides import find
from ingradient_pl.cli.sweep_table import SCORE, SweepTable
from ingradient_pl.workers.stopped import Stopped

LAUNCHERS = ("submitit_local", "submitit_slurm")
SWEEP_STOPPED = "The sweep was stopped."


@contextmanager
def keep_jobs(overrides: Sequence[str]) -> Iterator[None]:
    """While a sweep runs: wait for all its jobs, whatever becomes of one; end them all if it is stopped.

    A job that was killed, ran out of memory or lost its machine leaves no result, at which the launcher would
    give up the others; it becomes a run that failed, with the reason in its folder.

    Args:
        overrides: Of the sweep; nothing is done where they name another launcher.

    Raises:
        Stopped: If the sweep is told to stop, once its jobs are.
    """
    if find(overrides, "hydra/launcher") not in LAUNCHERS:
        yield
        return
    from submitit.core.core import Job
    from submitit.core.utils import UncompletedJobError

    from ingradient_pl.workers.slurm_queue import watch_queue
    from ingradient_pl.workers.submitted_jobs import cancel_when_left

    watch_queue()
    give = Job.results

    def results(job: "Job[Any]") -> list[Any]:
        try:
            return give(job)
        except UncompletedJobError as error:
            return [_lost_run(job, str(error))]

    methods: Any = Job
    methods.results = results
    try:
        with cancel_when_left(SWEEP_STOPPED):
            yield
    except KeyboardInterrupt:
        raise Stopped(SWEEP_STOPPED, by_signal=False) from None
    finally:
        methods.results = give


def _lost_run(job: Any, reason: str) -> JobReturn:
    """Leave in the folder of a run that its job was lost; give what Hydra says of a run that failed."""
    submission = job.submission()
    launcher, (overrides, _, number, *_) = submission.function, submission.args
    config: DictConfig = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, overrides)
    with read_write(config.hydra.job), open_dict(config.hydra.job):
        config.hydra.job.id, config.hydra.job.num = job.job_id, number
    told: Any = OmegaConf.to_container(config.hydra.overrides.task)
    lost = JobReturn(overrides=told, cfg=config, hydra_cfg=config, status=JobStatus.FAILED)
    first = " ".join(reason.split("\n")[:2])
    lost.return_value = ChildProcessError(f"{first}. What the job said: {job.paths.stderr}")
    folder = _folder(config)
    (folder / SCORE).parent.mkdir(parents=True, exist_ok=True)
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    SweepTable().on_job_end(config, lost)
    return lost


def _folder(config: DictConfig) -> Path:
    """Give the folder of a run, as Hydra names it."""
    instance = HydraConfig.instance()
    before = instance.cfg
    try:
        instance.set_config(config)
        return Path(config.hydra.sweep.dir).absolute() / str(config.hydra.sweep.subdir)
    finally:
        instance.cfg = before
