"""Normal noise by counting: a voxel's number is a hash of its index and of two keys of its volume.

It needs no generator that lives on a device, all volumes of a batch are made by the same few kernels, what
one gets does not depend on the others, and every kind of device gives the same numbers but for rounding.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from ingradient_pl.transforms.resample import on_host

MULTIPLIERS = (0x7FEB352D, 0x846CA68B - (1 << 32))
"""Of a 32-bit mixer with little bias (C. Wellons, hash-prospector: lowbias32)."""
UNIFORM = 2.0**-31 * (1 - 2.0**-22)
"""From 32 bits, signed, to a number inside (-1, 1): the ends of a normal distribution lie 5.3 sigma out."""
BLOCK = 1 << 15
"""Voxels that a CPU takes all the way at once, so that they stay in its cache."""


def normal_noise(keys: Int32[Tensor, "row 2"], voxels: int) -> Float[Tensor, "row {voxels}"]:
    """Give standard normal noise divided by the root of two, float32, of ``voxels`` for each row of keys.

    Args:
        keys: Which bits of a voxel's hash are flipped, and what it is then multiplied by, which must be odd:
            random words, since small ones that are nearly alike give noise that is nearly alike.
        voxels: How many, below 2^31.
    """
    positions = hash_positions(voxels, keys.device)
    if not on_host(keys):
        return _draw(positions, keys)
    noise = torch.empty(len(keys), voxels)
    for start in range(0, voxels, BLOCK):
        noise[:, start : start + BLOCK] = _draw(positions[start : start + BLOCK], keys)
    return noise


@lru_cache(maxsize=4)
def hash_positions(voxels: int, device: torch.device) -> Int32[Tensor, " {voxels}"]:
    """Give a hash of each voxel's index: the same for all patches of a run, so worked out once."""
    words = torch.arange(voxels, dtype=torch.int32, device=device)
    for multiplier in MULTIPLIERS:
        words.bitwise_xor_(words >> 16).mul_(multiplier)
    return words.bitwise_xor_(words >> 15)


def _draw(positions: Int32[Tensor, " voxel"], keys: Int32[Tensor, "row 2"]) -> Float[Tensor, "row voxel"]:
    flips, times = keys[:, :1], keys[:, 1:]
    words = (positions ^ flips).mul_(times)  # 32-bit integers wrap around
    return (words * UNIFORM).erfinv_()
