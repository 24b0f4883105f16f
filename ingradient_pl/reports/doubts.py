"""What a report says about uncertainty: maps of evaluated cases, and the Dice that was expected of them."""

import math
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from ingradient_pl.images import formats
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.raw_image import describe_difference
from ingradient_pl.inference.answer_files import MAPS, map_files
from ingradient_pl.inference.dice_estimates import ESTIMATES, read_estimates
from ingradient_pl.inference.uncertainty import FULL
from ingradient_pl.phrases import one_line
from ingradient_pl.reports.charts import draw_points
from ingradient_pl.reports.parts import Chart, Part, Text
from ingradient_pl.reports.summaries import FAULTS, Summary

MOST = 4000
"""Points of a chart."""
DEPTH = 4
"""Folders, from a prediction's own upwards, in which its maps and estimates may lie."""


def read_maps(
    prediction: Path, name: str, grid: Volume
) -> tuple[dict[str, Integer[np.ndarray, "z y x"]], list[str]]:
    """Read the maps of uncertainty beside a segmentation, as percentages by name; none where there are none.

    Args:
        prediction: File of the segmentation, or of one of its masks.
        name: Of the case.
        grid: What lies where they must lie.

    Returns:
        The maps, and why others are left out.
    """
    maps, notes = {}, list[str]()
    target = _answers_of(prediction) / f"{name}{formats.ending(prediction)}"
    for kind, file in zip(MAPS, map_files(target), strict=True):
        try:
            found = formats.read_label(file, "LPS") if file.is_file() else None
        except FAULTS as error:
            notes.append(f"map of {kind} left out: {one_line(error)}")
            continue
        if found is None:
            continue
        apart = describe_difference(grid, found)
        if apart:
            notes.append(f"map of {kind} left out: {apart} the segmentation")
        elif found.voxels.max(initial=0) > FULL:
            notes.append(f"map of {kind} left out: it holds {found.voxels.max()}, percentages end at {FULL}")
        else:
            maps[kind] = found.voxels[0]
    return maps, notes


def _answers_of(prediction: Path) -> Path:
    """Give the folder of segmentations that a file belongs to: of several masks, each may lie deeper."""
    above = prediction.parents[:DEPTH]
    told = (one for one in above if (one / ESTIMATES).is_file() or (one / MAPS[0]).is_dir())
    return next(told, prediction.parent)


def describe_estimates(summary: Summary) -> list[Part]:
    """Hold the Dice that was expected of each case and label against the one that was found.

    Args:
        summary: Of an evaluation; its predictions may have estimates beside them.
    """
    folders = dict.fromkeys(_answers_of(prediction) for prediction, _ in summary.files.values())
    expected: dict[str, dict[str, float | None]] = {}
    for folder in folders:
        try:
            expected |= {name: dict(labels) for name, labels in read_estimates(folder).items()}
        except (ValueError, OSError):  # a damaged file takes nothing from the page
            continue
    points = [
        (float(guess), scores.get("Dice", math.nan), f"{case}, {summary.names[label]}")
        for case, labels in summary.cases.items()
        for label, scores in labels.items()
        if (guess := expected.get(case, {}).get(summary.names[label])) is not None
    ]
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return []
    x, y, names = zip(*points[:: -(-len(points) // MOST)], strict=True)
    off = float(np.mean([abs(guess - dice) for guess, dice, _ in points]))
    told = (
        f"{ESTIMATES} beside the predictions says which Dice probabilities let expect: of {len(points)} "
        f"cases and labels it is off by {off:.3f} on average. In those far to the lower right the model was "
        "sure and wrong."
    )
    titles = "Dice that was expected", "Dice that was found"
    return [
        Text(told),
        Chart("Expected and found Dice, a point for each case and label", draw_points(x, y, names, titles)),
    ]
