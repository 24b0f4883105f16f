"""Scores of labels that may overlap: each mask against its reference by itself."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from ingradient_pl.images.packed_masks import take_mask
from ingradient_pl.metrics.agreement import Counts, Label
from ingradient_pl.metrics.evaluation_boxes import NOWHERE, shared_boxes, widen_thin

Mask = Bool[np.ndarray, "z y x"]
Packed = UInt8[np.ndarray, "plane z y x"]
Measure = Callable[[Mask, Mask, Sequence[float]], Mapping[str, float]]
"""A further score: from prediction, reference and the voxels' size in mm (z, y, x) to named numbers.

It sees the box that holds the label in both, and no more; an axis of one voxel is one of the whole image.
"""


def score_masks(
    prediction: UInt8[np.ndarray, "plane z y x"],
    reference: UInt8[np.ndarray, "other z y x"],
    labels: Sequence[Label],
    measures: Sequence[Measure] = (),
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> dict[Label, dict[str, float]]:
    """Score each label; voxels of the mask behind the last label's, which is ``ignore``, count nowhere.

    Args:
        prediction: Packed masks, numbered in the order of ``labels``.
        reference: The same on the same voxels; one more mask where voxels are ignored.
        labels: What the scores are named by.
        measures: Further scores of two masks.
        spacing: Size of a voxel in mm (z, y, x).
    """
    seen = ~take_mask(reference, len(labels) + 1)
    total = int(np.count_nonzero(seen))
    scores = {}
    for number, label in enumerate(labels, 1):
        found, truth = (take_mask(packed, number) & seen for packed in (prediction, reference))
        tp, positive, true = (int(np.count_nonzero(one)) for one in (found & truth, found, truth))
        fp, fn = positive - tp, true - tp
        scores[label] = Counts(tp, fp, fn, total - tp - fp - fn).as_metrics()
        if measures:
            either = (found | truth).astype(np.uint8)
            boxes = shared_boxes(either, either).get(1)
            box = widen_thin(boxes[0], truth.shape) if boxes else NOWHERE
            for measure in measures:
                scores[label].update(measure(found[box], truth[box], spacing))
    return scores
