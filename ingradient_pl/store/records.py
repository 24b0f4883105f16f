"""What a store tells of a case, and a box of it as it lies on disk."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, Num

from ingradient_pl.geometry import Grid
from ingradient_pl.short_repr import short_repr


class StoredCase(NamedTuple):
    """A case of the store, without its voxels.

    Args:
        name: Of the case.
        grid: Native spacing, shape after the crop to content, axes as the store was opened.
        classes: Foreground integers that occur in its label, ascending.
        group: The patient.
        split: What the source's table says, e.g. ``train``; None where it says nothing.
        whole: Whether the body (voxels that are not zero, holes filled) is everything.
        voxels: How many voxels each foreground integer has.
        native: Grid of the case before the crop, axes as ``grid``.
        start: First voxel of the crop in ``native``.
        labelled: Whether there is a label.
        dtype: Of the image.
        annotated: Names of the labels that somebody annotated; None where all were.
        store: Which of several stores it is in; empty of one.
    """

    name: str
    grid: Grid
    classes: tuple[int, ...]
    group: str
    split: str | None
    whole: bool
    voxels: dict[int, int]
    native: Grid
    start: tuple[int, int, int]
    labelled: bool
    dtype: str
    annotated: tuple[str, ...] | None = None
    store: str = ""

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def of(cls, name: str, plain: Mapping[str, Any], transpose: Sequence[int]) -> "StoredCase":
        """Build it from what the store says about the case.

        Args:
            name: Of the case's folder: what a description says could lead elsewhere.
            plain: The description, as :func:`ingradient_pl.store.metadata.read_description` gives it.
            transpose: Axis ``i`` of the grids is axis ``transpose[i]`` of the case on disk.
        """
        native = Grid.of(plain["native"]["turned_shape"], plain["spacing"])
        start = plain["start"]
        return cls(
            name=name,
            grid=Grid.of(plain["shape"], plain["spacing"]).transposed(transpose),
            classes=tuple(sorted(int(value) for value in plain["voxels"])),
            group=plain["group"],
            split=plain["split"],
            whole=plain["whole"],
            voxels={int(value): count for value, count in plain["voxels"].items()},
            native=native.transposed(transpose),
            start=(start[transpose[0]], start[transpose[1]], start[transpose[2]]),
            labelled=plain["labelled"],
            dtype=plain["dtype"],
            annotated=None if plain.get("annotated") is None else tuple(plain["annotated"]),
        )

    @property
    def native_shape(self) -> tuple[int, int, int]:
        """Voxels of the case before the crop."""
        return self.native.shape


class Voxels(NamedTuple):
    """A box of a case as it lies in the store.

    Args:
        image: Native data type.
        label: Integers of the task; zero where the case has no label. On the voxels asked for it.
        body: Voxels inside the patient; None where that is every voxel of the case.
    """

    image: Num[np.ndarray, "channel z y x"]
    label: Integer[np.ndarray, "_ _ _"]
    body: Bool[np.ndarray, "z y x"] | None

    def __repr__(self) -> str:
        return short_repr(self)
