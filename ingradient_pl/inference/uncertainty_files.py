"""Maps of uncertainty beside the segmentations of a folder, and the Dice to be expected of a case."""

import math
from pathlib import Path

from ingradient_pl.images import formats
from ingradient_pl.images.formats import Volume
from ingradient_pl.inference.answer_files import DEFAULT_ENDING
from ingradient_pl.inference.calibration import Calibration
from ingradient_pl.inference.uncertainty import Uncertainty
from ingradient_pl.task import Task

MAPS = ("entropy", "disagreement")
"""Folders of the maps, each with a file of the segmentation's name."""


def map_files(target: Path) -> list[Path]:
    """Give the files of the maps that belong to a segmentation.

    Args:
        target: The segmentation.
    """
    name = target.name if formats.ending(target) else f"{target.stem}{DEFAULT_ENDING}"
    return [target.parent / kind / name for kind in MAPS]


def write_uncertainty(found: Uncertainty, target: Path, volume: Volume) -> None:
    """Write both maps, percentages as 8 bit integers, on the grid of the image's file.

    Args:
        found: Of a predicted case.
        target: The segmentation they belong to.
        volume: What was segmented.
    """
    for file, values in zip(map_files(target), (found.entropy, found.disagreement), strict=True):
        file.parent.mkdir(exist_ok=True)
        formats.write_label(file, values, volume)


def estimate_dice(found: Uncertainty, task: Task, calibration: Calibration) -> dict[str, float | None]:
    """Give the Dice to be expected of each foreground label of a case.

    Args:
        found: Of the predicted case.
        task: Of the model.
        calibration: Of the model.
    """
    expected = dict(zip(task.output_names, found.expected_dice(), strict=True))
    return {
        name: None if math.isnan(expected[name]) else round(calibration.estimate(expected[name]), 4)
        for name in task.foreground
        if name in expected
    }
