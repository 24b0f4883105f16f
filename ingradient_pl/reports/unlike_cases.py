"""Cases of a store whose voxels or extent are unlike those of the others."""

from collections.abc import Sequence

import numpy as np

from ingradient_pl.store.case_store import StoredCase

FAR = 2.0
"""A voxel size or extent so many times the median's, or less than the median by that, is odd."""


ALIKE = 1.01
"""Ratios of voxel sides that differ by less are one."""


def find_unlike(cases: Sequence[StoredCase]) -> list[str]:
    """Say which cases have voxels or an extent unlike the others', along any axis.

    Args:
        cases: All of them.
    """
    lines = []
    for title, unit, rows in (
        ("voxels", "mm", [case.grid.spacing for case in cases]),
        ("an extent", "mm", [np.multiply(case.native_shape, case.grid.spacing) for case in cases]),
    ):
        table = np.array(rows, dtype=float)
        median = np.median(table, axis=0)
        apart = np.maximum(table / median, median / table).max(1)
        for index in np.flatnonzero(apart > FAR).tolist():
            own, usual = (" × ".join(f"{one:.4g}" for one in row) for row in (table[index], median))
            lines.append(
                f"{cases[index].name}: {title} of {own} {unit} (z, y, x), where the median is {usual}"
            )
    return lines
