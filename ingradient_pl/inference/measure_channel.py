"""Intensities of a channel of a case that is to be predicted: on the host, or counted on a device."""

import numpy as np
import torch
from jaxtyping import Bool, Num
from numpy.typing import NDArray

from ingradient_pl.store.statistics import ChannelStatistics, Statistics

COUNTED = {np.dtype(name): name for name in ("uint8", "int8", "int16")}
"""Types of which every value is counted; others are measured on the host."""
PART = 1 << 24
"""Voxels counted together, in 32 bits."""


def measure_channel(
    channel: Num[np.ndarray, "z y x"],
    inside: Bool[np.ndarray, "z y x"] | None,
    device: torch.device | None = None,
) -> ChannelStatistics:
    """Measure a channel as the store's builder does.

    Args:
        channel: Native intensities after the crop.
        inside: True inside the patient; None where that is every voxel.
        device: Counts integers of up to 16 bits, some at a time; None, a CPU, and other numbers: the host.
    """
    if device is not None and device.type != "cpu" and channel.dtype in COUNTED:
        return _count(channel, inside, device)
    whole = Statistics.of(channel)
    assert whole is not None  # a box is never empty
    within = None if inside is None else Statistics.of(channel[inside])
    return ChannelStatistics(whole, within or whole, None)


def _count(
    channel: Num[np.ndarray, "z y x"], inside: Bool[np.ndarray, "z y x"] | None, device: torch.device
) -> ChannelStatistics:
    """Count on a device how often each integer occurs, inside and outside the patient."""
    ends = np.iinfo(channel.dtype)
    values = ends.max - ends.min + 1
    counts = torch.zeros(2 * values, dtype=torch.int64, device=device)
    slices = max(1, PART // max(1, channel[0].size))
    for start in range(0, len(channel), slices):
        part = torch.from_numpy(np.ascontiguousarray(channel[start : start + slices])).to(device)
        places = part.int() - ends.min
        if inside is not None:
            outside = np.ascontiguousarray(~inside[start : start + slices])
            places += torch.from_numpy(outside).to(device).int() * values
        counts += torch.bincount(places.flatten(), minlength=2 * values)
    within, beyond = counts.cpu().numpy().reshape(2, values)
    whole = Statistics.of_counts(*_trim(within + beyond, ends.min))
    body = Statistics.of_counts(*_trim(within, ends.min)) if inside is not None and within.any() else whole
    return ChannelStatistics(whole, body, None)


def _trim(counts: NDArray[np.int64], low: int) -> tuple[NDArray[np.int64], int]:
    """Leave out the integers below the least that occurs and above the greatest."""
    found = np.flatnonzero(counts)
    return counts[found[0] : found[-1] + 1], low + int(found[0])
