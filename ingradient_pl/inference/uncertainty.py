"""How unsure a model is of a case: entropy, disagreement of passes and the Dice that is to be expected.

Folds, mirrored passes and overlapping windows each give logits, which are averaged. What they disagree about
is the mean divergence of their probabilities from those of the average, in nats: the mean of each pass's
log-sum-exp less the log-sum-exp of the mean logits. So one map beside the logits holds all that is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor
from torch.nn.functional import softplus

from ingradient_pl.geometry import Box
from ingradient_pl.inference.average import EVEN
from ingradient_pl.phrases import say_count

FULL = 100
"""What a voxel of a map holds where a model could not be less sure."""
SMALLEST = 0.5
"""Voxels of a label below which no Dice is estimated."""
LEAST = 1e-7
"""Probability below which none is told from another: half precision has no smaller ones."""


@dataclass(frozen=True)
class Uncertainty:
    """Maps of a case, filled in while it is predicted.

    Args:
        entropy: Of the probabilities as a percentage of the most there can be; for regions of the least sure
            one. On the voxels of the image.
        disagreement: Of folds, mirrored passes and windows: ``100 (1 - exp(-d))`` of their mean divergence d
            in nats.
        sums: Of each output: probability where it was chosen, probability, voxels chosen.
    """

    entropy: UInt8[np.ndarray, "z y x"]
    disagreement: UInt8[np.ndarray, "z y x"]
    sums: Float[Tensor, "3 output"]

    @classmethod
    def empty(cls, shape: Sequence[int], outputs: int) -> "Uncertainty":
        """Make room for a case.

        Args:
            shape: Voxels of the image along (z, y, x).
            outputs: Of the network.
        """
        entropy, disagreement = (np.zeros(tuple(shape), np.uint8) for _ in range(2))
        return cls(entropy, disagreement, torch.zeros(3, outputs, dtype=torch.float64))

    def __repr__(self) -> str:
        return f"Uncertainty({say_count(self.sums.shape[1], 'output')}, {self.entropy.shape})"

    def turn(self, box: Box, transpose: Sequence[int], order: Sequence[int]) -> "Uncertainty":
        """Give the same maps as views with the axes of rows.

        Args:
            box: The part of the image that is predicted, axes as the network's.
            transpose: Of the plan.
            order: Axes of rows among the network's.
        """
        entropy, disagreement = (
            one.transpose(transpose)[box.slices].transpose(order) for one in (self.entropy, self.disagreement)
        )
        return Uncertainty(entropy, disagreement, self.sums)

    def keep(self, first: int, shares: Float[Tensor, "output row b c"], *, regions: bool) -> None:
        """Take the probabilities of some rows.

        Args:
            first: The first of them.
            shares: Of each output.
            regions: Whether each output says yes or no for itself.
        """
        rows = slice(first, first + shares.shape[1])
        self.entropy[rows] = _to_percent(entropy(shares, regions=regions))
        self.sums.add_(_sum_up(shares, regions=regions).cpu())

    def join(
        self,
        rows: slice,
        mean: Float[Tensor, "output row b c"],
        maps: Sequence[Float[np.ndarray, "output z y x"]],
        parts: "Sequence[Uncertainty]",
        *,
        regions: bool,
    ) -> None:
        """Take what models of several plans found in some rows, where their probabilities are averaged.

        Args:
            rows: Which.
            mean: Their average.
            maps: Probabilities of each model.
            parts: Uncertainty of each; to their mean disagreement that among them is added.
            regions: Whether each output says yes or no for itself.
        """
        shares = torch.stack([torch.from_numpy(np.array(one[:, rows])).float() for one in maps])
        self.keep(rows.start, mean, regions=regions)
        own = torch.from_numpy(np.stack([part.disagreement[rows] for part in parts])).float()
        within = -torch.log1p(-(own / FULL).clamp(max=1 - 1 / FULL)).mean(0)
        among = _mean_divergence(mean, shares, regions=regions)
        self.disagreement[rows] = to_disagreement(within + among)

    def expected_dice(self) -> list[float]:
        """Give the Dice that the probabilities let expect of each output; NaN where nothing was chosen."""
        return _dice_of_sums(self.sums)


def expected_dice_at(
    shares: Float[np.ndarray, "output z y x"], temperatures: Sequence[float], *, regions: bool
) -> list[list[float]]:
    """Give the Dice that probabilities let expect of each output, were logits divided by other temperatures.

    It is what :meth:`Uncertainty.expected_dice` would say of a prediction at each of them, without one.

    Args:
        shares: Probabilities at temperature 1: shares of one; for regions a probability each.
        temperatures: Each above 0.
        regions: Whether each output says yes or no for itself.

    Returns:
        A list for each temperature; NaN where nothing was chosen.
    """
    sums = torch.zeros(len(temperatures), 3, len(shares), dtype=torch.float64)
    for row in range(shares.shape[1]):
        part = torch.from_numpy(np.ascontiguousarray(shares[:, row : row + 1], np.float32))
        logits = torch.logit(part) if regions else part.log()
        for number, temperature in enumerate(temperatures):
            warm = logits / temperature
            sums[number] += _sum_up(warm.sigmoid() if regions else warm.softmax(0), regions=regions)
    return [_dice_of_sums(one) for one in sums]


def entropy(shares: Float[Tensor, "output *voxels"], *, regions: bool) -> Float[Tensor, "*voxels"]:
    """Give the entropy of probabilities over the most there can be, in [0, 1].

    Args:
        shares: Shares of one; for regions a probability each.
        regions: Whether they are that; then that of the least sure region counts.

    >>> entropy(torch.tensor([[0.5, 1.0], [0.5, 0.0]]), regions=False).abs()
    tensor([1., 0.])
    """
    if regions:
        rest = 1 - shares
        bits = -(torch.xlogy(shares, shares) + torch.xlogy(rest, rest))
        return (bits / math.log(2)).amax(0)
    return -torch.xlogy(shares, shares).sum(0) / math.log(max(2, len(shares)))


def add_partition(
    logits: Float[Tensor, "view output z y x"], *, regions: bool
) -> Float[Tensor, "view _ z y x"]:
    """Append to the logits of each pass the logarithm of what they are divided by to become probabilities.

    Args:
        logits: Of one network.
        regions: Whether each output says yes or no for itself.
    """
    exact = logits.float()
    total = softplus(exact).sum(1, keepdim=True) if regions else exact.logsumexp(1, keepdim=True)
    return torch.cat([exact, total], 1)


def divergence(rows: Float[Tensor, "_ row b c"], *, regions: bool) -> Float[Tensor, "1 row b c"]:
    """Give the mean divergence of passes from their average, in nats.

    Args:
        rows: Averaged logits, and behind them what :func:`add_partition` appended, averaged.
        regions: Whether each output says yes or no for itself.
    """
    logits, total = rows[:-1].float(), rows[-1:].float()
    own = softplus(logits).sum(0, keepdim=True) if regions else logits.logsumexp(0, keepdim=True)
    return (total - own).clamp_(min=0)


def _sum_up(shares: Float[Tensor, "output row b c"], *, regions: bool) -> Float[Tensor, "3 output"]:
    """Give of each output its probability where it was chosen, its probability, and voxels chosen."""
    chosen = shares > EVEN if regions else _one_hot(shares)
    return torch.stack(
        [(shares * chosen).sum((1, 2, 3)), shares.sum((1, 2, 3)), chosen.sum((1, 2, 3))]
    ).double()


def _dice_of_sums(sums: Float[Tensor, "3 output"]) -> list[float]:
    return [
        2 * common / (size + found) if found > SMALLEST else math.nan
        for common, size, found in zip(*sums.tolist(), strict=True)
    ]


def _mean_divergence(mean: Tensor, shares: Tensor, *, regions: bool) -> Tensor:
    """Give the mean divergence of several probabilities from their mean, in nats."""
    pairs = [(mean, shares), (1 - mean, 1 - shares)] if regions else [(mean, shares)]
    terms = [torch.xlogy(one, one) - one * each.clamp(min=LEAST).log() for one, each in pairs]
    return torch.stack([term.sum(1) for term in terms]).sum(0).mean(0).clamp_(min=0)


def to_disagreement(nats: Float[Tensor, "*voxels"]) -> UInt8[np.ndarray, "*voxels"]:
    """Give divergences as a percentage, 100 where nothing is agreed on.

    Args:
        nats: At least 0.
    """
    return _to_percent(-torch.expm1(-nats))


def _to_percent(values: Num[Tensor, "*voxels"]) -> UInt8[np.ndarray, "*voxels"]:
    percent: UInt8[np.ndarray, "*voxels"] = (values * FULL).round_().clamp_(0, FULL).byte().cpu().numpy()
    return percent


def _one_hot(shares: Tensor) -> Tensor:
    """Give where each output has the largest share, the first of several."""
    return torch.zeros_like(shares, dtype=torch.bool).scatter_(0, shares.argmax(0, keepdim=True), value=True)
