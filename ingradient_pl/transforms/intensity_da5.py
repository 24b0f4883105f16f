"""More random changes of intensity: those of nnU-Net's heavier recipe (DA5) that its plain one lacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float64
from scipy.special import ndtri
from typing_extensions import override

from ingradient_pl.transforms.channel_intensity import Additive, ChannelIntensity, Uniforms
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.intensity import (
    BodyMask,
    Contrast,
    Gamma,
    GaussianBlur,
    LowResolution,
    Parameters,
    Values,
)
from ingradient_pl.transforms.intensity_base import Intensity
from ingradient_pl.transforms.one_of import OneOf
from ingradient_pl.transforms.separable_filters import Range, within
from ingradient_pl.transforms.volumes import SPACE, Volumes, one_by_one, ranges

SMALLEST = 1e-7
HALF = 0.5
BUMP = 6
"""Random numbers that a bump needs: width and place along each axis."""
BOX = 6
"""Numbers of a box: the first voxel and the length along each axis."""


@dataclass(frozen=True)
class AdditiveBrightness(ChannelIntensity):
    """Add one number to each channel.

    Args:
        sigma: Standard deviation of that number.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    sigma: float = 0.5
    channel_p: float = 0.5
    p: float = 0.1

    @override
    @property
    def fuses(self) -> str | None:
        return "linear"

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        normal = ndtri(np.maximum(numbers, 2.0**-53))  # zero would be infinitely far out
        return np.asarray(self.sigma * normal, np.float32)

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        return volumes.add_(values[:, :, None, None])


@dataclass(frozen=True)
class Sharpening(ChannelIntensity):
    """Sharpen: add what each voxel differs by from its six neighbours.

    Args:
        strength: Range of the factor of that difference, from 0.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    strength: Range = (0.1, 1.0)
    channel_p: float = 0.5
    p: float = 0.2

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        return within(numbers, self.strength).astype(np.float32)

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        before, strength = volumes.clone(), values[:, :, None, None]
        for dim, count in enumerate(volumes.shape[1:], 1):
            rise = before.narrow(dim, 1, count - 1) - before.narrow(dim, 0, count - 1)
            rise.mul_(strength)
            volumes.narrow(dim, 1, count - 1).add_(rise)
            volumes.narrow(dim, 0, count - 1).sub_(rise)
        return volumes


@dataclass(frozen=True)
class BlankRectangles(ChannelIntensity):
    """Replace boxes by the mean of what is in them.

    Args:
        share: Range of the length of a box's edges, as a share of the patch's.
        count: (fewest, most) boxes, from 0.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    share: Range = (0.1, 1 / 3)
    count: Range = (1, 4)
    channel_p: float = 0.5
    p: float = 0.4

    @property
    def numbers(self) -> int:  # type: ignore[override]
        """Of a channel: how many boxes, and each box's lengths and place."""
        return 1 + BOX * int(self.count[1])

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        fewest, most = (int(end) for end in self.count)
        counts = fewest + (numbers[:, :1] * (most + 1 - fewest)).astype(int)
        share, place = np.split(numbers[:, 1:].reshape(len(numbers), most, BOX), 2, axis=2)
        lengths = np.maximum(1, np.round(within(share, self.share) * shape))
        start = np.floor(place * (np.array(shape) - lengths + 1))
        lengths[np.arange(most) >= counts] = 0
        parts = [start, lengths, 1 / np.maximum(1, lengths.prod(2, keepdims=True))]
        for axis, voxels in enumerate(shape):
            offset = np.arange(voxels) - start[:, :, axis, None]
            parts.append((offset >= 0) & (offset < lengths[:, :, axis, None]))
        boxes = np.concatenate(parts, 2)
        return boxes.astype(np.float32).reshape(len(numbers), most * boxes.shape[2])

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        shape = volumes.shape[1:]
        boxes = values.reshape(len(values), -1, BOX + 1 + sum(shape)).unbind(1)
        for box in boxes:
            if one_by_one(volumes):
                _blank(volumes, *box[0, :BOX].int().tolist())
                continue
            _, share, z, y, x = torch.split(box, [BOX, 1, *shape], dim=1)
            inside = z[:, :, None, None] * (y[:, :, None] * x[:, None])[:, None]
            total = (volumes * inside).sum(SPACE, keepdim=True, dtype=torch.float32)
            mean = total * share[:, :, None, None]
            volumes.lerp_(mean.to(volumes.dtype), inside.to(volumes.dtype))  # exactly one of the two
        return volumes


