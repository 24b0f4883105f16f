"""How far apart two surfaces lie, in millimetres: HD95, ASSD and the share of surface within a tolerance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

Mask = Bool[np.ndarray, "z y x"]

NAMES = ("HD95", "ASSD", "NSD")
FAR = 95
"""Percentile that stands for the largest distance, so that one stray voxel does not decide."""


LARGEST_TOLERANCE = 1000.0
"""In mm: no two readers of one patient differ by more."""


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances between the surfaces of a prediction and a reference; a measure for :func:`evaluate`.

    A surface is made of the voxels of a mask of which a face is not covered by the mask (the image's edge
    covers nothing), each taken as the point at its centre. From every one of them the distance to the nearest
    of the other surface is measured, both ways, exactly. Along an axis of a single voxel there are no faces:
    the surface of a mask in a single slice is its outline, as in 2D.

    ``HD95`` is the larger of the two ways' 95th percentiles in mm, ``ASSD`` the mean of all distances in mm,
    ``NSD`` the share of all surface voxels that lie no farther than the tolerance from the other surface.

    Where neither mask holds a voxel, all three are NaN: there is nothing to score. Where only one does, the
    distances are infinite and NSD is 0: a missed or an invented object is not a small error.

    Args:
        tolerance: Distance in mm that counts as agreement, such as what two readers differ by.

    Raises:
        ValueError: If the tolerance is negative, or larger than any patient.

    Source:
        Metrics Reloaded (https://doi.org/10.1038/s41592-023-02151-z) on when to use which.
    """

    tolerance: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance <= LARGEST_TOLERANCE:
            raise ValueError(
                f"tolerance must be a distance in mm, from 0 to {LARGEST_TOLERANCE:g}; got {self.tolerance}."
            )

    def __call__(self, prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
        """Measure one label of one case.

        Args:
            prediction: Voxels of the label as found, on the whole image or on a box of it that is one voxel
                thick only where the image is.
            reference: The same as they should be.
            spacing: Size of a voxel in mm along (z, y, x).
        """
        found, wanted = bool(prediction.any()), bool(reference.any())
        if not (found and wanted):
            nothing = not (found or wanted)
            values = (math.nan,) * 3 if nothing else (math.inf, math.inf, 0.0)
            return dict(zip(NAMES, values, strict=True))
        there, back = surface_distances(prediction, reference, spacing)
        both = np.concatenate([there, back])
        return {
            "HD95": max(float(np.percentile(way, FAR)) for way in (there, back)),
            "ASSD": float(both.mean()),
            "NSD": float((both <= self.tolerance).mean()),
        }


def surface_distances(
    one: Mask, other: Mask, spacing: Sequence[float]
) -> tuple[Float[np.ndarray, " there"], Float[np.ndarray, " back"]]:
    """Give the distances in mm from each surface voxel of one mask to the other's surface, and back.

    Args:
        one: Mask with a voxel at least; an axis of one voxel is taken for one of a 2D image.
        other: A second one on the same voxels.
        spacing: Size of a voxel in mm along (z, y, x).
    """
    box = ndimage.find_objects((one | other).view(np.uint8))[0]  # nothing outside it is asked for
    faces = _faces(one.shape)
    borders = [_border(mask[box], faces) for mask in (one, other)]
    there, back = (
        ndimage.distance_transform_edt(~target, sampling=list(spacing))[start]
        for start, target in (borders, borders[::-1])
    )
    return there, back


def _faces(shape: Sequence[int]) -> Bool[np.ndarray, "3 3 3"]:
    """A voxel and its neighbours by a face, along the axes that have more than one voxel."""
    faces = np.zeros((3, 3, 3), dtype=bool)
    faces[1, 1, 1] = True
    for axis, count in enumerate(shape):
        if count > 1:
            np.moveaxis(faces, axis, 0)[:, 1, 1] = True
    return faces


def _border(mask: Mask, faces: Bool[np.ndarray, "3 3 3"]) -> Mask:
    if faces.sum() == 1:  # an image of one voxel
        return mask
    border: Mask = mask & ~ndimage.binary_erosion(mask, faces)
    return border
