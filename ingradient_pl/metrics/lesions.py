"""Which lesions were found, and what was taken for one: detection by connected components."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage

Mask = Bool[np.ndarray, "z y x"]
TOUCHING = np.ones((3, 3, 3), dtype=bool)
"""Voxels that share a face, an edge or a corner belong together (26 neighbours), as nnU-Net has it."""


class Components(NamedTuple):
    """The pieces a mask falls into.

    Args:
        numbers: The piece of each voxel, counted from 1; 0 outside the mask.
        sizes: Voxels of each piece, the first being piece 1.
    """

    numbers: Integer[np.ndarray, "z y x"]
    sizes: Integer[np.ndarray, " piece"]


def components(mask: Bool[np.ndarray, "z y x"]) -> Components:
    """Part a mask into pieces whose voxels touch by a face, an edge or a corner."""
    numbers, count = ndimage.label(mask, TOUCHING)
    return Components(numbers, np.bincount(numbers.ravel(), minlength=count + 1)[1:])


@dataclass(frozen=True)
class LesionDetection:
    """Counts of lesions found and missed; a measure for :func:`evaluate`.

    A lesion is a piece of the reference whose voxels touch. It counts as found where the prediction covers
    more than a share ``overlap`` of it; a piece of the prediction is false where the reference covers no more
    than that share of it. So one predicted piece may find two lesions, and two pieces one.

    ``lesions_ref`` and ``lesions_pred`` count pieces, ``lesions_found`` and ``lesions_false`` (false
    positives of the case) what came of them. ``lesion_sensitivity`` is NaN without a lesion; ``lesion_F1``,
    twice the found over twice the found plus missed plus false, is NaN where neither side holds a piece.

    Args:
        overlap: Share of a piece, in [0, 1), that must be exceeded; 0 asks for one voxel.

    Raises:
        ValueError: If the share is none.
    """

    overlap: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be a share in [0, 1); got {self.overlap}.")

    def __call__(self, prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
        """Score one label of one case; ``spacing`` plays no part."""
        lesions, covered = self._count_covered(reference, prediction)
        pieces, right = self._count_covered(prediction, reference)
        missed, false = lesions - covered, pieces - right
        whole = 2 * covered + missed + false
        return {
            "lesions_ref": lesions,
            "lesions_pred": pieces,
            "lesions_found": covered,
            "lesions_false": false,
            "lesion_sensitivity": covered / lesions if lesions else math.nan,
            "lesion_F1": 2 * covered / whole if whole else math.nan,
        }

    def _count_covered(self, mask: Mask, cover: Mask) -> tuple[int, int]:
        """Count the pieces of a mask, and those of them that ``cover`` covers."""
        box = ndimage.find_objects(mask.view(np.uint8))
        if not box:
            return 0, 0
        pieces = components(mask[box[0]])
        count = len(pieces.sizes)
        hit = np.bincount(pieces.numbers[cover[box[0]]], minlength=count + 1)[1:]
        return count, int((hit > self.overlap * pieces.sizes).sum())
