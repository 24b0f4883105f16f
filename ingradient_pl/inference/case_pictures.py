"""Predicted cases as pictures: what came out, at a glance."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images import formats
from ingradient_pl.inference.predict_cases import read_case
from ingradient_pl.pictures import case_picture, write_png
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.task import Task

ORIENTATION = "LPS"


def write_pictures(
    cases: Sequence[CaseFiles], predictions: Sequence[Path], task: Task, folder: Path
) -> list[Path]:
    """Write a PNG for each predicted case: its richest slice, the prediction on it, and the truth if known.

    Args:
        cases: What was predicted.
        predictions: The file written for each of ``cases``.
        task: Channels and labels.
        folder: Where to.
    """
    return [
        _write_picture(case, file, task, Path(folder)) for case, file in zip(cases, predictions, strict=True)
    ]


def _write_picture(case: CaseFiles, prediction: Path, task: Task, folder: Path) -> Path:
    volume = read_case(case, task, ORIENTATION)
    image = torch.from_numpy(volume.voxels[0]).float()
    shown = {}
    truth = LabelMap.of(case)
    if truth is not None:
        shown["truth"] = truth.read(ORIENTATION).voxels[0]
    shown["prediction"] = formats.read_label(prediction, ORIENTATION).voxels[0]
    labels = [torch.from_numpy(label.astype("int64")) for label in shown.values()]
    names = {value: name for name, values in task.in_files.foreground.items() for value in values}
    path = folder / f"{case.name}.png"
    picture = case_picture(image, labels, list(shown), volume.frame.spacing, names, case.name)
    write_png(path, picture)
    return path
