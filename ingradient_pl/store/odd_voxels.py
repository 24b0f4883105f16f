"""What makes the voxels of a case useless or wrong though its files are whole: said when it is prepared."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.records import CaseFiles

HOUNSFIELD = "ct"
"""Name of a channel that is normalised as Hounsfield units, in small letters."""

NARROW = 30
"""Difference of the largest and smallest value below which a CT was scaled."""

WRAPPED = 20_000
"""Values above which a CT without negative ones holds those as unsigned numbers."""

MOST_BLANK = 2
"""Planes in a row that may be lost; more are a gap between two parts of the body."""

SHOWN = 4


def describe_voxels(
    case: CaseFiles,
    voxels: NDArray[Any],
    label: NDArray[Any] | None,
    channels: Sequence[str],
    spacing: Sequence[float],
) -> list[str]:
    """Say what is odd: a channel of one value, blank slices, two equal channels, a CT that is none.

    Args:
        case: Its files.
        voxels: Shape (channel, z, y, x).
        label: Shape (z, y, x), as the store numbers it; None where the case has none.
        channels: Names of the channels.
        spacing: In mm (z, y, x); slices lie along the axis of the largest.
    """
    told = []
    for number, one in enumerate(voxels):
        file = case.images[min(number, len(case.images) - 1)]
        along = np.moveaxis(one, int(np.argmax(spacing)), 0).reshape(one.shape[int(np.argmax(spacing))], -1)
        lows, highs = along.min(axis=1), along.max(axis=1)
        low, high = lows.min(), highs.max()
        if low == high:
            told.append(f"{file}: every voxel of channel {number} is {low}. Is it the right file?")
            continue
        blank = _blank_inside(lows == highs)
        if blank:
            some = ", ".join(map(str, blank[:SHOWN])) + (", ..." if len(blank) > SHOWN else "")
            told.append(
                f"{file}: {len(blank)} slice(s) of channel {number} between others hold one value only "
                f"(slice {some}, from 0). Are they lost?"
            )
        told += [f"{file}: {text}" for text in describe_hounsfield(channels[number], float(low), float(high))]
    told += _describe_equal(case, voxels)
    if label is not None and label.any() and np.array_equal(voxels[0], label):
        told.append(f"{case.label}: it holds the voxels of the image {case.images[0]}. Is it the right file?")
    return told


def _blank_inside(blank: NDArray[np.bool_]) -> list[int]:
    """Give blank planes, few in a row, that lie between planes that are not blank."""
    content = np.flatnonzero(~blank)
    gaps = [range(one + 1, other) for one, other in pairwise(content)]
    return [int(plane) for gap in gaps if len(gap) <= MOST_BLANK for plane in gap]


def describe_hounsfield(channel: str, low: float, high: float) -> list[str]:
    """Say why the values of a CT cannot be Hounsfield units, where air is -1000 and water 0.

    Args:
        channel: Name of the channel; one that is not ``CT`` may hold anything.
        low: The smallest value.
        high: The largest.
    """
    if channel.strip().lower() != HOUNSFIELD:
        return []
    if high - low < NARROW:
        return [
            f"its values run from {low:g} to {high:g}, so they are not Hounsfield units. Was it scaled? Name "
            "the channel otherwise than CT, or save the values of the scanner."
        ]
    if low >= 0 and high > WRAPPED:
        return [
            f"its values run from {low:g} to {high:g}: negative Hounsfield units were saved as unsigned "
            "numbers, so that air is brighter than bone. Save it as int16."
        ]
    if low >= 0:
        return [
            f"its values run from {low:g} to {high:g}, none below 0, where air has -1000 Hounsfield units. "
            "Is an intercept of -1024 missing?"
        ]
    return []


def _describe_equal(case: CaseFiles, voxels: NDArray[Any]) -> list[str]:
    """Say which channels hold the same voxels."""
    pairs = [(one, other) for other in range(len(voxels)) for one in range(other)]
    same = [pair for pair in pairs if np.array_equal(voxels[pair[0]], voxels[pair[1]])]
    last = len(case.images) - 1
    return [
        f"{case.images[min(other, last)]}: channel {other} holds the same voxels as channel {one}. Was a "
        "file copied?"
        for one, other in same[:1]
    ]
