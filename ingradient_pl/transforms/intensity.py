"""Random changes of intensity on the device: nnU-Net's set, each usable alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from typing_extensions import override

from ingradient_pl.geometry import is_flat
from ingradient_pl.transforms.channel_intensity import (
    ChannelIntensity,
    Uniforms,
)
from ingradient_pl.transforms.intensity_base import Images, Intensity
from ingradient_pl.transforms.normalise_image import clip_
from ingradient_pl.transforms.power_law import bend
from ingradient_pl.transforms.resample import on_host
from ingradient_pl.transforms.separable_filters import (
    Range,
    about_one,
    apply_matrices,
    blur_matrices,
    coarse_matrices,
    side_by_side,
    within,
)
from ingradient_pl.transforms.volumes import Volumes, means, ranges

Values = Float[Tensor, "row value"]
Parameters = Float32[np.ndarray, "row value"]


@dataclass(frozen=True)
class GaussianBlur(ChannelIntensity):
    """Blur, each axis of each channel by its own width.

    Args:
        sigma: Range of the width in voxels.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        together: Whether all axes of a channel share one width.
        p: Probability of each patch, in [0, 1].
    """

    sigma: Range = (0.5, 1.0)
    channel_p: float = 0.5
    together: bool = False
    p: float = 0.2

    numbers: ClassVar[int] = 3

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        sigmas = within(numbers[:, [0, 0, 0]] if self.together else numbers, self.sigma)
        return side_by_side([blur_matrices(shape[axis], sigmas[:, axis]) for axis in _long(shape)])

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        return apply_matrices(volumes, values, _long(volumes.shape[1:]))


@dataclass(frozen=True)
class Brightness(ChannelIntensity):
    """Multiply each channel by a factor.

    Args:
        factor: Range of the factor, above 0; as often below 1 as above.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        p: Probability of each patch, in [0, 1].
    """

    factor: Range = (0.75, 1.25)
    channel_p: float = 1.0
    p: float = 0.15

    numbers: ClassVar[int] = 2
    identity: ClassVar[float] = 1.0

    @override
    @property
    def fuses(self) -> str | None:
        return "linear"

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        return about_one(numbers, self.factor).astype(np.float32)[:, None]

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        return volumes.mul_(_each(values))


@dataclass(frozen=True)
class Contrast(ChannelIntensity):
    """Stretch each channel about its mean.

    Args:
        factor: Range of the factor, above 0; as often below 1 as above.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        keep_range: Whether to clip to the darkest and brightest voxel there were.
        p: Probability of each patch, in [0, 1].
    """

    factor: Range = (0.75, 1.25)
    channel_p: float = 1.0
    keep_range: bool = True
    p: float = 0.15

    numbers: ClassVar[int] = 2

    @override
    @property
    def fuses(self) -> str | None:
        return "linear"

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        return (1 - about_one(numbers, self.factor)).astype(np.float32)[:, None]

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        to_mean, mean = _each(values).to(volumes.dtype), means(volumes)
        ends = ranges(volumes) if self.keep_range else None
        if on_host(volumes):
            volumes.mul_(1 - to_mean).add_(mean * to_mean)
            return volumes if ends is None else clip_(volumes, *ends)
        volumes.lerp_(mean, to_mean)  # leaves voxels exactly as they are where that is zero
        return volumes if ends is None else volumes.clamp_(*ends)


@dataclass(frozen=True)
class LowResolution(ChannelIntensity):
    """Look as if the scan had been coarser: take every so many voxels, then interpolate linearly.

    Args:
        factor: Range of the share of voxels left along each axis.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        flat: Whether z keeps its voxels; None decides by the shape, as motions do.
        p: Probability of each patch, in [0, 1].
    """

    factor: Range = (0.5, 1.0)
    channel_p: float = 0.5
    flat: bool | None = None
    p: float = 0.25

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        factors = within(numbers[:, 0], self.factor)
        found = []
        for axis in self._axes(shape):
            counts = np.rint(shape[axis] * factors).clip(1, shape[axis]).astype(np.int64)
            found.append(coarse_matrices(shape[axis], counts))
        return side_by_side(found)

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        return apply_matrices(volumes, values, self._axes(volumes.shape[1:]))

    def _axes(self, shape: Sequence[int]) -> tuple[int, ...]:
        flat = is_flat(shape) if self.flat is None else self.flat
        return tuple(axis for axis in _long(shape) if axis or not flat)


@dataclass(frozen=True)
class Gamma(ChannelIntensity):
    """Bend the grey scale by a power; mean and deviation are restored.

    Args:
        gamma: Range of the exponent, above 0; as often below 1 as above.
        inverted: Whether the power acts on the inverted image.
        channel_p: Probability of each channel, in [0, 1], where the patch is changed.
        keep_moments: Whether to restore mean and standard deviation.
        p: Probability of each patch, in [0, 1].
    """

    gamma: Range = (0.7, 1.5)
    inverted: bool = False
    channel_p: float = 1.0
    keep_moments: bool = True
    p: float = 0.3

    numbers: ClassVar[int] = 2
    identity: ClassVar[float] = 1.0

    @property
    def fuses(self) -> str | None:
        """Bends follow each other without the moments' being restored in between, which changes nothing."""
        return "power" if self.keep_moments else None

    @override
    def parameters(self, numbers: Uniforms, shape: Sequence[int]) -> Parameters:
        return about_one(numbers, self.gamma).astype(np.float32)[:, None]

    @override
    def apply(self, volumes: Volumes, values: Values) -> Volumes:
        return self.apply_all([self], volumes, [values])

    @classmethod
    def apply_all(
        cls,
        changes: Sequence[ChannelIntensity],
        volumes: Volumes,
        values: Sequence[Float[Tensor, "row _"]],
    ) -> Volumes:
        """Bend by several powers: each leaves the ends where they are, so the next needs no new range."""
        gammas = [change for change in changes if isinstance(change, Gamma)]
        bends = [(_each(gamma), change.inverted) for change, gamma in zip(gammas, values, strict=True)]
        return bend(volumes, bends, keep_moments=gammas[0].keep_moments)


@dataclass(frozen=True)
class BodyMask(Intensity):
    """Set what lies outside the body to zero again, after the changes before it.

    Only in channels whose normaliser did so: the batch's body tells of each channel what may be other.
    """

    def __call__(
        self,
        image: Images,
        rngs: Sequence[np.random.Generator],
        body: Bool[Tensor, "batch #channel z y x"] | None = None,
    ) -> Images:
        return image if body is None else image.mul_(body)


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """Give the axes of more than one voxel: there is nothing to filter along the others."""
    return tuple(axis for axis, voxels in enumerate(shape) if voxels > 1)


def _each(values: Float[Tensor, "row 1"]) -> Float[Tensor, "row 1 1 1"]:
    return values[:, :, None, None]
