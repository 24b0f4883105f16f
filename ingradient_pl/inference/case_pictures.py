"""Predicted cases as pictures: what came out, at a glance."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images.packed_masks import number_together
from ingradient_pl.inference.answer_files import check_folder, check_targets, refuse_other
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.metrics.label_translation import read_translated
from ingradient_pl.pictures.cases import case_picture
from ingradient_pl.pictures.slices import MARK, write_png
from ingradient_pl.store.label_maps import LabelMap, find_answers
from ingradient_pl.task import Task

ORIENTATION = "LPS"


def write_pictures(
    cases: Sequence[CaseFiles], predictions: Mapping[str, LabelMap], task: Task, folder: Path
) -> list[Path]:
    """Write a PNG for each predicted case: three planes, the prediction on them, and the truth if known.

    Args:
        cases: What was predicted.
        predictions: What was written for each of ``cases``, by its name.
        task: Channels and labels.
        folder: Where to.
    """
    return [write_picture(case, predictions[case.name], task, Path(folder)) for case in cases]


def map_answers(
    cases: Sequence[CaseFiles], written: Sequence[Path], folder: Path, task: Task
) -> Mapping[str, LabelMap]:
    """Give what was written for cases, by their names.

    Args:
        cases: What was predicted.
        written: The file of each.
        folder: Where they lie.
        task: As answers hold its labels.
    """
    if task.overlap is not None:
        return find_answers(folder, task)
    return {case.name: LabelMap(file) for case, file in zip(cases, written, strict=True)}


def check_pictures(cases: Sequence[CaseFiles], folder: Path, inputs: Sequence[Path]) -> None:
    """Refuse to draw cases over what is read, or over a file that is not a picture of ours.

    Args:
        cases: That will be drawn.
        folder: Where to.
        inputs: Files that are read or written besides.

    Raises:
        OutputError: If one is there, or the folder is a file or called like one.
    """
    check_folder(folder, "pictures")
    targets = [folder / f"{case.name}.png" for case in cases]
    check_targets(targets, inputs)
    for target in targets:
        refuse_other(target, (".png",), MARK)


def write_picture(case: CaseFiles, prediction: LabelMap | None, task: Task, folder: Path) -> Path:
    """Write a PNG of a case, with what is known: its truth, and a prediction.

    Args:
        case: Where its files are.
        prediction: On the grid of the case; None where there is none.
        task: Channels and labels.
        folder: Where to.

    Returns:
        The file that was written.

    Raises:
        ImageError: If a file cannot be read, or another has other channels.
    """
    volume = read_case(case, task, ORIENTATION)
    maps = {"truth": LabelMap.of(case), "prediction": prediction}
    known = {title: label for title, label in maps.items() if label is not None}
    if task.overlap is None:
        shown = {title: read_translated(one, task, ORIENTATION).voxels[0] for title, one in known.items()}
        names, groups = {v: name for name, held in task.in_files.foreground.items() for v in held}, None
    else:
        shown, groups = read_together(known, task)
        names = dict(enumerate(task.foreground, 1))
    path = folder / f"{case.name}.png"
    channels = dict(zip(task.channels, volume.voxels, strict=True))
    picture = case_picture(channels, shown, volume.frame.spacing, names, case.name, groups=groups)
    write_png(path, picture)
    return path


def read_together(
    labels: Mapping[str, LabelMap], task: Task
) -> tuple[dict[str, Integer[np.ndarray, "z y x"]], list[tuple[int, ...]]]:
    """Read label maps that may overlap as integers of combinations that mean the same in all of them.

    Args:
        labels: By their title.
        task: Whose labels are wanted.

    Returns:
        A label map of each, its axes towards L, P and S; and the integers of each label of the task.

    Raises:
        ImageError: If a file cannot be read.
    """
    names, told = list(task.foreground), {}
    for title, label in labels.items():
        named = label if label.masks else label._replace(task=label.find_task() or task)
        told[title] = named.read_masks(names, ORIENTATION).voxels
    numbered, groups = number_together(list(told.values()), len(names))
    return dict(zip(told, numbered, strict=True)), groups
