"""Pseudo-labels: a model's segmentation of each case fills the labels that nobody annotated in it."""

from collections.abc import Sequence

import numpy as np
import torch
from typing_extensions import override

from ingradient_pl.task import Task
from ingradient_pl.transforms.augment import BatchTransform
from ingradient_pl.transforms.patch import Batch


class PseudoLabels(BatchTransform):
    """Fill what a case did not annotate from its further volume (``data.extra``), in training alone.

    A voxel that is 0 in the label becomes what the volume says, if that is a label that the case does not
    annotate; what people annotated stays. From then on the patch counts as annotated in full. Validation sees
    the labels as they are, and scores what was annotated.

    Source: Lee 2013, "Pseudo-Label", Workshop on Challenges in Representation Learning, ICML.
    """

    def __init__(self) -> None:
        self.outputs = torch.zeros(1, dtype=torch.long)

    def check(self, task: Task, *, filled: bool) -> None:
        """Take the integers of a run's labels, which the volumes hold too.

        Args:
            task: Of the store.
            filled: Whether cases bring a further volume of integers.

        Raises:
            ValueError: If labels may overlap, or there is nothing to fill them from.
        """
        if task.has_regions:
            raise ValueError(
                "PseudoLabels fills labels that exclude each other, and here they are regions or may overlap "
                f"({', '.join(task.foreground)}). Leave it out."
            )
        if not filled:
            raise ValueError(
                "PseudoLabels fills labels from a segmentation of each case, and cases bring none: write "
                "them by ingradient_pl.write_volume, as integers, and name their folder (data.extra=DIR)."
            )
        integers = task.in_files.foreground_values
        self.outputs = torch.zeros(1 + max(integers), dtype=torch.long)
        self.outputs[list(integers)] = torch.arange(1, 1 + len(integers))

    @override
    def __call__(self, batch: Batch, rngs: Sequence[np.random.Generator]) -> Batch:
        if batch.known is None or batch.extra is None:
            return batch
        self.outputs = self.outputs.to(batch.extra.device)  # once a run
        outputs = self.outputs[batch.extra.long()]
        told = batch.known.gather(1, outputs.flatten(1)).view_as(outputs)
        label = torch.where(told | (batch.label != 0), batch.label, outputs.to(batch.label.dtype))
        return batch._replace(label=label, known=torch.ones_like(batch.known))
