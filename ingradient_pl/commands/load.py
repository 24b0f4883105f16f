"""Open a checkpoint as a :class:`Predictor` that segments arrays."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ingradient_pl.commands.inputs import AnyPath, to_paths
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.postprocess import Steps
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.window_batch import WindowBatch as WindowBatch
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.messages import UsageError
from ingradient_pl.spec import TRUSTED

MODEL = "model.ckpt"
"""What a cross-validation leaves in its folder."""


def load(
    checkpoint: AnyPath | list[AnyPath],
    device: str | None = None,
    step: float = 0.5,
    window_batch: WindowBatch = "auto",
    mirror: bool = True,  # noqa: FBT001 - a switch of the command line
    trust: list[str] | None = None,
) -> Predictor:
    """Open a checkpoint, or several whose answers are averaged, to predict arrays and files with.

    Args:
        checkpoint: File that training or import-nnunet wrote, or the folder of a run or of a
            cross-validation, or several.
        device: cpu, cuda, cuda:1, mps; the best there is if not given.
        step: Step between windows as a fraction of the patch size, in (0, 1]: nnU-Net's tile_step_size;
            windows overlap by 1 - step.
        window_batch: Windows that go through the network together; auto: as many as is fastest and fits.
        mirror: Whether to average over mirrored passes, along the axes that training mirrored.
        trust: Packages outside this one whose classes the checkpoint may name, such as [monai].

    Returns:
        A predictor: ``predict(array, spacing)`` takes (channel, z, y, x) and mm, and gives (z, y, x).

    Raises:
        CheckpointError: If a file is not a checkpoint, or the files do not fit together.
        UsageError: If ``step``, ``window_batch`` or ``device`` cannot be used.
    """
    model = checkpoints.read(checkpoint_files(checkpoint), (*TRUSTED, *(trust or ())))
    try:
        return Predictor(model, device or best_device(), window_batch, step, None if mirror else ())
    except ValueError as error:  # there is no such step or device
        raise UsageError(str(error)) from error


def without_postprocess(predictor: Predictor) -> Predictor:
    """Give a predictor without the post-processing that its checkpoint brings: another one takes its place.

    Args:
        predictor: As :func:`load` gives it.
    """
    return replace(predictor, model=predictor.model._replace(postprocess=Steps()))


def checkpoint_files(checkpoint: AnyPath | Sequence[AnyPath]) -> list[Path]:
    """Give the file of each checkpoint; of a run's folder its last one.

    Args:
        checkpoint: Files, or folders of runs or cross-validations.

    Raises:
        CheckpointError: If a folder is not a run's, the run has no checkpoint yet, or one is named twice.
    """
    files = [_of_folder(path) if path.is_dir() else path for path in to_paths(checkpoint)]
    named = [file.resolve() for file in files]
    twice = next((file for number, file in enumerate(files) if named[number] in named[:number]), None)
    if twice is not None:
        raise checkpoints.CheckpointError(f"{twice} is named twice and would count twice. Name it once.")
    return files


def _of_folder(folder: Path) -> Path:
    for file in (folder / LAST, folder / LAST.name, folder / MODEL):
        if file.is_file():
            return file
    if (folder / "plans.json").is_file():
        raise checkpoints.CheckpointError(
            f"{folder} is a model folder of nnU-Net's: make a checkpoint of it: ingradient import-nnunet "
            f"--model {shlex.quote(str(folder))} --output model.ckpt"
        )
    raise checkpoints.CheckpointError(
        f"{folder} is a folder without {LAST}: give a checkpoint's file, or the folder of a run or of "
        "a finished cross-validation."
    )


def best_device() -> str:
    """Name the fastest device of this machine: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
