"""A check sum of each case's image or label: it tells a case by its voxels, whatever it is called."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.files import BAD_ARCHIVE
from ingradient_pl.store.metadata import CASES, NUMBERS, read_numbers

IMAGE, LABEL_SUMS = "image_sums", "label_sums"
DIGITS = 16


def read_image_sums(store: Path, names: Iterable[str]) -> dict[str, str]:
    """Give a check sum of the image of each case; cases whose description cannot be read are left out.

    It is made of those that the store keeps of the image's chunks: no voxel is read. Cases of one image have
    one sum, in any store that was prepared with one orientation.

    Args:
        store: Folder of a case store.
        names: Of its cases, as the store names them.
    """
    found = {}
    for name in names:
        try:
            with read_numbers(store / CASES / name / NUMBERS) as numbers:
                sums = np.asarray(numbers[IMAGE])
        except (OSError, KeyError, ValueError, *BAD_ARCHIVE):
            continue  # who reads the case says what is wrong with it
        found[name] = hash_sums(sums)
    return found


def hash_sums(sums: NDArray[np.uint32]) -> str:
    """Give one check sum of an array for those of its chunks.

    Args:
        sums: As the store keeps them, shape (chunks + 1,).
    """
    return hashlib.sha256(sums.tobytes()).hexdigest()[:DIGITS]
