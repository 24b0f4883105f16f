"""Target spacing: how large the network's voxels are, and which axis is so coarse that it is a case apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ingradient_pl.geometry import AXES, Grid, Millimetres
from ingradient_pl.phrases import join_times

LITTLE_MM = 1e-5
FARTHEST = 100
"""Times that an edge of the network's voxels may be finer or coarser than that of the cases."""


class Target(NamedTuple):
    """What a spacing rule answers.

    Args:
        spacing: Size of the network's voxels in mm along the axes of the cases.
        anisotropic_axis: The axis along which voxels are far longer than along the others; None if none is.
    """

    spacing: Millimetres
    anisotropic_axis: int | None


class SpacingRule:
    """What every spacing rule is: a frozen dataclass of settings with one answer."""

    def target(self, grids: Sequence[Grid]) -> Target:
        """Give the network's spacing for cases that lie on ``grids``.

        Args:
            grids: Of each case after the crop: voxels and mm along (z, y, x).
        """
        raise NotImplementedError


@dataclass(frozen=True)
class IngradientSpacing(SpacingRule):
    """One quantile of the spacings for isotropic axes, another for an anisotropic one.

    The default takes an anisotropic axis at nearly its coarsest, so that hardly a case has slices invented
    between its own.

    Args:
        quantile: Of the spacings along an isotropic axis, in [0, 1]; 0.5 is their median.
        anisotropic_quantile: Of those along an anisotropic axis, in [0, 1].
        threshold: An axis is anisotropic where its median spacing is more than so many times that of each
            other axis.

    Raises:
        ValueError: If a quantile is outside [0, 1] or the threshold below 1.
    """

    quantile: float = 0.50
    anisotropic_quantile: float = 0.90
    threshold: float = 3.0

    def __post_init__(self) -> None:
        for name in ("quantile", "anisotropic_quantile"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must lie in [0, 1], got {getattr(self, name)}. A percentile? Divide it by 100."
                )
        _check_threshold(self.threshold)

    @override
    def target(self, grids: Sequence[Grid]) -> Target:
        spacings = _spacings(grids)
        axis = _coarse_axis(np.quantile(spacings, 0.5, axis=0), self.threshold)
        wanted = np.quantile(spacings, self.quantile, axis=0)
        if axis is not None:
            wanted[axis] = np.quantile(spacings[:, axis], self.anisotropic_quantile)
        return Target(_millimetres(wanted), axis)


@dataclass(frozen=True)
class NnunetSpacing(SpacingRule):
    """nnU-Net's rule: the median, and of a coarse axis with few slices the 10th percentile.

    Such an axis never becomes finer than the others: it stays just above them.

    Args:
        threshold: An axis is coarse where its spacing is more than so many times that of each other axis,
            and has few slices where so many times its size is less than that of each other axis.

    Raises:
        ValueError: If the threshold is below 1.

    Source: Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z, supplement; figures of 2.8.1.
    """

    threshold: float = 3.0

    def __post_init__(self) -> None:
        _check_threshold(self.threshold)

    @override
    def target(self, grids: Sequence[Grid]) -> Target:
        spacings = _spacings(grids)
        sizes = np.quantile(np.array([grid.shape for grid in grids], dtype=np.float64), 0.5, axis=0)
        wanted = np.quantile(spacings, 0.5, axis=0)
        axis = _coarse_axis(wanted, self.threshold)
        if axis is None or not sizes[axis] * self.threshold < np.delete(sizes, axis).min():
            return Target(_millimetres(wanted), None)
        fine, longest = np.quantile(spacings[:, axis], 0.1), np.delete(wanted, axis).max()
        wanted[axis] = longest + LITTLE_MM if fine < longest else fine
        return Target(_millimetres(wanted), axis)


@dataclass(frozen=True)
class FixedSpacing(SpacingRule):
    """A spacing chosen by hand.

    Args:
        spacing: Size of the network's voxels in mm along the axes of the cases, (z, y, x).
        threshold: An axis counts as anisotropic where it is more than so many times each other.

    Raises:
        ValueError: If there are not three positive numbers, or the threshold is below 1.
    """

    spacing: Millimetres
    threshold: float = 3.0

    def __post_init__(self) -> None:
        _check_threshold(self.threshold)
        object.__setattr__(self, "spacing", Grid.of((1,) * AXES, self.spacing).spacing)

    @override
    def target(self, grids: Sequence[Grid]) -> Target:
        return Target(self.spacing, _coarse_axis(np.array(self.spacing), self.threshold))


def _check_threshold(threshold: float) -> None:
    if not threshold >= 1:
        raise ValueError(
            "threshold is the ratio of a long voxel edge to the others, at least 1, "
            f"got {threshold}. nnU-Net's is 3."
        )


def _spacings(grids: Sequence[Grid]) -> NDArray[np.float64]:
    if not grids:
        raise ValueError("A spacing is planned from cases, and there are none: fill the store first.")
    return np.array([grid.spacing for grid in grids], dtype=np.float64)


def _coarse_axis(spacing: NDArray[np.float64], threshold: float) -> int | None:
    axis = int(np.argmax(spacing))
    return axis if spacing[axis] > threshold * np.delete(spacing, axis).max() else None


def _millimetres(spacing: NDArray[np.float64]) -> Millimetres:
    z, y, x = (float(mm) for mm in spacing)
    return z, y, x


def check_spacing(spacing: Sequence[float], found: Sequence[float]) -> None:
    """Refuse voxels that are nothing like those of the cases: most often another unit was meant.

    Args:
        spacing: Of the network's voxels, in mm along (z, y, x).
        found: Median of the cases, likewise.

    Raises:
        ValueError: If an edge is more than 100 times finer or coarser.
    """
    if any(not 1 / FARTHEST <= one / other <= FARTHEST for one, other in zip(spacing, found, strict=True)):
        raise ValueError(
            f"Voxels of {join_times(spacing)} mm are more than {FARTHEST} times finer or coarser than those "
            f"of the cases ({join_times(found)} mm). A spacing is in millimetres along (z, y, x)."
        )
