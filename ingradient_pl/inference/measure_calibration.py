"""Measured on labelled cases: calibration error, best temperature, the line from expected to found Dice."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

from ingradient_pl.inference.calibration import TEMPERATURES

BINS = 15
"""Of confidence, for the calibration error."""
BLOCK = 1 << 20
"""Voxels taken at a time."""
FEWEST = 10
"""Pairs of expected and found Dice from which a line is fitted."""


class Reliability:
    """Likelihood and calibration error of probabilities on labelled voxels, for many temperatures."""

    def __init__(self) -> None:
        self.voxels = 0
        self.losses = torch.zeros(len(TEMPERATURES), dtype=torch.float64)
        self.bins = torch.zeros(len(TEMPERATURES), 3, BINS, dtype=torch.float64)

    def add(
        self, shares: Float[NDArray[Any], "output z y x"], truth: Bool[NDArray[Any], "output z y x"]
    ) -> None:
        """Take a case.

        Args:
            shares: Probabilities at temperature 1: shares of one, or for a region yes and no.
            truth: 1 where an output is right, 0 elsewhere; voxels where none is are left out.
        """
        known = truth.any(0)
        for logs, right in _blocks(shares[:, known], truth[:, known]):
            self.voxels += logs.shape[1]
            for number, temperature in enumerate(TEMPERATURES):
                found = (logs / temperature).log_softmax(0)
                self.losses[number] -= found.gather(0, right[None]).sum().double()
                confidence, chosen = found.exp().max(0)
                place = (confidence * BINS).long().clamp_(max=BINS - 1)
                values = torch.stack(
                    [torch.ones_like(confidence), confidence, (chosen == right).to(confidence.dtype)]
                )
                self.bins[number].index_add_(1, place, values.double())

    @property
    def best(self) -> int:
        """Number of the temperature whose probabilities are likeliest."""
        return int(self.losses.argmin())

    def error(self, number: int) -> float:
        """Give the expected calibration error: the mean gap of confidence and accuracy over bins, in [0, 1].

        Args:
            number: Of the temperature.
        """
        _, confidence, right = self.bins[number]
        return float((confidence - right).abs().sum() / max(1, self.voxels))


def fit_line(pairs: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Fit the line from expected Dice to found Dice; none where it would be guessed.

    Args:
        pairs: Expected and found Dice; those with a NaN are left out.

    Returns:
        Slope and intercept, least and greatest expected Dice: 1, 0, 0 and 1 where there are fewer than ten
        pairs, or they do not rise together.
    """
    kept = np.array([pair for pair in pairs if all(map(math.isfinite, pair))]).reshape(-1, 2)
    if len(kept) < FEWEST or np.ptp(kept[:, 0]) == 0:
        return 1.0, 0.0, 0.0, 1.0
    slope, intercept = np.polyfit(kept[:, 0], kept[:, 1], 1)
    ends = float(kept[:, 0].min()), float(kept[:, 0].max())
    return (float(slope), float(intercept), *ends) if slope > 0 else (1.0, 0.0, 0.0, 1.0)


def _blocks(
    shares: NDArray[Any], truth: NDArray[Any]
) -> Iterator[tuple[Float[Tensor, "output voxel"], Integer[Tensor, " voxel"]]]:
    """Give logarithms of probabilities and the right output of some voxels at a time."""
    for start in range(0, shares.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        logs = torch.from_numpy(np.ascontiguousarray(shares[:, part], np.float32)).clamp_(min=1e-30).log()
        yield logs, torch.from_numpy(truth[:, part].argmax(0))
