"""Predicted cases as pictures: what came out, at a glance."""

from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images import formats
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.pictures.cases import case_picture
from ingradient_pl.pictures.slices import write_png
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.task import Task

ORIENTATION = "LPS"


def write_pictures(
    cases: Sequence[CaseFiles], predictions: Sequence[Path], task: Task, folder: Path
) -> list[Path]:
    """Write a PNG for each predicted case: three planes, the prediction on them, and the truth if known.

    Args:
        cases: What was predicted.
        predictions: The file written for each of ``cases``.
        task: Channels and labels.
        folder: Where to.
    """
    return [
        write_picture(case, file, task, Path(folder)) for case, file in zip(cases, predictions, strict=True)
    ]


def write_picture(case: CaseFiles, prediction: Path | None, task: Task, folder: Path) -> Path:
    """Write a PNG of a case, with what is known: its truth, and a prediction.

    Args:
        case: Where its files are.
        prediction: A label file on the grid of the case; None where there is none.
        task: Channels and labels.
        folder: Where to.

    Returns:
        The file that was written.

    Raises:
        ImageError: If a file cannot be read, or another has other channels.
    """
    volume = read_case(case, task, ORIENTATION)
    shown, truth = {}, LabelMap.of(case)
    if truth is not None:
        shown["truth"] = truth.read(ORIENTATION).voxels[0]
    if prediction is not None:
        shown["prediction"] = formats.read_label(prediction, ORIENTATION).voxels[0]
    names = {value: name for name, values in task.in_files.foreground.items() for value in values}
    path = folder / f"{case.name}.png"
    channels = dict(zip(task.channels, volume.voxels, strict=True))
    write_png(path, case_picture(channels, shown, volume.frame.spacing, names, case.name))
    return path
