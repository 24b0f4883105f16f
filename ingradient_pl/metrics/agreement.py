"""Agreement of two label maps, counted in one pass over their voxels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from ingradient_pl.metrics.evaluation_unnamed import integers_of

Label = int | tuple[int, ...]
"""A label's integer, or the integers of a region."""
VOXELS_AT_ONCE = 2**22


class Counts(NamedTuple):
    """How many voxels of one label agree: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def dice(self) -> float:
        """Twice the overlap over both sizes; NaN where neither prediction nor reference holds the label."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """The overlap over the union; NaN where neither holds the label."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    def as_metrics(self) -> dict[str, float]:
        """Give all numbers under nnU-Net's names."""
        return {
            "Dice": self.dice,
            "IoU": self.iou,
            "FP": self.fp,
            "TP": self.tp,
            "FN": self.fn,
            "TN": self.tn,
            "n_pred": self.fp + self.tp,
            "n_ref": self.fn + self.tp,
        }


def count_agreement(
    prediction: Integer[np.ndarray, "z y x"],
    reference: Integer[np.ndarray, "z y x"],
    labels: Sequence[Label],
    ignore: int | None = None,
) -> dict[Label, Counts]:
    """Count agreement for each label in one pass over the voxels.

    Args:
        prediction: Integers of the task.
        reference: The same on the same voxels.
        labels: What to count; several integers are taken together.
        ignore: Integer of the reference whose voxels count nowhere.
    """
    values = np.union1d(integers_of(prediction), integers_of(reference))
    joint = _joint(values, prediction, reference)
    if ignore is not None:
        joint[values == ignore, :] = 0
    total = int(joint.sum())
    answer = {}
    for label in labels:
        inside = np.isin(values, label)
        tp = int(joint[np.ix_(inside, inside)].sum())
        fn, fp = int(joint[inside].sum()) - tp, int(joint[:, inside].sum()) - tp
        answer[label] = Counts(tp, fp, fn, total - tp - fn - fp)
    return answer


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _joint(
    values: NDArray[np.integer], prediction: NDArray[np.integer], reference: NDArray[np.integer]
) -> NDArray[np.int64]:
    """How often each value of the reference (row) meets each of the prediction (column)."""
    count = len(values)
    joint = np.zeros(count * count, dtype=np.int64)
    flat = prediction.reshape(-1), reference.reshape(-1)
    place = np.zeros(int(values.max()) + 1, dtype=np.int64)
    place[values] = np.arange(count)
    for start in range(0, flat[0].size, VOXELS_AT_ONCE):
        column, row = (place[part[start : start + VOXELS_AT_ONCE]] for part in flat)
        joint += np.bincount(row * count + column, minlength=count * count)
    return joint.reshape(count, count)
