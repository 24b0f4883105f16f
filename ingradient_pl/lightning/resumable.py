"""Which checkpoints a training can go on from, and by which name one is called that it cannot."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from ingradient_pl.datasets.resumed_split import OtherDataError
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint_file import OURS, CheckpointError, check_sums
from ingradient_pl.lightning.callbacks.epoch_log import logged_scores
from ingradient_pl.lightning.record_file import FINISHED, read_record
from ingradient_pl.lightning.run_epochs import read_epochs
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.phrases import one_line
from ingradient_pl.spec import check_types

RESTORING = ("_restore_modules_and_callbacks", "restore_training_state")
"""Lightning's methods that put what a checkpoint holds where it belongs."""

NEEDED = ("pytorch-lightning_version", "state_dict", "optimizer_states", "lr_schedulers", "loops")
"""Entries without which Lightning does not go on."""

DONE = ("loops", "fit_loop", "epoch_progress", "current", "processed")
"""Where a checkpoint tells how many epochs are over."""


class _State:
    """Types of what Lightning writes of a training, for :func:`check_types`."""

    def __init__(
        self,
        state_dict: Mapping[str, object],
        optimizer_states: Sequence[Mapping[str, object]],
        lr_schedulers: Sequence[Mapping[str, object]],
        loops: Mapping[str, Mapping[str, object]],
        callbacks: Mapping[str, object],
        epoch: int,
        global_step: int,
    ) -> None: ...


def check_resumable(file: Path, epochs: int | None) -> None:
    """Refuse a checkpoint from which nothing can be trained.

    Args:
        file: The checkpoint.
        epochs: How many the whole run shall have; None or -1 for no end.

    Raises:
        CheckpointError: If it is damaged, or lacks what a training goes on from.
        ValueError: If it holds no state of a training, or has trained so long already.
    """
    found = _read_state(file)
    if "optimizer_states" not in found:
        raise ValueError(
            f"{file} holds a model, but no state of its training (it was imported, perhaps): it can "
            "predict, but not be trained further by resume=."
        )
    done = _check_entries(file, found)
    if epochs is not None and 0 <= epochs <= done:
        raise ValueError(
            f"{file} has trained {done} epochs, and epochs={epochs} are asked for: there is nothing left to "
            f"train. Ask for more: epochs={max(2 * done, 1)}"
        )


def complete_record(run: Path) -> dict[str, Any]:
    """Give what a run says of itself; one whose last state has all its epochs is over, whatever it says.

    A kill between the last state and the record's end, or a record that was lost, does not undo a training.

    Args:
        run: Its folder.

    Raises:
        CheckpointError: If its last state is damaged, or lacks what a training goes on from.
        ValueError: If its record was damaged.
    """
    record = read_record(run)
    if not (run / LAST).is_file():
        return record
    found = _read_state(run / LAST)  # or refused: a run whose model is damaged is not over, either
    if record.get("state") == FINISHED:
        return record
    done = _check_entries(run / LAST, found) if "optimizer_states" in found else 0
    own = found.get(OURS)
    known = record or (own.get("run") if isinstance(own, Mapping) else None)
    length = known.get("length") if isinstance(known, Mapping) else None
    asked = length.get("epochs") if isinstance(length, Mapping) else None
    if not isinstance(known, Mapping) or not isinstance(asked, int) or not 0 < asked <= done:
        return record
    scores = [logged_scores(epoch) for epoch in read_epochs(run) if epoch["epoch"] == done]
    ended = {"state": FINISHED, "epochs_done": done, "scores": dict(*scores)}
    return {**known, **ended, "steps_done": found["global_step"]}


def name_file(trainer: pl.Trainer) -> None:
    """Have what goes wrong while a checkpoint is put in place told with the name of its file.

    Args:
        trainer: Before it fits.
    """
    connector: Any = trainer._checkpoint_connector
    for name in RESTORING:
        setattr(connector, name, _name_of(getattr(connector, name), trainer))


def _name_of(restore: Callable[..., None], trainer: pl.Trainer) -> Callable[..., None]:
    @wraps(restore)
    def run(*arguments: Any, **keywords: Any) -> None:
        try:
            restore(*arguments, **keywords)
        except (CheckpointError, OtherDataError):
            raise
        except Exception as error:
            if trainer.ckpt_path is None:
                raise
            reason = "it does not fit what is configured, or was changed"
            if "loading state_dict" in str(error):
                reason = "it is of another network than the configured one"
            raise CheckpointError(
                f"{trainer.ckpt_path} cannot be gone on with: {reason} ({type(error).__name__}: "
                f"{one_line(error)})."
            ) from error

    return run


def _check_entries(file: Path, found: Mapping[str, Any]) -> int:
    """Hold a state to what a training goes on from; give the epochs that are over."""
    missing = [name for name in NEEDED if name not in found]
    try:
        check_types(_State, found)
        done: Any = found
        for name in DONE if not missing else ():
            if name not in done:
                missing.append(".".join(DONE))
                break
            done = done[name]
    except TypeError as error:
        raise CheckpointError(
            f"{file} cannot be trained on: {one_line(error)} Take another checkpoint of the run."
        ) from error
    if missing:
        raise CheckpointError(
            f"{file} cannot be trained on: it lacks {', '.join(map(repr, missing))}. Take another checkpoint "
            "of the run."
        )
    if not isinstance(done, int) or isinstance(done, bool) or done < 0:
        raise CheckpointError(
            f"{file} cannot be trained on: '{'.'.join(DONE)}' is {str(done)[:60]}, and not a number of "
            "epochs. Take another checkpoint of the run."
        )
    return done


def _read_state(file: Path) -> Mapping[str, Any]:
    """Open the state of a run; where it is damaged, offer the best one if that is whole."""
    best = file.with_name("best.ckpt")
    try:
        return checkpoint.read_content(file)
    except checkpoint.CheckpointError as error:
        if file.name != LAST.name or not _is_whole(best):
            raise
        copy = shlex.join(["cp", str(best), str(file)])
        raise checkpoint.CheckpointError(
            f"{error} The state of the best validation is whole, perhaps some epochs older: to go on from "
            f"it, {copy} and resume again."
        ) from error


def _is_whole(file: Path) -> bool:
    try:
        check_sums(file)
    except checkpoint.CheckpointError:
        return False
    return True
