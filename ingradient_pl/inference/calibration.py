"""From what a network believes to what comes true: a temperature, and a line to the Dice to be expected."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

TEMPERATURES = tuple(float(one) for one in np.geomspace(0.25, 8.0, 61))
"""Tried, in steps of 6 %."""
BELIEVED = ((0.01, 100.0), (1e-9, 1e9), (-1e9, 1e9), (0.0, 1.0), (0.0, 1.0))
"""Ranges of what a file says, in the order of its entries: far more than calibrating gives."""
BEYOND = 0.05
"""How far outside of the expected Dice that a line was fitted over it is still followed."""


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
