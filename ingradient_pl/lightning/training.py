"""One training run: a trainer fits a module to data, and whoever stops it learns how to go on."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Timer

from ingradient_pl.lightning.callbacks.epoch_log import FIGURE
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.process_watch import TERMINATED, LostRankError, ProcessWatch
from ingradient_pl.lightning.quiet import without_advice
from ingradient_pl.lightning.resumable import check_resumable
from ingradient_pl.lightning.run_files import LAST, find_state
from ingradient_pl.messages import printable
from ingradient_pl.store.store_union import store_paths
from ingradient_pl.workers.stopped import Stopped


def seed_everything(seed: int) -> None:
    """Seed all generators of this process, and by the environment those of its workers and ranks.

    Args:
        seed: 0 to 2^32 - 1.
    """
    pl.seed_everything(seed, workers=True, verbose=False)


def fit(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    resume: str | None = None,
    metric: str = "val/dice",
) -> float:
    """Fit ``module`` to ``data``; print where the model is, and return ``metric`` (NaN: it was not logged).

    Args:
        trainer: How long, on which devices, with which callbacks.
        module: The network, its loss and its optimiser.
        data: What it sees.
        resume: Checkpoint to go on from.
        metric: Name of what validation logs and a sweep compares.

    Raises:
        Stopped: If the run was told to stop before its end.
        LostRankError: If another process of the run is gone.
        ValueError: If nothing can be trained from the checkpoint, the run's time is limited and its schedule
            is not, or Lightning refuses the settings.
    """
    if resume is not None:
        check_resumable(Path(resume), trainer.max_epochs)
    check_time(trainer, module)
    with stop_plainly(trainer, lambda: _how_to_go_on(trainer)):
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    found: Any = trainer.callback_metrics.get(metric, float("nan"))
    print_end(trainer, metric, data)
    return float(found)


@contextmanager
def stop_plainly(trainer: pl.Trainer, go_on: Callable[[], str]) -> Iterator[None]:
    """Have whoever stops the work of a trainer, and a lost process of it, end it with what to do next.

    Args:
        trainer: That fits, validates or tests within.
        go_on: Says how to go on.

    Raises:
        Stopped: If it was told to stop before its end.
        LostRankError: If another process of the run is gone.
        ValueError: If Lightning refuses the settings.
    """
    watch = ProcessWatch(trainer, go_on)
    try:
        with without_advice(), watch:
            yield
    except SystemExit as asked:  # how Lightning leaves when it is told to, whatever the reason
        raise _stop_error(trainer, go_on, by_signal=watch.terminated) from asked
    except RuntimeError as error:
        _explain(trainer, watch, error, go_on)
        raise
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def print_end(trainer: pl.Trainer, metric: str, data: pl.LightningDataModule) -> None:
    """Print what a run has left behind, once for all ranks.

    Args:
        trainer: Whose run is over.
        metric: Name of its score.
        data: What it saw.
    """
    last = Path(trainer.default_root_dir) / LAST
    if trainer.is_global_zero and not last.is_file():
        _print(f"The run ended after {trainer.global_step} steps. No callback saved {last}.")
    elif trainer.is_global_zero:
        for line in describe_end(trainer, metric, data):
            _print(line)


def describe_end(trainer: pl.Trainer, metric: str, data: pl.LightningDataModule) -> list[str]:
    """Say what a run has left behind: its scores, its model, its pictures, and how to score whole cases.

    Args:
        trainer: Whose run is over.
        metric: Name of its score.
        data: What it saw.
    """
    run, scores = Path(trainer.default_root_dir), trainer.callback_metrics
    lines = [f"{_describe_score(scores, metric)} The model: {run / LAST}; its scores of whole cases:"]
    lines.append(f"  {scoring_command(run / LAST, data)}")
    pictures = newest_pictures(run)
    if pictures:
        more = f" and {len(pictures) - 1} more beside it" if len(pictures) > 1 else ""
        lines.append(f"Pictures, truth beside prediction: {pictures[0]}{more}; curves: {run / FIGURE}")
    return lines


def _describe_score(scores: Mapping[str, Any], metric: str) -> str:
    """Say what a run has reached, or that its score was never measured."""
    if metric not in scores:
        others = ", ".join(sorted(name for name in scores if name.startswith("val/")))
        return f"Trained; {metric} was never measured ({others or 'nothing was: there was no validation'})."
    of = f"{metric}/"
    parts = [
        f"{name.removeprefix(of)} {float(one):.4f}" for name, one in scores.items() if name.startswith(of)
    ]
    told = f" of validation patches ({', '.join(parts)})" if parts else ""
    return f"Trained, {metric} {float(scores[metric]):.4f}{told}."


def newest_pictures(run: Path) -> list[Path]:
    """Give the pictures of validation patches that a run drew last; none where it drew none.

    Args:
        run: Its folder.
    """
    files = sorted((run / "images").glob("val_*_epoch*.png"))
    last = max((file.stem.rpartition("_epoch")[2] for file in files), default="")
    return [file for file in files if file.stem.endswith(f"_epoch{last}")]


def scoring_command(last: Path, data: pl.LightningDataModule) -> str:
    """Give the command that scores a model on the validation cases of its store; of several, one for each.

    Args:
        last: The checkpoint.
        data: Of the run.
    """
    line = f"ingradient predict --checkpoint {shlex.quote(str(last))} --source "
    if not isinstance(data, SegmentationData):
        return f"{line}DATASET"
    kept = " --only validation" if data.split.kept else ""
    paths = [str(path) for path in store_paths(data.store)]
    return "\n  ".join(f"{line}{shlex.quote(path)}{kept}" for path in paths)


def _stop_error(trainer: pl.Trainer, go_on: Callable[[], str], *, by_signal: bool) -> BaseException:
    """Say once that the run was told to stop: the other ranks leave without a word."""
    if trainer.global_rank:
        return SystemExit(TERMINATED if by_signal else 1)
    return Stopped(go_on(), by_signal=by_signal)


def _explain(trainer: pl.Trainer, watch: ProcessWatch, error: RuntimeError, go_on: Callable[[], str]) -> None:
    """Tell of a process that is gone, where that is behind an error; the first rank does so for all."""
    lost = watch.explain(error)
    if watch.was_terminated(error):
        raise _stop_error(trainer, go_on, by_signal=True) from error
    if lost is not None and trainer.global_rank and watch.parent is not None:
        raise SystemExit(1) from error
    if lost is not None:
        raise LostRankError(f"{lost}, and so the run ended. {go_on()}") from error


def check_time(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Refuse a limit of time for a run whose learning rate falls over a number of steps.

    Args:
        trainer: With its callbacks.
        module: With its schedule.

    Raises:
        ValueError: If the run would be cut off at a high rate.
    """
    timed = any(isinstance(callback, Timer) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    if timed and getattr(module, "length_argument", None) is not None:
        raise ValueError(
            "trainer.max_time would cut the run off before its learning rate has fallen, as the schedule "
            "follows the number of epochs. Take recipe=open, whose rate falls in time, or epochs=N "
            "without max_time."
        )


def _how_to_go_on(trainer: pl.Trainer) -> str:
    run = Path(trainer.default_root_dir)
    return describe_stop(trainer, shlex.quote(f"resume={run}"))


def describe_stop(trainer: pl.Trainer, told: str) -> str:
    """Say how far a run came that was stopped, and how it goes on.

    Args:
        trainer: Of the run.
        told: What goes on with it.
    """
    run = Path(trainer.default_root_dir)
    if find_state(run) is None:
        return (
            f"The run was stopped before its first checkpoint: there is nothing in {run} to go on with. "
            "Start it again."
        )
    return f"The run was stopped after {trainer.current_epoch} whole epochs. Go on with it: {told}"


def _print(text: str) -> None:
    print(printable(text))  # noqa: T201 - what a run leaves behind goes to standard output
