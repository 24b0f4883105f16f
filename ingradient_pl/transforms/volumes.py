"""Channels of a batch as a stack of volumes: how it is gone through, and mean, deviation and range of each.

All answers have the shape (row, 1, 1, 1).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.transforms.resample import on_host

Volumes = Float[Tensor, "row z y x"]
Numbers = Float[Tensor, "row 1 1 1"]
SPACE = (1, 2, 3)
LARGE = 1 << 15
"""Voxels from which a CPU takes volumes one by one, where they lie; to take smaller ones out and put them
back costs less than to call every operation for each."""


def one_by_one(volumes: Volumes) -> bool:
    """Tell whether volumes are changed one by one: large ones on a CPU. It depends on their shape alone.

    Args:
        volumes: All of one shape.
    """
    return on_host(volumes) and math.prod(volumes.shape[1:]) >= LARGE


def means(volumes: Volumes) -> Numbers:
    """Give the mean of each volume.

    Args:
        volumes: Left as they are.
    """
    return volumes.mean(SPACE, keepdim=True)


def ranges(volumes: Volumes) -> tuple[Numbers, Numbers]:
    """Give the smallest and the largest voxel of each volume.

    Args:
        volumes: Left as they are.
    """
    if one_by_one(volumes) and len(volumes) == 1:  # along a dimension a CPU takes ten times as long
        ends = volumes.aminmax()
        return ends.min.view(1, 1, 1, 1), ends.max.view(1, 1, 1, 1)
    low, high = volumes.flatten(1).aminmax(dim=1)
    return low.view(-1, 1, 1, 1), high.view(-1, 1, 1, 1)


def take_moments_(volumes: Volumes) -> tuple[Numbers, Numbers, Numbers]:
    """Give mean and standard deviation of each volume, and what its mean is now.

    A CPU subtracts the mean in place, since :func:`torch.var` takes fifty times as long there; elsewhere the
    volumes are left alone.

    Args:
        volumes: Of which a CPU takes the mean away, in place.
    """
    if not on_host(volumes):
        std, mean = torch.std_mean(volumes, SPACE, correction=0, keepdim=True)
        return mean, std, mean
    mean = means(volumes)
    length = torch.linalg.vector_norm(volumes.sub_(mean), dim=SPACE, keepdim=True)
    return mean, length / volumes[0].numel() ** 0.5, torch.zeros_like(mean)
