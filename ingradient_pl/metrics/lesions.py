"""Which lesions were found, and what was taken for one: detection by connected components."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage, sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

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
    """Part a mask into pieces whose voxels touch by a face, an edge or a corner.

    Args:
        mask: True inside the lesions.
    """
    numbers, count = ndimage.label(mask, TOUCHING)
    return Components(numbers, np.bincount(numbers.ravel(), minlength=count + 1)[1:])


@dataclass(frozen=True)
class LesionDetection:
    """Counts of lesions found and missed; a measure for :func:`evaluate`.

    A lesion is a piece of the reference whose voxels touch. Lesions and pieces of the prediction are matched
    one to one: a pair may be matched where its intersection over union exceeds ``overlap``, and as many pairs
    are matched as can be (above an overlap of 0.5 there is only one way). A lesion counts as found, and a
    piece as right, where it is matched. So one blob over three lesions finds one of them at most, a lesion in
    three fragments is found once and leaves two false pieces, the whole image finds nothing that is small.

    ``lesions_ref`` and ``lesions_pred`` count pieces, ``lesions_found`` and ``lesions_false`` (false
    positives of the case) what came of them. ``lesion_sensitivity`` is NaN without a lesion; ``lesion_F1``,
    twice the found over twice the found plus missed plus false, is NaN where neither side holds a piece.

    Args:
        overlap: Intersection over union, in [0, 1), that a pair must exceed; 0 asks for one common voxel,
            with which a prediction of everything finds a lesion.

    Raises:
        ValueError: If the overlap is outside [0, 1).

    Source:
        Metrics Reloaded (https://doi.org/10.1038/s41592-023-02151-z): localise, then assign one to one.
    """

    overlap: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise ValueError(f"overlap must be a share in [0, 1); got {self.overlap}.")

    def __call__(self, prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
        """Score one label of one case; ``spacing`` plays no part."""
        lesions, pieces = components(reference), components(prediction)
        found = self._count_matched(lesions, pieces)
        wanted, given = len(lesions.sizes), len(pieces.sizes)
        missed, false = wanted - found, given - found
        whole = 2 * found + missed + false
        return {
            "lesions_ref": wanted,
            "lesions_pred": given,
            "lesions_found": found,
            "lesions_false": false,
            "lesion_sensitivity": found / wanted if wanted else math.nan,
            "lesion_F1": 2 * found / whole if whole else math.nan,
        }

    def _count_matched(self, lesions: Components, pieces: Components) -> int:
        """Count the pairs of a largest one-to-one matching of lesions and predicted pieces."""
        common = (lesions.numbers > 0) & (pieces.numbers > 0)
        shape = len(lesions.sizes), len(pieces.sizes)
        if not common.any():
            return 0
        met = lesions.numbers[common].astype(np.int64) - 1, pieces.numbers[common].astype(np.int64) - 1
        pairs, shared = np.unique(met[0] * shape[1] + met[1], return_counts=True)
        lesion, piece = np.divmod(pairs, shape[1])
        union = lesions.sizes[lesion] + pieces.sizes[piece] - shared
        near = shared > self.overlap * union
        graph = sparse.coo_array((np.ones(near.sum()), (lesion[near], piece[near])), shape).tocsr()
        return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())
