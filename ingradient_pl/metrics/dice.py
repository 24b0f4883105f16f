"""Dice of each label over all voxels seen, on all ranks."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torchmetrics import Metric
from typing_extensions import override


class PooledDice(Metric):
    """Dice per label, counted over everything it was shown as if it were one image.

    It is quick and steady, and not the mean over cases: large cases weigh more. What a label scores that
    was neither true nor predicted anywhere is unknown (NaN).

    Args:
        labels: The integers of each label or region, by name, as ``Task.foreground`` gives them.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        regions: Whether the network answers yes or no for each of ``labels``, rather than choosing one
            integer.
        **options: Those of :class:`torchmetrics.Metric`, such as ``dist_sync_on_step``.

    Raises:
        ValueError: If no label is named.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    overlap: Tensor
    predicted: Tensor
    true: Tensor
    member: Tensor

    def __init__(
        self,
        labels: Mapping[str, int | Sequence[int]],
        *,
        ignore: int | None = None,
        regions: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not labels:
            raise ValueError("Dice needs at least one foreground label by name; got none.")
        integers = {name: (v,) if isinstance(v, int) else tuple(v) for name, v in labels.items()}
        self.names, self.ignore, self.regions = tuple(integers), ignore, regions
        self.integers = tuple(integers.values())
        for state in ("overlap", "predicted", "true"):
            zeros = torch.zeros(len(integers), dtype=torch.int64)
            self.add_state(state, zeros, dist_reduce_fx="sum")

    @override
    def update(
        self,
        prediction: Float[Tensor, "batch output z y x"] | Integer[Tensor, "batch z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> None:
        """Count a batch: logits, or the integers chosen from them, against the truth.

        Args:
            prediction: Logits, or integers.
            label: The truth.
            known: Which of the network's outputs each image's truth tells: others are not counted in it; None
                where it tells all.
        """
        counted = None if self.ignore is None else label != self.ignore
        logits = prediction if prediction.is_floating_point() else None
        chosen = logits.argmax(1) if logits is not None and not self.regions else prediction
        counts = []
        for i, integers in enumerate(self.integers):
            guess = logits[:, i] > 0 if logits is not None and self.regions else _among(chosen, integers)
            truth = _among(label, integers)
            if counted is not None:
                guess, truth = guess & counted, truth & counted
            if known is not None:
                told = known[:, i if self.regions else integers[0], None, None, None]
                guess, truth = guess & told, truth & told
            counts.append(torch.stack([(guess & truth).sum(), guess.sum(), truth.sum()]))
        overlap, predicted, true = torch.stack(counts, dim=1)
        self.overlap += overlap
        self.predicted += predicted
        self.true += true

    @override
    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Give Dice by label, and ``mean`` over the labels that occur."""
        sizes = self.predicted + self.true
        scores = 2 * self.overlap / sizes
        by_name = dict(zip(self.names, scores.unbind(), strict=True))
        return {**by_name, "mean": scores.nanmean()}


def _among(label: Tensor, integers: Sequence[int]) -> Bool[Tensor, "batch z y x"]:
    found = label == integers[0]
    for integer in integers[1:]:
        found |= label == integer
    return found
