"""Gaussian noise added to some channels of a batch in one launch.

A voxel's number is a hash of its index and of two keys of its channel: it needs no generator that lives on a
device, what a channel gets does not depend on the others, and every kind of device gives the same numbers but
for rounding.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from ingradient_pl.kernels.availability import usable
from ingradient_pl.kernels.operators import define, on_device_of

NAME = "noise"
MULTIPLIERS = (0x7FEB352D, 0x846CA68B - (1 << 32))
"""Of a 32-bit mixer with little bias (C. Wellons, hash-prospector: lowbias32)."""
UNIFORM = 2.0**-31 * (1 - 2.0**-22)
"""From 32 bits, signed, to a number inside (-1, 1): the ends of a normal distribution lie 5.3 sigma out."""
MOST = 2**31
"""Voxels of a channel, which are counted in 32 bits."""


def fits(volumes: Tensor) -> bool:
    """Whether the kernel can change ``volumes``: on CUDA, with Triton, each channel in one piece.

    Args:
        volumes: Channels of a batch, ``(row, z, y, x)``.
    """
    return usable(NAME, volumes) and volumes.is_contiguous() and volumes[0].numel() < MOST


def add_noise_(
    volumes: Float[Tensor, "channel z y x"], rows: Int64[Tensor, " row"], values: Float[Tensor, "row 3"]
) -> Float[Tensor, "channel z y x"]:
    """Add noise to some channels, in place.

    Args:
        volumes: All channels of a batch, contiguous.
        rows: Which of them are changed, each once.
        values: Of each changed channel: standard deviation times the root of two, and the bits of its two
            keys, as :func:`draw_noise` takes them.

    Returns:
        ``volumes``.
    """
    changed: Tensor = torch.ops.ingradient.add_noise_(volumes, rows, values)
    return changed


def add_noise_twin_(
    volumes: Float[Tensor, "channel z y x"], rows: Int64[Tensor, " row"], values: Float[Tensor, "row 3"]
) -> Float[Tensor, "channel z y x"]:
    """Compute the same as :func:`add_noise_` by torch's operators.

    Args:
        volumes: As there.
        rows: As there.
        values: As there.
    """
    positions = hash_positions(volumes[0].numel(), volumes.device)
    noise = draw_noise(positions, values[:, 1:].view(torch.int32)) * values[:, :1]
    return volumes.index_add_(0, rows, noise.view(-1, *volumes.shape[1:]).to(volumes.dtype))


@lru_cache(maxsize=4)
def hash_positions(voxels: int, device: torch.device) -> Int32[Tensor, " {voxels}"]:
    """Give a hash of each voxel's index: the same for all patches of a run, so worked out once.

    Args:
        voxels: How many, below 2^31.
        device: Where the numbers are wanted.
    """
    words = torch.arange(voxels, dtype=torch.int32, device=device)
    for multiplier in MULTIPLIERS:
        words.bitwise_xor_(words >> 16).mul_(multiplier)
    return words.bitwise_xor_(words >> 15)


def draw_noise(
    positions: Int32[Tensor, " voxel"], keys: Int32[Tensor, "row 2"]
) -> Float[Tensor, "row voxel"]:
    """Give standard normal noise divided by the root of two.

    Args:
        positions: Hash of each voxel's index.
        keys: Which bits of a voxel's hash are flipped, and what it is then multiplied by, which must be odd:
            random words, since small ones that are nearly alike give noise that is nearly alike.
    """
    flips, times = keys[:, :1], keys[:, 1:]
    words = (positions ^ flips).mul_(times)  # 32-bit integers wrap around
    return (words * UNIFORM).erfinv_()


def _add_noise(volumes: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    from ingradient_pl.kernels import noise_triton

    with on_device_of(volumes):
        noise_triton.add_noise_(volumes, rows, values.contiguous(), UNIFORM)
    return volumes


def _add_noise_meta(volumes: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    return volumes


define(
    "add_noise_(Tensor(a!) volumes, Tensor rows, Tensor values) -> Tensor(a!)", _add_noise, _add_noise_meta
)
