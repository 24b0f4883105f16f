"""In a cascade: what the stage before found, made worse at random as its mistakes are, as input channels.

Random erosions, dilations, openings and closings work on the device, for all patches of a batch together.
Connected components are looked for by the worker that reads a patch, where one is to be removed: that is one
patch in five, a few milliseconds each, and a GPU has no short way to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Integer
from scipy import ndimage
from torch import Tensor

from ingradient_pl.geometry import AXES
from ingradient_pl.transforms.morphology import (
    CLOSE,
    DILATE,
    OPERATIONS,
    BallOperation,
    change_by_balls,
    send_numbers,
)
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.stage_labels import StageLabels

STREAM = 9
"""The stream of random numbers that is the previous stage's."""
REMOVALS, MORPHOLOGY = 0, 1
GROWING = (DILATE, CLOSE)


class LabelOperation(NamedTuple):
    """An operation on one label of one patch.

    Args:
        patch: Its place in the batch.
        turn: When it comes among those of its patch, from 0.
        value: Integer of the label, or its bit.
        operation: What happens to it.
    """

    patch: int
    turn: int
    value: int
    operation: BallOperation


@dataclass(frozen=True)
class PreviousStageAugment:
    """How the segmentation of the stage before is changed at random in training; nnU-Net's numbers.

    What happens to a patch depends on the run's seed and the patch's number alone.

    Args:
        morphology_p: Probability of a patch that labels of it are eroded, dilated, opened or closed.
        morphology_label_p: Probability of each label of such a patch.
        radius: Least and greatest radius of the ball, in voxels.
        removal_p: Probability of a patch that labels of it lose a connected component.
        removal_label_p: Probability of each label of such a patch.
        removal_share: Only a component of less than this share of the patch's voxels is removed, in [0, 1].

    Raises:
        ValueError: If a probability or share lies outside [0, 1], or the radii are not positive and in order.
    """

    morphology_p: float = 0.4
    morphology_label_p: float = 0.5
    radius: tuple[float, float] = (1.0, 8.0)
    removal_p: float = 0.2
    removal_label_p: float = 0.5
    removal_share: float = 0.15

    def __post_init__(self) -> None:
        for name in ("morphology_p", "morphology_label_p", "removal_p", "removal_label_p", "removal_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.previous_augment.{name} lies in [0, 1]; got {getattr(self, name)}.")
        low, high = self.radius
        if not 0 < low <= high:
            raise ValueError(f"data.previous_augment.radius needs 0 < least <= greatest; got {self.radius}.")

    def draw_operations(
        self, numbers: Sequence[int], values: Sequence[int], seed: int
    ) -> list[LabelOperation]:
        """Draw which labels of which patches are changed, in a random order of labels, and how.

        Args:
            numbers: Of each patch's draw.
            values: Integers of the labels, or their bits.
            seed: The run's.
        """
        found = list[LabelOperation]()
        for patch, number in enumerate(numbers):
            rng = np.random.default_rng([seed, number, STREAM, MORPHOLOGY])
            if rng.random() >= self.morphology_p:
                continue
            chosen = [value for value in rng.permutation(values) if rng.random() < self.morphology_label_p]
            for turn, value in enumerate(chosen):
                kind = OPERATIONS[rng.integers(len(OPERATIONS))]
                operation = BallOperation(kind, float(rng.uniform(*self.radius)))
                found.append(LabelOperation(patch, turn, int(value), operation))
        return found

    def remove_components(
        self, label: Integer[np.ndarray, "_ _ _"], labels: StageLabels, number: int, seed: int
    ) -> Integer[np.ndarray, "_ _ _"]:
        """Remove a random connected component of random labels from a patch as it was read; on the host.

        Args:
            label: Integers, as they lie on disk.
            labels: What they mean.
            number: Of the patch's draw.
            seed: The run's.
        """
        rng = np.random.default_rng([seed, number, STREAM, REMOVALS])
        if rng.random() >= self.removal_p:
            return label
        chosen = [value for value in rng.permutation(labels.values) if rng.random() < self.removal_label_p]
        label = label.astype(np.int32)
        for value in map(int, chosen):
            _remove_component(label, labels.holds(label, value), value, self.removal_share, rng)
        return label


def _remove_component(
    label: Integer[np.ndarray, "_ _ _"], mask: np.ndarray, value: int, share: float, rng: np.random.Generator
) -> None:
    """Take a label out of one of its components that is small enough, each as likely as the others."""
    parts, count = ndimage.label(mask, np.ones((3,) * AXES))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    small = 1 + np.flatnonzero(sizes < share * label.size)
    if len(small):
        label[parts == rng.choice(small)] -= value


def change_labels(
    label: Integer[Tensor, "batch z y x"], labels: StageLabels, operations: Sequence[LabelOperation]
) -> Integer[Tensor, "batch z y x"]:
    """Erode, dilate, open or close labels of a batch, all together.

    What grows takes its voxels from others, but for labels that may overlap.

    Args:
        label: 32 bit integers, changed in place.
        labels: What they mean.
        operations: Those of a patch take effect one after another, each worked out on the patch as it came.
    """
    if not operations:
        return label
    patches = send_numbers([one.patch for one in operations], torch.int64, label)
    values = send_numbers([one.value for one in operations], label.dtype, label)
    grows = send_numbers([one.operation.kind in GROWING for one in operations], torch.bool, label)
    values, grows = values.view(-1, 1, 1, 1), grows.view(-1, 1, 1, 1)
    before = labels.holds(label.index_select(0, patches), values)
    after = change_by_balls(before, [one.operation for one in operations])
    for turn in range(1 + max(one.turn for one in operations)):
        places = [row for row, one in enumerate(operations) if one.turn == turn]
        at = send_numbers(places, torch.int64, label)
        patch, value, now, grown = (one.index_select(0, at) for one in (patches, values, after, grows))
        held = label.index_select(0, patch)
        kept = torch.where(labels.holds(held, value) & ~now, held - value, held)
        label.index_copy_(0, patch, torch.where(now & grown, labels.put(kept, value), kept))
    return label


def append_one_hot(batch: Batch, labels: StageLabels) -> Batch:
    """Put a channel of zeros and ones for each label of the stage before behind the image's channels.

    Args:
        batch: With the stage before as ``extra``, 32 bit integers.
        labels: What they mean, in the order of the channels.

    Raises:
        ValueError: If the batch brings no such volume.
    """
    if batch.extra is None or batch.extra.dtype.is_floating_point:
        got = "none" if batch.extra is None else f"numbers of {batch.extra.dtype}"
        raise ValueError(f"A cascade needs the previous stage's labels beside each patch; got {got}.")
    wanted = send_numbers(labels.values, torch.int32, batch.extra)
    channels = labels.holds(batch.extra[:, None], wanted[:, None, None, None])
    return batch._replace(image=torch.cat([batch.image, channels.to(batch.image.dtype)], 1))
