"""Synthetic cases with known truth: for tests, demonstrations and profiling."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int16, UInt8
from numpy.typing import NDArray

BACKGROUND_INTENSITY, BODY, ORGAN, LESION = 0, 300, 500, 800
NOISE = 60
BODY_SHARE, ORGAN_SHARE, LESION_SHARE = 0.45, 0.24, 0.45


def ball(
    shape: Sequence[int], spacing: Sequence[float], radius_mm: float
) -> tuple[Float32[np.ndarray, "1 z y x"], UInt8[np.ndarray, "z y x"]]:
    """Make a bright ball in the middle of a grid, and where it is.

    Args:
        shape: Voxels along (z, y, x).
        spacing: Size of a voxel in mm along (z, y, x).
        radius_mm: Radius of the ball in mm.

    Returns:
        The image (100 inside, 0 outside) and the label (1 inside).
    """
    centre = [count * mm / 2 for count, mm in zip(shape, spacing, strict=True)]
    inside = _distance(shape, spacing, centre) <= radius_mm
    return np.where(inside, np.float32(100), np.float32(0))[None], inside.astype(np.uint8)


def phantom(
    shape: Sequence[int], spacing: Sequence[float], rng: np.random.Generator, channels: int = 1
) -> tuple[Int16[np.ndarray, "channel z y x"], UInt8[np.ndarray, "z y x"]]:
    """Make a patient: a body in air, an organ (label 1) somewhere in it and a lesion (label 2) in the organ.

    The organ differs from the body by more than three times the noise, so that a network can learn it in
    a few steps, and no threshold finds it without error. Air is exactly zero.

    Args:
        shape: Voxels along (z, y, x).
        spacing: Size of a voxel in mm along (z, y, x).
        rng: Where the patient's anatomy and the noise come from.
        channels: Channels of the image; each shows the same anatomy with a contrast and a noise of its own.

    Returns:
        The image and its label.
    """
    extent = np.multiply(shape, spacing)
    middle = extent / 2
    radius = ORGAN_SHARE * extent.min() * rng.uniform(0.8, 1.2)
    organ_centre = middle + rng.uniform(-0.12, 0.12, 3) * extent
    lesion_centre = organ_centre + rng.uniform(-0.25, 0.25, 3) * radius
    body = _distance(shape, spacing, middle, extent * BODY_SHARE) <= 1
    organ = body & (_distance(shape, spacing, organ_centre) <= radius)
    lesion = organ & (_distance(shape, spacing, lesion_centre) <= radius * LESION_SHARE)
    label = organ.astype(np.uint8) + lesion
    image = np.empty((channels, *label.shape), np.int16)
    for channel in range(channels):
        means = np.array([BODY, ORGAN, LESION]) * (1 + 0.5 * channel)
        noisy = means[label] + rng.normal(0, NOISE, label.shape)
        image[channel] = np.where(body, np.maximum(noisy, 1), BACKGROUND_INTENSITY)
    return image, label


def _distance(
    shape: Sequence[int],
    spacing: Sequence[float],
    centre: Sequence[float] | NDArray[np.float64],
    radii: Sequence[float] | NDArray[np.float64] = (1, 1, 1),
) -> NDArray[np.float64]:
    """Distance of every voxel's centre from ``centre`` (mm), in units of ``radii`` (mm)."""
    axes = [
        (((np.arange(count) + 0.5) * mm - middle) / radius) ** 2
        for count, mm, middle, radius in zip(shape, spacing, centre, radii, strict=True)
    ]
    z, y, x = axes
    return np.asarray(np.sqrt(z[:, None, None] + y[:, None] + x))
