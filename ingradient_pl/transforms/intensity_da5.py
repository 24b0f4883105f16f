"""More random changes of intensity: those of nnU-Net's heavier recipe (DA5) that its plain one lacks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ingradient_pl.transforms.intensity import (
    BodyMask,
    Contrast,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Intensity,
    LowResolution,
    OneOf,
)
from ingradient_pl.transforms.separable_filters import Image, Range, choose_channels, to_device_of

SMALLEST = 1e-7
HALF = 0.5


@dataclass(frozen=True)
class AdditiveBrightness(Intensity):
    """Add one number to each channel.

    Args:
        sigma: Standard deviation of that number.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    sigma: float = 0.5
    channel_p: float = 0.5
    p: float = 0.1

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            channel.add_(float(rng.normal(0, self.sigma)))


@dataclass(frozen=True)
class Sharpening(Intensity):
    """Sharpen: add what each voxel differs by from its six neighbours.

    Args:
        strength: Range of the factor of that difference.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    strength: Range = (0.1, 1.0)
    channel_p: float = 0.5
    p: float = 0.2

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            strength, before = float(rng.uniform(*self.strength)), channel.clone()
            for dim, count in enumerate(channel.shape[1:], 1):
                rise = before.narrow(dim, 1, count - 1) - before.narrow(dim, 0, count - 1)
                channel.narrow(dim, 1, count - 1).add_(rise, alpha=strength)
                channel.narrow(dim, 0, count - 1).sub_(rise, alpha=strength)


@dataclass(frozen=True)
class BlankRectangles(Intensity):
    """Replace boxes by the mean of what is in them.

    Args:
        share: Range of the length of a box's edges, as a share of the patch's.
        count: (fewest, most) boxes.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    share: Range = (0.1, 1 / 3)
    count: Range = (1, 4)
    channel_p: float = 0.5
    p: float = 0.4

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        shape = np.array(patch.shape[1:])
        for channel in choose_channels(patch, rng, self.channel_p):
            for _ in range(rng.integers(int(self.count[0]), int(self.count[1]) + 1)):
                edges = np.maximum(1, np.round(rng.uniform(*self.share, 3) * shape)).astype(int)
                start = rng.integers(0, shape - edges + 1)
                z, y, x = (slice(first, first + edge) for first, edge in zip(start, edges, strict=True))
                box = channel[:, z, y, x]
                box.copy_(box.mean())


@dataclass(frozen=True)
class BrightnessGradient(Intensity):
    """Add a wide bump somewhere in or beside the patch, as coils and fields do.

    Args:
        strength: Range of the bump's height, up or down.
        centre: Range of where it lies along each axis, as a share of the patch's length.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    strength: Range = (1.0, 5.0)
    centre: Range = (-0.5, 1.5)
    channel_p: float = 0.5
    p: float = 0.3

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            sign = -1 if rng.random() < HALF else 1
            height = sign * float(rng.uniform(*self.strength))
            channel.add_(bump(channel, rng, self.centre), alpha=height)


@dataclass(frozen=True)
class LocalGamma(Intensity):
    """Bend the grey scale by a power, most where a wide bump is highest.

    Args:
        darker: Range of the exponent in one half of the draws, above 1.
        brighter: Range of the exponent in the other half, below 1.
        centre: Range of where the bump lies along each axis, as a share of the patch's length.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    darker: Range = (1.5, 4.0)
    brighter: Range = (0.01, 0.8)
    centre: Range = (-0.5, 1.5)
    channel_p: float = 0.5
    p: float = 0.3

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            gamma = float(rng.uniform(*(self.brighter if rng.random() < HALF else self.darker)))
            low, high = channel.aminmax()
            span = (high - low).clamp(min=SMALLEST)
            share = channel.sub_(low).div_(span)
            share.lerp_(share.pow(gamma), bump(channel, rng, self.centre)).mul_(span).add_(low)


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


def bump(channel: Image, rng: np.random.Generator, centre: Range) -> Float[Tensor, "1 z y x"]:
    """Give a Gaussian from 0 to 1, between a sixth and the whole of the patch wide along each axis."""
    curves = []
    for count in channel.shape[1:]:
        width = np.exp(rng.uniform(np.log(max(1, count // 6)), np.log(max(1, count))))
        at = (np.arange(count) + 0.5 - rng.uniform(*centre) * count) / width
        curves.append(-(at**2) / 2)
    low, high = (sum(end(curve) for curve in curves) for end in (np.min, np.max))
    bottom = np.exp(low - high)  # of a bump whose highest voxel is one
    z, y, x = (to_device_of(np.exp(curve - curve.max()), channel) for curve in curves)
    return (z[None, :, None, None] * y[:, None] * x).sub_(bottom).div_(max(1 - bottom, SMALLEST))
