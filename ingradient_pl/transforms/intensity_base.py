"""Base class of intensity changes: settings that are checked, and one patch at a time."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from ingradient_pl.transforms.separable_filters import Range

Images = Float[Tensor, "batch channel z y x"]
Image = Float[Tensor, "channel z y x"]

SIGNED = ("centre",)
"""Ranges that may lie below zero."""


class Intensity:
    """A change of intensities, as a frozen dataclass of settings; derive from it to add one of your own.

    Write ``change``, which is called with one patch at a time, in a loop: on a GPU that launches kernels for
    each patch. Derive from :class:`~ingradient_pl.transforms.channel_intensity.ChannelIntensity` to change
    all patches of a batch at once, from :class:`~ingradient_pl.transforms.augment.BatchTransform` to change
    labels too.
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
        """Change one patch in place.

        Args:
            patch: Normalised voxels of every channel.
            rng: Random numbers of this patch.
        """
        raise NotImplementedError(f"{type(self).__name__} changes nothing: write its method 'change'.")

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            name, value = field.name, getattr(self, field.name)
            if isinstance(value, list):  # YAML knows lists only
                value = tuple(value)
                object.__setattr__(self, name, value)
            if field.type == Range and not is_range(value, -math.inf if name in SIGNED else 0):
                raise ValueError(
                    f"'{name}' of {type(self).__name__} is a range, [smallest, largest], of finite numbers"
                    f"{'' if name in SIGNED else ' of at least 0'}; got {value!r}."
                )
            if (name == "p" or name.endswith("_p")) and not 0 <= value <= 1:
                raise ValueError(
                    f"'{name}' of {type(self).__name__} is a probability in [0, 1], got {value}. "
                    "A percentage? Divide it by 100."
                )


def is_range(value: Any, least: float) -> bool:
    """Tell whether a setting is two ascending finite numbers, none below ``least``.

    Args:
        value: A setting as a config gives it.
        least: The lowest end allowed; -infinity allows any.
    """
    match value:
        case (int() | float() as low, int() | float() as high):
            return least <= low <= high < math.inf and low > -math.inf
    return False
