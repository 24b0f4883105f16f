"""Maps of uncertainty beside the segmentations of a folder, and the Dice to be expected of a case."""

import math
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.images import formats
from ingradient_pl.images.formats import Volume
from ingradient_pl.inference.answer_files import map_files
from ingradient_pl.inference.calibration import Calibration
from ingradient_pl.inference.dice_estimates import ESTIMATES
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.uncertainty import Uncertainty
from ingradient_pl.task import Task


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


def describe_limits(model: Model, mirrored: Sequence[int]) -> list[str]:
    """Say what maps and estimates of a model do not tell.

    Args:
        model: Whose they will be.
        mirrored: Axes whose mirrored passes are averaged.
    """
    told = []
    if len(model.networks) == 1 and not model.others and not mirrored:
        told.append(
            "Note: one network without mirrored passes disagrees with itself only where windows overlap: the "
            "map of disagreement tells little. Name the checkpoints of several folds."
        )
    if model.calibration == Calibration():
        told.append(
            f"Note: the model is not calibrated, so that {ESTIMATES} may be far too high. ingradient "
            "calibrate corrects it on cases that it was not trained on."
        )
    elif not model.calibration.has_line or model.calibration.at_end:
        told.append(
            f"Note: what the model was calibrated on gave no line from expected to found Dice, or it is "
            f"barely trained: {ESTIMATES} may be far too high. Calibrate on more cases, once it is trained."
        )
    return told


def describe_beyond(found: Uncertainty, task: Task, calibration: Calibration) -> str:
    """Say of which labels the Dice is expected where calibration has seen none; empty where there is none.

    Args:
        found: Of a predicted case.
        task: Of the model.
        calibration: Of the model.
    """
    expected = dict(zip(task.output_names, found.expected_dice(), strict=True))
    beyond = [
        f"{name} {expected[name]:.2f}"
        for name in task.foreground
        if not math.isnan(expected.get(name, math.nan)) and not calibration.reaches(expected[name])
    ]
    if not beyond:
        return ""
    ends = f"{calibration.least:.2f} to {calibration.most:.2f}"
    return (
        f"its probabilities let expect a Dice ({', '.join(beyond)}) unlike those of the cases that the model "
        f"was calibrated on ({ends}): {ESTIMATES} is a guess there"
    )


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
