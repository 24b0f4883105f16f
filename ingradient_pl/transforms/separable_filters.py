"""What changes of intensity are made of: choices on the host, matrices along axes, noise on the device."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.transforms.resample import multiply_slices
from ingradient_pl.transforms.spline import linear_rows, resized_positions

Range = tuple[float, float]
Image = Float[Tensor, "channel z y x"]
Rows = NDArray[np.float64]

HALF = 0.5
SEEDS = 2**63 - 1


def choose_channels(patch: Image, rng: np.random.Generator, share: float) -> Iterator[Image]:
    """Give each channel with probability ``share``, as a view that keeps the channel's axis."""
    for channel in range(patch.shape[0]):
        if rng.random() < share:
            yield patch[channel : channel + 1]


def about_one(rng: np.random.Generator, factor: Range) -> float:
    """Draw a factor as often from below 1 as from above, uniform in either part."""
    low, high = factor
    if rng.random() < HALF and low < 1:
        return float(rng.uniform(low, min(1.0, high)))
    return float(rng.uniform(max(low, 1.0), max(high, 1.0)))


def noise_like(patch: Tensor, rng: np.random.Generator) -> Tensor:
    """Give standard normal noise, drawn on the device from a seed drawn on the host."""
    generator = torch.Generator(patch.device).manual_seed(int(rng.integers(SEEDS)))
    return torch.empty_like(patch).normal_(generator=generator)


def apply_filter(channel: Image, rows: Sequence[Rows | None]) -> None:
    """Multiply each axis by its matrix, in place; None leaves an axis alone."""
    volume = multiply_slices(
        channel, [None if matrix is None else to_device_of(matrix, channel) for matrix in rows]
    )
    if volume is not channel:
        channel.copy_(volume)


def blur_rows(voxels: int, sigma: float) -> Rows | None:
    """Give a Gaussian blur as a matrix: three sigma either way, edges mirrored, as nnU-Net's."""
    radius = max(0, round((6 * sigma - 0.5) / 2))
    if voxels == 1 or radius == 0:
        return None
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    mirrored = _reflect_rows(voxels, radius)
    shifted = (weight * mirrored[tap : tap + voxels] for tap, weight in enumerate(taps / taps.sum()))
    return np.asarray(sum(shifted))


@lru_cache(maxsize=16)
def _reflect_rows(voxels: int, radius: int) -> Rows:
    """Give the matrix that repeats an axis beyond its ends, mirrored."""
    return np.pad(np.eye(voxels), ((radius, radius), (0, 0)), mode="reflect")


def coarse_rows(voxels: int, count: int) -> Rows | None:
    """Give the matrix that leaves ``count`` voxels, the nearest ones, and interpolates between them."""
    if count >= voxels:
        return None
    left = np.floor((np.arange(count) + 0.5) * (voxels / count)).astype(int)
    rows = np.zeros((voxels, voxels))
    rows[:, left] = linear_rows(count, resized_positions(count, voxels))
    return rows


def to_device_of(numbers: Rows, like: Tensor) -> Tensor:
    """Send numbers to where ``like`` is, without waiting."""
    host = torch.from_numpy(numbers).to(like.dtype)
    return (host.pin_memory() if like.is_cuda else host).to(like.device, non_blocking=True)
