"""Cases of one image under several names, which might train and validate at once: found by statistics."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from ingradient_pl.datasets.case_names import group_alike
from ingradient_pl.phrases import name_some
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.metadata import StoreError
from ingradient_pl.store.statistics import ChannelStatistics
from ingradient_pl.store.store_union import AnyCases

ALIKE = 1e-4
"""Standard deviations by which quantiles of one image differ: what another slope or 32 bits leave of it."""

FEWEST_VALUES = 16
"""Quantiles that differ, below which images are alike by chance: masks, checkerboards."""

FEWEST_LABELLED = 30
"""Voxels of a label map, below which two are alike by chance."""


Watch: TypeAlias = Callable[[str, Sequence[ChannelStatistics]], None]


class _Outline(NamedTuple):
    """What an image has in common with its copies, however they are turned, scaled or stored."""

    name: str
    voxels: int
    quantiles: Float[np.ndarray, "channel share"]


def find_copies(store: AnyCases, names: Sequence[str], watch: Watch | None = None) -> list[list[str]]:
    """Find the cases whose images hold the same voxels, whatever they are called.

    An image turned, mirrored, of another data type, slope or format is a copy, too: what is compared are the
    numbers of voxels and the quantiles of their intensities, which the store keeps. No voxel is read.

    Args:
        store: Holds the cases.
        names: Which cases; one whose description is damaged is passed over.
        watch: Called with the name and the statistics of each case, which are read once so.

    Returns:
        Names of the cases of each image that is there more than once.
    """
    found = [outline for name in names for outline in _outline(store, name, watch)]
    found.sort(key=lambda one: (one.voxels, len(one.quantiles), float(one.quantiles[0].sum())))
    copies: list[list[str]] = []
    before: _Outline | None = None
    for one in found:
        if before is not None and _same(before, one):
            copies[-1].append(one.name)
        else:
            copies.append([one.name])
        before = one
    return sorted(sorted(several) for several in copies if len(several) > 1)


def _outline(store: AnyCases, name: str, watch: Watch | None) -> Iterator[_Outline]:
    try:
        channels: Sequence[ChannelStatistics] = store.statistics(name)
    except (StoreError, OSError):
        return  # who reads the case says what is wrong with it
    if watch is not None:
        watch(name, channels)
    whole = [channel.whole for channel in channels]
    if any(one.std == 0 or len(np.unique(one.quantiles)) < FEWEST_VALUES for one in whole):
        return
    quantiles = np.stack([(one.quantiles - one.mean) / one.std for one in whole])
    yield _Outline(name, whole[0].voxels, quantiles)


def _same(one: _Outline, other: _Outline) -> bool:
    return (
        one.voxels == other.voxels
        and one.quantiles.shape == other.quantiles.shape
        and bool(np.abs(one.quantiles - other.quantiles).max() < ALIKE)
    )


def describe_copies(store: AnyCases, watch: Watch | None = None) -> list[str]:
    """Say which cases hold one image, or (within one store) one label for several images.

    Args:
        store: As prepared, or several that are read as one.
        watch: As of :func:`find_copies`.
    """
    told = []
    copies = find_copies(store, list(store.cases), watch)
    labels = _label_sums(store) if isinstance(store, CaseStore) else {}
    for several in copies:
        text = f"{name_some(several)} hold one and the same image"
        if len({labels.get(name) for name in several}) > 1:
            text += ", with labels that differ"
        apart = len({store.cases[name].group for name in several}) > 1
        text += ", and count as patients of their own: one may train and another validate" if apart else ""
        told.append(f"{text}. Keep one of them, or give them one name in a table's column 'group'.")
    known = [set(several) for several in copies]
    for several in _same_labels(store, labels):
        if not any(set(several) <= one for one in known):
            told.append(
                f"{name_some(several)} hold one and the same label, though their images differ and they "
                "count as patients of their own. Was a file copied? If they are scans of one patient, give "
                "them one name in a table's column 'group'."
            )
    return told


def describe_leaks(store: AnyCases, train: Sequence[str], validation: Sequence[str]) -> list[str]:
    """Say which cases validate a network that is trained on the very same image under another name.

    Args:
        store: Holds the cases.
        train: Names of cases that train.
        validation: Names of cases that validate; those that do both are left out.
    """
    sides = dict.fromkeys(train, "train")
    sides |= {name: "validate" if sides.get(name) != "train" else "both" for name in validation}
    told = []
    for several in find_copies(store, list(sides)):
        apart = [[name for name in several if sides[name] == side] for side in ("train", "validate")]
        if all(apart):
            told.append(
                f"{name_some(apart[1])} validate and {name_some(apart[0])} train, and they hold one and "
                "the same image: scores are too good. Keep one of them, or give them one name in a table's "
                "column 'group' and prepare again."
            )
    return told


def _same_labels(store: AnyCases, labels: Mapping[str, str]) -> list[list[str]]:
    """Group the cases of several patients whose label maps are equal."""
    alike = group_alike(labels, labels.__getitem__)
    return [
        several for several in alike if len({store.cases[name].group for name in several}) == len(several)
    ]


def _label_sums(store: CaseStore) -> dict[str, str]:
    """Give what tells a label map apart, of cases whose labels are more than a few voxels."""
    large = [name for name, case in store.cases.items() if sum(case.voxels.values()) >= FEWEST_LABELLED]
    found = {}
    for name in large:
        try:
            told = store.label_sum(name)
        except (StoreError, OSError):
            continue  # as above
        if told is not None:
            found[name] = f"{store.cases[name].native} {store.cases[name].start} {told}"
    return found
