"""What makes the voxels of a case useless or wrong though its files are whole: said when it is prepared."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.phrases import name_some
from ingradient_pl.store.hounsfield import describe_hounsfield

MOST_BLANK = 2
"""Planes in a row that may be lost; more are a gap between two parts of the body."""


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
            told.append(
                f"{file}: {len(blank)} slice(s) of channel {number} between others hold one value only "
                f"(slice {name_some(blank)}, from 0). Are they lost?"
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
