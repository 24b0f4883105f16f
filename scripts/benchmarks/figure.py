"""Figure: one measured number and the bar it is held against."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """A number, what it was measured against in the same run, and the bar.

    ``most``: whether the bar is the largest value allowed, or the smallest.
    """

    name: str
    value: float
    unit: str
    against: str
    bar: float
    most: bool = True

    @property
    def met(self) -> bool:
        return self.value <= self.bar if self.most else self.value >= self.bar

    @property
    def line(self) -> str:
        sign = "<=" if self.most else ">="
        verdict = "met" if self.met else "missed"
        return (
            f"{self.name} {self.value:.4g} {self.unit} (against {self.against}) {sign} {self.bar:g} {verdict}"
        )


def medians(parts: Sequence[Callable[[], object]], rounds: int, warm: int = 1) -> list[float]:
    """Median seconds of each part, measured in turns so that a drifting machine hits all alike."""
    seconds: list[list[float]] = [[] for _ in parts]
    for turn in range(warm + rounds):
        for part, taken in zip(parts, seconds, strict=True):
            start = time.perf_counter()
            part()
            if turn >= warm:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]
