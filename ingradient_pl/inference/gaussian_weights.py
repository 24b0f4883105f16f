"""How overlapping windows become one answer: Gaussian weights that add up to one at every voxel."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

SIGMAS_PER_PATCH = 8


def gaussian(length: int) -> Float[Tensor, " length"]:
    """Give the Gaussian that weighs a window along one axis: the middle counts most, the rim hardly.

    Its standard deviation is an eighth of the window; its centre is voxel ``length // 2``.

    Source: nnU-Net v2, https://github.com/MIC-DKFZ/nnUNet

    Args:
        length: Voxels of the window along the axis.
    """
    distance = torch.arange(length, dtype=torch.float64) - length // 2
    return torch.exp(-0.5 * (distance * SIGMAS_PER_PATCH / length) ** 2)


def window_weights(starts: Sequence[int], length: int) -> Float[Tensor, "window {length}"]:
    """Give how much each window along one axis has to say at each of its voxels.

    At every voxel of the axis the shares of the windows that cover it add up to one. A window's weight in
    space is the product of its shares along the three axes, and since windows lie on a lattice those
    products add up to one as well: no map of weights is kept, nothing has to be divided in the end, and
    sums stay as small as the logits themselves, so that half precision can hold them. The answer is that of
    nnU-Net's weighted mean.

    Args:
        starts: First voxel of each window, ascending.
        length: Voxels of each window along the axis.

    >>> window_weights([0, 2], 3).round(decimals=2)  # the voxel they share is as far from both centres
    tensor([[1.0000, 1.0000, 0.5000],
            [0.5000, 1.0000, 1.0000]], dtype=torch.float64)
    """
    weights = gaussian(length)
    total = weights.new_zeros(max(starts) + length)
    for start in starts:
        total[start : start + length] += weights
    return torch.stack([weights / total[start : start + length] for start in starts])


def padding(shape: Sequence[int], patch: Sequence[int]) -> list[tuple[int, int]]:
    """Give how many voxels go before and after each axis so that a window fits; an odd one goes after.

    Args:
        shape: Voxels of the case along each axis.
        patch: Voxels of a window along each axis.

    >>> padding((5, 4, 9), (8, 8, 8))
    [(1, 2), (2, 2), (0, 0)]
    """
    missing = [max(0, length - size) for size, length in zip(shape, patch, strict=True)]
    return [(count // 2, math.ceil(count / 2)) for count in missing]
