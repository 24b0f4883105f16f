"""From what a network believes to what comes true: temperature, calibration error, expected Dice."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from numpy.typing import NDArray
from torch import Tensor

TEMPERATURES = tuple(float(one) for one in np.geomspace(0.25, 8.0, 61))
"""Tried, in steps of 6 %."""
BINS = 15
"""Of confidence, for the calibration error."""
BLOCK = 1 << 20
"""Voxels taken at a time."""
BELIEVED = ((0.01, 100.0), (1e-9, 1e9), (-1e9, 1e9), (0.0, 1.0), (0.0, 1.0))
"""Ranges of what a file says, in the order of its entries: far more than calibrating gives."""
BEYOND = 0.05
"""How far outside of the expected Dice that a line was fitted over it is still followed."""
FEWEST = 10
"""Pairs of expected and found Dice from which a line is fitted."""


class Calibration(NamedTuple):
    """How a model's confidence is corrected; its labels stay as they are.

    Args:
        temperature: Logits are divided by it before they become probabilities.
        slope: Of the line from the Dice that probabilities let expect to that which was found.
        intercept: Of that line.
        least: Expected Dice from which on the line was fitted.
        most: Expected Dice up to which it was.
    """

    temperature: float = 1.0
    slope: float = 1.0
    intercept: float = 0.0
    least: float = 0.0
    most: float = 1.0

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Calibration":
        """Read it from a checkpoint.

        Args:
            found: Numbers by name.

        Raises:
            ValueError: If a number is none that calibrating finds, or anything near it.
        """
        made = cls(**{name: value for name, value in found.items() if name in cls._fields})
        for name, value, (least, most) in zip(cls._fields, made, BELIEVED, strict=True):
            if not least <= value <= most:
                raise ValueError(
                    f"its calibration has the {name} {value}, which lies between {least} and {most}. "
                    "Calibrate it anew: ingradient calibrate."
                )
        return made

    @classmethod
    def join(cls, parts: Sequence["Calibration"]) -> "Calibration":
        """Give that of models whose logits are averaged: the geometric mean of their temperatures.

        Args:
            parts: Of each model.
        """
        if len(parts) == 1:
            return parts[0]
        return cls(math.prod(one.temperature for one in parts) ** (1 / len(parts)))

    @property
    def has_line(self) -> bool:
        """Whether estimates of Dice were held against Dice that was found."""
        return (self.slope, self.intercept) != (1.0, 0.0)

    @property
    def at_end(self) -> bool:
        """Whether the temperature is the first or last that is tried: the model is barely trained."""
        return self.temperature in (TEMPERATURES[0], TEMPERATURES[-1])

    def reaches(self, expected: float) -> bool:
        """Whether the line was fitted over such an expected Dice, or one near by.

        Args:
            expected: As probabilities say.
        """
        return self.least - BEYOND <= expected <= self.most + BEYOND

    def estimate(self, expected: float) -> float:
        """Give the Dice to be expected, from what probabilities say.

        Args:
            expected: As :meth:`ingradient_pl.inference.uncertainty.Uncertainty.expected_dice` gives it.
        """
        return min(1.0, max(0.0, self.slope * expected + self.intercept))


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
