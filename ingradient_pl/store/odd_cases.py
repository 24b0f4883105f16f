"""What is odd about a data set as a whole: names that mean something else than they seem, lost spacings."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from unicodedata import category, normalize

import numpy as np

from ingradient_pl.datasets.case_names import group_alike
from ingradient_pl.geometry import Millimetres
from ingradient_pl.phrases import name_some
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.copies import describe_copies
from ingradient_pl.store.exchanged_channels import ExchangeSearch
from ingradient_pl.store.hounsfield import HOUNSFIELD, LIKE_CT, HounsfieldSearch
from ingradient_pl.store.metadata import StoreError
from ingradient_pl.store.statistics import ChannelStatistics
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.task import BACKGROUND, Task

NOTHING = re.compile(
    r"back ?ground|bg|none|nothing|other|outside|air|clear|clear label|un-?label.*|void|0|", re.IGNORECASE
)
"""Names that say of the integer 0 what it means: no label."""

MEANING = {"background": "what is none of the labels", "ignore": "voxels that nobody annotated"}

LOST = (1.0, 1.0, 1.0)
"""Spacing in mm of a file that tells none."""

UNLIKE = 1.5
"""Ratio of voxel sides to the others' from which 1 mm is not believed."""

FEWEST = 3

PATIENCE = 0.1, 0.5, 2.0
"""Seconds for which a store is waited for, of which another process replaces a case at the moment."""


def describe_task(task: Task) -> list[str]:
    """Say which names of labels and channels mean something else than they seem to.

    Args:
        task: Numbered as the store's voxels are.
    """
    told = []
    for name, value in task.labels.items():
        meant = re.sub(r"\s+", " ", name.strip().lower())
        if value == BACKGROUND and not NOTHING.fullmatch(meant):
            told.append(
                f"the label '{name}' is 0, which is the background: it is neither learnt nor scored. Number "
                "structures from 1."
            )
        elif meant in MEANING and name not in MEANING and value != BACKGROUND:
            told.append(
                f"the label '{name}' is learnt like any other: write '{meant}' for {MEANING[meant]}, or give "
                "it another name."
            )
    told += [
        f"the channel '{name}' is normalised by each case's own mean and deviation, since only the name 'CT' "
        "means Hounsfield units. Write CT if it holds them."
        for name in task.channels
        if LIKE_CT.search(name) and name.strip().lower() != HOUNSFIELD
    ]
    told += [
        f"the labels {names} differ in blanks, capitals or unseen letters alone."
        for names in _near_twins(task.labels)
    ]
    return told


def describe_patients_alike(groups: Mapping[str, str]) -> list[str]:
    """Say which patients may be one, written in several ways.

    Args:
        groups: The patient of each case.
    """
    told = {case: group for case, group in groups.items() if group != case}
    return [
        f"the patients {names} differ in blanks, capitals or unseen letters alone and count as several: one "
        "may train and another validate. Write one name if they are one."
        for names in _near_twins(dict.fromkeys(told.values()))
    ]


def _near_twins(names: Iterable[str]) -> list[str]:
    return [", ".join(map(repr, several)) for several in group_alike(names, _strip_unseen)]


def _strip_unseen(name: str) -> str:
    seen = (one for one in normalize("NFC", name) if not one.isspace() and category(one) != "Cf")
    return "".join(seen).casefold()


def describe_lost_spacing(spacings: Mapping[str, Sequence[float]]) -> list[str]:
    """Say which cases have voxels of just 1 mm where others have not: what a lost header leaves.

    Args:
        spacings: Size of the voxels of each case in mm (z, y, x).
    """
    if len(spacings) < FEWEST:
        return []
    usual: Millimetres = tuple(np.median(np.array(list(spacings.values())), axis=0).tolist())
    apart = max(max(one, 1 / one) for one in usual)
    lost = [name for name, spacing in spacings.items() if tuple(spacing) == LOST]
    if not lost or apart < UNLIKE:
        return []
    return [
        f"{len(lost)} of {len(spacings)} cases have voxels of exactly 1 x 1 x 1 mm ({name_some(lost)}), "
        f"where the median is {' x '.join(f'{one:.4g}' for one in usual)}: is their spacing lost?"
    ]


def describe_odd_images(store: AnyCases) -> list[str]:
    """Say which cases are copies or have channels exchanged, and which channels hold a CT; each is read once.

    Args:
        store: As prepared, or several that are read as one.
    """
    searches = ExchangeSearch(store.task.channels), HounsfieldSearch(store.task.channels)

    def watch(name: str, statistics: Sequence[ChannelStatistics]) -> None:
        for search in searches:
            search.add(name, statistics)

    return [*describe_copies(store, watch), *(text for search in searches for text in search.describe())]


def describe_stored(folder: Path) -> list[str]:
    """Say of a store what :func:`describe_odd_images` does.

    Args:
        folder: Of the store. Another process may be preparing it as well.

    Raises:
        StoreError: If it cannot be read.
    """
    waits = iter(PATIENCE)
    while True:
        try:
            return describe_odd_images(CaseStore(folder))
        except (StoreError, OSError):
            if (seconds := next(waits, None)) is None:
                raise
            time.sleep(seconds)
