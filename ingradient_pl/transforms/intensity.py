"""Random changes of intensity on the device: nnU-Net's set, each usable alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ingradient_pl.short_repr import MOST
from ingradient_pl.transforms.normalise import clip_
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.separable_filters import (
    Range,
    about_one,
    apply_filter,
    blur_rows,
    choose_channels,
    coarse_rows,
    noise_like,
)

Images = Float[Tensor, "batch channel z y x"]
Image = Float[Tensor, "channel z y x"]

FLAT_ABOVE = 3.0
SMALLEST = 1e-7
SIGNED = ("centre",)
"""Ranges that may lie below zero."""
INTENSITIES = 1
"""The stream of random numbers that is the augmentation's; the draws' are others."""


class Intensity:
    """What every change is: a frozen dataclass of settings, called with a batch.

    Whether a patch is changed is decided on the host from the patch's own random numbers, so that patches
    left alone cost nothing, what happens to one does not depend on the others, and no device is waited for.
    The image is changed in place.
    """

    p: float = 1.0

    def __call__(
        self,
        image: Images,
        rngs: Sequence[np.random.Generator],
        body: Bool[Tensor, "batch #channel z y x"] | None = None,
    ) -> Images:
        """Change ``image`` in place, each patch with probability ``p``.

        Args:
            image: Normalised patches.
            rngs: Random numbers of each patch.
            body: Voxels inside the patient, for those that ask.

        Returns:
            The same tensor.
        """
        for patch, rng in zip(image, rngs, strict=True):
            if rng.random() < self.p:
                self.change(patch, rng)
        return image

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        """Change one patch in place."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            name, value = field.name, getattr(self, field.name)
            if isinstance(value, list):  # YAML knows lists only
                value = tuple(value)
                object.__setattr__(self, name, value)
            if field.type == Range and not _is_range(value, -math.inf if name in SIGNED else 0):
                raise ValueError(
                    f"'{name}' of {type(self).__name__} is a range, [smallest, largest], of finite numbers"
                    f"{'' if name in SIGNED else ' of at least 0'}; got {value!r}."
                )
            if (name == "p" or name.endswith("_p")) and not 0 <= value <= 1:
                raise ValueError(
                    f"'{name}' of {type(self).__name__} is a probability in [0, 1], got {value}. "
                    "A percentage? Divide it by 100."
                )


def _is_range(value: Any, least: float) -> bool:
    """Tell whether a setting is two ascending finite numbers, none below ``least``."""
    match value:
        case (int() | float() as low, int() | float() as high):
            return least <= low <= high < math.inf and low > -math.inf
    return False


@dataclass(frozen=True)
class GaussianNoise(Intensity):
    """Add noise, independent in each voxel.

    Args:
        sigma: Range of its standard deviation (nnU-Net calls it variance and uses it as this).
        p: Probability of each patch.
    """

    sigma: Range = (0.0, 0.1)
    p: float = 0.1

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        sigma = float(rng.uniform(*self.sigma))
        patch.add_(noise_like(patch, rng), alpha=sigma)


@dataclass(frozen=True)
class GaussianBlur(Intensity):
    """Blur, each axis of each channel by its own width.

    Args:
        sigma: Range of the width in voxels.
        channel_p: Probability of each channel, where the patch is changed.
        together: Whether all axes of a channel share one width.
        p: Probability of each patch.
    """

    sigma: Range = (0.5, 1.0)
    channel_p: float = 0.5
    together: bool = False
    p: float = 0.2

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            sigmas = np.full(3, rng.uniform(*self.sigma)) if self.together else rng.uniform(*self.sigma, 3)
            rows = [blur_rows(n, sigma) for n, sigma in zip(channel.shape[1:], sigmas, strict=True)]
            apply_filter(channel, rows)


@dataclass(frozen=True)
class Brightness(Intensity):
    """Multiply each channel by a factor.

    Args:
        factor: Range of the factor; as often below 1 as above.
        channel_p: Probability of each channel, where the patch is changed.
        p: Probability of each patch.
    """

    factor: Range = (0.75, 1.25)
    channel_p: float = 1.0
    p: float = 0.15

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            channel.mul_(about_one(rng, self.factor))


@dataclass(frozen=True)
class Contrast(Intensity):
    """Stretch each channel about its mean.

    Args:
        factor: Range of the factor; as often below 1 as above.
        channel_p: Probability of each channel, where the patch is changed.
        keep_range: Whether to clip to the darkest and brightest voxel there were.
        p: Probability of each patch.
    """

    factor: Range = (0.75, 1.25)
    channel_p: float = 1.0
    keep_range: bool = True
    p: float = 0.15

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            factor = about_one(rng, self.factor)
            mean = channel.mean()
            ends = channel.aminmax() if self.keep_range else None
            channel.mul_(factor).add_(mean * (1 - factor))
            if ends is not None:
                clip_(channel, *ends)