@dataclass(frozen=True)
class BrightnessGradient(Additive):
    """Add a wide bump somewhere in or beside the patch, as coils and fields do.

    Args:
        strength: Range of the bump's height, up or down.
        centre: Range of where it lies along each axis, as a share of the patch's length.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    strength: Range = (1.0, 5.0)
    centre: Range = (-0.5, 1.5)
    channel_p: float = 0.5
    p: float = 0.3

    numbers: ClassVar[int] = 2 + BUMP

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        height = within(numbers[:, 1], self.strength) * np.where(numbers[:, 0] < HALF, -1, 1)
        z = shape[0]
        found = bump_curves(numbers[:, 2:], shape, self.centre)
        found[:, : z + 1] *= height[:, None]  # the curve along z, and the height of the bump's foot
        return found.astype(np.float32)

    @override
    def addend(self, shape: Sequence[int], values: Values) -> Volumes:
        return bump(values, shape)


@dataclass(frozen=True)
class LocalGamma(ChannelIntensity):
    """Bend the grey scale by a power, most where a wide bump is highest.

    Args:
        darker: Range of the exponent in one half of the draws, above 1.
        brighter: Range of the exponent in the other half, below 1.
        centre: Range of where the bump lies along each axis, as a share of the patch's length.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    darker: Range = (1.5, 4.0)
    brighter: Range = (0.01, 0.8)
    centre: Range = (-0.5, 1.5)
    channel_p: float = 0.5
    p: float = 0.3

    numbers: ClassVar[int] = 2 + BUMP

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        brighter, darker = (within(numbers[:, 1], ends) for ends in (self.brighter, self.darker))
        gamma = np.where(numbers[:, 0] < HALF, brighter, darker)
        curves = bump_curves(numbers[:, 2:], shape, self.centre)
        return np.concatenate([gamma[:, None], curves], 1).astype(np.float32)

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        low, high = ranges(volumes)
        span = (high - low).clamp(min=SMALLEST)
        share = volumes.sub_(low).div_(span).clamp_(min=0)
        bent = share.pow(values[:, :1, None, None])
        where = bump(values[:, 1:], volumes.shape[1:])
        return share.lerp_(bent.to(share.dtype), where.to(share.dtype)).mul_(span).add_(low)


def bump_curves(numbers: Uniforms, shape: Sequence[int], centre: Range) -> Float64[np.ndarray, "row value"]:
    """Draw Gaussians from 0 to 1, between a sixth and the whole of the patch wide along each axis.

    Args:
        numbers: Uniform numbers, :data:`BUMP` of each bump.
        shape: Voxels along (z, y, x).
        centre: Range of where it lies along each axis, as a share of the patch's length.

    Returns:
        Of each: the height of its foot, then the curves along z, y and x; the bump is their product less
        the foot.
    """
    exponents = []
    for axis, voxels in enumerate(shape):
        width = np.exp(within(numbers[:, 2 * axis], (np.log(max(1, voxels // 6)), np.log(max(1, voxels)))))
        offset = np.arange(voxels) + HALF - (within(numbers[:, 2 * axis + 1], centre) * voxels)[:, None]
        exponents.append(-((offset / width[:, None]) ** 2) / 2)
    low, high = (sum(end(line, axis=1) for line in exponents) for end in (np.min, np.max))
    foot = np.exp(low - high)[:, None]  # of a bump whose highest voxel is one
    z, y, x = (np.exp(line - line.max(1, keepdims=True)) for line in exponents)
    scale = np.maximum(1 - foot, SMALLEST)
    return np.concatenate([foot / scale, z / scale, y, x], 1)


def bump(values: Values, shape: Sequence[int]) -> Volumes:
    """Make bumps of what :func:`bump_curves` gave.

    Args:
        values: A row for each bump: the height of its foot, then its curves along z, y and x.
        shape: Voxels (z, y, x) of each bump.
    """
    foot, z, y, x = torch.split(values, [1, *shape], dim=1)
    plane = y[:, :, None] * x[:, None, :]
    product: Volumes = z[:, :, None, None] * plane[:, None]
    return product.sub_(foot[:, :, None, None])


def _blank(volumes: Volumes, *box: int) -> None:
    z, y, x = (slice(start, start + voxels) for start, voxels in zip(box[:3], box[3:], strict=True))
    inside = volumes[:, z, y, x]
    if inside.numel():
        inside.copy_(inside.mean())


DA5: tuple[Intensity, ...] = (
    GaussianBlur(sigma=(0.3, 1.5), together=True, p=0.1),
    GaussianNoise(),
    AdditiveBrightness(),
    OneOf(
        (
            Contrast(factor=(0.5, 2.0), channel_p=0.5, p=0.2),
            Contrast(factor=(0.5, 2.0), channel_p=0.5, keep_range=False, p=0.2),
        )
    ),
    LowResolution(factor=(0.25, 1.0), p=0.15),
    Gamma(inverted=True, p=0.1),
    Gamma(p=0.1),
    BlankRectangles(),
    BrightnessGradient(),
    LocalGamma(),
    Sharpening(),
    BodyMask(),
)
"""nnU-Net's heavier recipe, without its median filter; its second gamma, inverted by mistake, is not."""
