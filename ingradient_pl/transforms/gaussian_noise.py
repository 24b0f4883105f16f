"""Gaussian noise, made by counting voxels: no generator on the device, one kernel for all channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32
from torch import Tensor
from typing_extensions import override

from ingradient_pl.kernels import noise as noise_kernel
from ingradient_pl.transforms.augmentation_table import DrawnOnDevice
from ingradient_pl.transforms.channel_intensity import Additive, Uniforms
from ingradient_pl.transforms.resample import on_host
from ingradient_pl.transforms.separable_filters import Range, within
from ingradient_pl.transforms.volumes import Volumes

BLOCK = 1 << 15
"""Voxels that a CPU takes all the way at once, so that they stay in its cache."""


@dataclass(frozen=True)
class GaussianNoise(Additive):
    """Add noise, independent in each voxel.

    Args:
        sigma: Range of its standard deviation (nnU-Net calls it variance and uses it as this).
        p: Probability of each patch, in [0, 1].
    """

    sigma: Range = (0.0, 0.1)
    p: float = 0.1

    numbers: ClassVar[int] = 3
    shared: ClassVar[int] = 1

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Float32[np.ndarray, "row value"]:
        keys = (numbers[:, 1:] * 2.0**32).astype(np.uint32)
        keys[:, 1] |= 1  # odd
        sigmas = within(numbers[:, :1], self.sigma) * 2**0.5
        return np.concatenate([sigmas.astype(np.float32), keys.view(np.float32)], 1)

    @override
    def addend(self, shape: Sequence[int], values: Float[Tensor, "row value"]) -> Volumes:
        noise = normal_noise(values[:, 1:].view(torch.int32), int(np.prod(shape)))
        return noise.mul_(values[:, :1]).view(len(values), *shape)

    @override
    def add_to(self, flat: Volumes, sent: DrawnOnDevice) -> None:
        own = type(self).addend is GaussianNoise.addend  # whoever writes it anew wants it called
        if own and noise_kernel.fits(flat):
            noise_kernel.add_noise_(flat, sent.rows, sent.values)
        else:
            super().add_to(flat, sent)


def normal_noise(keys: Int32[Tensor, "row 2"], voxels: int) -> Float[Tensor, "row {voxels}"]:
    """Give standard normal noise divided by the root of two, float32, of ``voxels`` for each row of keys.

    Args:
        keys: As :func:`ingradient_pl.kernels.noise.draw_noise` takes them.
        voxels: How many, below 2^31.
    """
    positions = noise_kernel.hash_positions(voxels, keys.device)
    if not on_host(keys):
        return noise_kernel.draw_noise(positions, keys)
    noise = torch.empty(len(keys), voxels)
    for start in range(0, voxels, BLOCK):
        noise[:, start : start + BLOCK] = noise_kernel.draw_noise(positions[start : start + BLOCK], keys)
    return noise