@dataclass(frozen=True)
class LowResolution(Intensity):
    """Look as if the scan had been coarser: take every so many voxels, then interpolate linearly.

    Args:
        factor: Range of the share of voxels left along each axis.
        channel_p: Probability of each channel, where the patch is changed.
        flat: Whether z keeps its voxels; None decides by the shape, as motions do.
        p: Probability of each patch.
    """

    factor: Range = (0.5, 1.0)
    channel_p: float = 0.5
    flat: bool | None = None
    p: float = 0.25

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        shape = patch.shape[1:]
        flat = max(shape) / shape[0] > FLAT_ABOVE if self.flat is None else self.flat
        for channel in choose_channels(patch, rng, self.channel_p):
            factor = float(rng.uniform(*self.factor))
            counts = [max(1, round(voxels * factor)) for voxels in shape]
            if flat:
                counts[0] = shape[0]
            apply_filter(channel, [coarse_rows(n, count) for n, count in zip(shape, counts, strict=True)])


@dataclass(frozen=True)
class Gamma(Intensity):
    """Bend the grey scale by a power; mean and deviation are restored.

    Args:
        gamma: Range of the exponent; as often below 1 as above.
        inverted: Whether the power acts on the inverted image.
        channel_p: Probability of each channel, where the patch is changed.
        keep_moments: Whether to restore mean and standard deviation.
        p: Probability of each patch.
    """

    gamma: Range = (0.7, 1.5)
    inverted: bool = False
    channel_p: float = 1.0
    keep_moments: bool = True
    p: float = 0.3

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        for channel in choose_channels(patch, rng, self.channel_p):
            self._bend(channel, about_one(rng, self.gamma))

    def _bend(self, channel: Image, gamma: float) -> None:
        mean = channel.mean()
        length = torch.linalg.vector_norm(channel.sub_(mean))  # torch.var takes fifty times as long on a CPU
        low, high = channel.aminmax()
        zero, span = (high, low - high) if self.inverted else (low, high - low)
        one = torch.where(span.abs() < SMALLEST, torch.full_like(span, SMALLEST), span)
        channel.sub_(zero).div_(one).clamp_(min=0).pow_(gamma)
        if not self.keep_moments:
            channel.mul_(span).add_(zero + mean)
            return
        length_now = torch.linalg.vector_norm(channel.sub_(channel.mean()))
        shortest = SMALLEST * channel.numel() ** 0.5
        channel.mul_((length / length_now.clamp(min=shortest)).copysign(span)).add_(mean)


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


@dataclass(frozen=True)
class OneOf(Intensity):
    """One of several changes, each as likely; then its own probability counts.

    Args:
        changes: To choose from.
        p: Probability of each patch.
    """

    changes: Sequence[Intensity]
    p: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "changes", tuple(self.changes))

    def change(self, patch: Image, rng: np.random.Generator) -> None:
        self.changes[int(rng.integers(len(self.changes)))](patch[None], [rng])


NNUNET: tuple[Intensity, ...] = (
    GaussianNoise(),
    GaussianBlur(),
    Brightness(),
    Contrast(),
    LowResolution(),
    Gamma(inverted=True, p=0.1),
    Gamma(),
    BodyMask(),
)
"""nnU-Net's order and probabilities."""


class Augment(torch.nn.Module):
    """Change the intensities of a batch, one change after another.

    What happens to a patch depends on the seed and the patch's number alone, so that it is the same however
    the patches are spread over ranks and batches.

    Args:
        transforms: The changes, in this order but for :class:`BodyMask`, which comes last: what is outside
            the body stays zero, whatever is added to a config's list. By name, where a config gives names;
            None switches one off.
        seed: The run's.
    """

    def __init__(
        self, transforms: Sequence[Intensity] | Mapping[str, Intensity | None] = NNUNET, seed: int = 0
    ) -> None:
        super().__init__()
        listed = transforms.values() if isinstance(transforms, Mapping) else transforms
        kept = [change for change in listed if change is not None]
        self.transforms = tuple(sorted(kept, key=lambda change: isinstance(change, BodyMask)))
        self.seed = seed

    def __repr__(self) -> str:
        names = ", ".join(type(change).__name__ for change in self.transforms)
        return f"Augment({shorten(names, MOST, placeholder=' ...')}, seed={self.seed})"

    def forward(self, batch: Batch) -> Batch:
        """Change ``batch.image`` in place."""
        rngs = [np.random.default_rng([self.seed, number, INTENSITIES]) for number in batch.numbers]
        image = batch.image
        for transform in self.transforms:
            image = transform(image, rngs, batch.body)
        return batch._replace(image=image)
