"""Masks of labels that may overlap, eight to a byte: label ``n`` (from 1) is one bit of each voxel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from numpy.typing import NDArray

BITS = 8
SLAB = 2**21
"""Voxels looked at at once."""

Combination = tuple[int, ...]
"""The numbers of the labels that lie in a voxel, ascending."""


def empty_masks(count: int, shape: Sequence[int]) -> UInt8[np.ndarray, "plane z y x"]:
    """Make room for masks, none of which holds a voxel.

    Args:
        count: Labels, at least 1.
        shape: Voxels (z, y, x).
    """
    return np.zeros((-(-count // BITS), *shape), np.uint8)


def is_packed(label: NDArray[Any]) -> bool:
    """Whether a segmentation is packed masks (plane, z, y, x), and not integers (z, y, x).

    Args:
        label: A segmentation.
    """
    return label.ndim == 4  # noqa: PLR2004


def take_mask(packed: UInt8[np.ndarray, "plane *voxels"], number: int) -> Bool[np.ndarray, "*voxels"]:
    """Give the mask of one label; empty where there is no room for it.

    Args:
        packed: Masks of all labels.
        number: Of the label, from 1.
    """
    plane, bit = divmod(number - 1, BITS)
    if plane >= len(packed):
        return np.zeros(packed.shape[1:], bool)
    found: Bool[np.ndarray, "*voxels"] = (packed[plane] & np.uint8(1 << bit)) > 0
    return found


def put_mask(
    packed: UInt8[np.ndarray, "plane *voxels"], number: int, mask: Bool[np.ndarray, "*voxels"]
) -> None:
    """Replace the mask of one label, in place.

    Args:
        packed: Masks of all labels.
        number: Of the label, from 1.
        mask: Its voxels.
    """
    plane, bit = divmod(number - 1, BITS)
    packed[plane] &= np.uint8(0xFF ^ (1 << bit))
    packed[plane] |= mask.astype(np.uint8) << np.uint8(bit)


def held_masks(packed: UInt8[np.ndarray, "plane z y x"]) -> list[int]:
    """Give the numbers of the labels that hold a voxel, ascending.

    Args:
        packed: Masks of all labels.
    """
    flat = packed.reshape(len(packed), -1)
    bits = np.array([np.bitwise_or.reduce(plane) for plane in flat], np.uint8)
    return (np.flatnonzero(np.unpackbits(bits, bitorder="little")) + 1).tolist()


def clear_under(packed: UInt8[np.ndarray, "plane z y x"], number: int) -> None:
    """Take the voxels of one label out of all others, in place.

    Args:
        packed: Masks of all labels.
        number: Of the label that alone keeps its voxels, from 1.
    """
    mask = take_mask(packed, number)
    packed *= ~mask
    put_mask(packed, number, mask)


def unpack_masks(packed: UInt8[np.ndarray, "plane z y x"], count: int) -> UInt8[np.ndarray, "label z y x"]:
    """Give a map of zeros and ones for each label.

    Args:
        packed: Masks of all labels.
        count: How many labels there are.
    """
    return np.unpackbits(packed, axis=0, count=count, bitorder="little")


def pack_integers(
    label: Integer[np.ndarray, "z y x"], values: Sequence[Sequence[int]]
) -> UInt8[np.ndarray, "plane z y x"]:
    """Make masks of a label map of integers.

    Args:
        label: One integer a voxel.
        values: Integers of each label, in the order of their numbers; a label without any is empty.
    """
    packed = empty_masks(len(values), label.shape)
    largest = max((value for held in values for value in held), default=0)
    inside = np.minimum(label, largest + 1)
    for plane in range(len(packed)):
        table = np.zeros(largest + 2, np.uint8)
        for bit, held in enumerate(values[plane * BITS : (plane + 1) * BITS]):
            table[list(held)] |= np.uint8(1 << bit)
        packed[plane] = table[inside]
    return packed


def find_combinations(packed: UInt8[np.ndarray, "plane z y x"]) -> set[Combination]:
    """Give each combination of labels that lies in some voxel; background is none.

    Args:
        packed: Masks of all labels.
    """
    found = {bytes(row) for rows, _, _ in _distinct(packed) for row in rows}
    return {_combination(row) for row in found}


def number_masks(
    packed: UInt8[np.ndarray, "plane z y x"], integers: Mapping[Combination, int]
) -> Integer[np.ndarray, "z y x"]:
    """Make a label map of integers, one for each combination of labels.

    Args:
        packed: Masks of all labels.
        integers: The integer of each combination that occurs; the smallest type that holds all is taken.
    """
    label = np.zeros(packed.shape[1:], np.min_scalar_type(max(integers.values(), default=0)))
    flat = label.reshape(-1)
    for rows, places, which in _distinct(packed):
        numbers = np.array([integers[_combination(bytes(row))] for row in rows], label.dtype)
        flat[places] = numbers[which]
    return label


def list_combinations(found: Iterable[Combination], count: int) -> list[Combination]:
    """Order combinations: each label alone, whether it occurs or not, then more and more together.

    Args:
        found: Those that occur.
        count: How many labels there are.

    >>> list_combinations({(1, 2, 3), (2, 3)}, 3)
    [(1,), (2,), (3,), (2, 3), (1, 2, 3)]
    """
    alone = {(number,) for number in range(1, count + 1)}
    return sorted(alone | set(found), key=lambda held: (len(held), held))


def number_together(
    masks: Sequence[UInt8[np.ndarray, "plane z y x"]], count: int
) -> tuple[list[Integer[np.ndarray, "z y x"]], list[tuple[int, ...]]]:
    """Make label maps of integers that mean the same in all of them, for pictures.

    Args:
        masks: Packed masks of the same labels.
        count: How many labels there are.

    Returns:
        A label map of each, and the integers of each label.
    """
    found = {one for packed in masks for one in find_combinations(packed)}
    listed = list_combinations(found, count)
    integers = {held: value for value, held in enumerate(listed, 1)}
    values = [tuple(v for held, v in integers.items() if number in held) for number in range(1, count + 1)]
    return [number_masks(packed, integers) for packed in masks], values


def _combination(row: bytes) -> Combination:
    bits = np.unpackbits(np.frombuffer(row, np.uint8), bitorder="little")
    return tuple((np.flatnonzero(bits) + 1).tolist())


def _distinct(packed: NDArray[np.uint8]) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Give, slab by slab, distinct voxels with a label (a row of bytes each), where such lie, and which."""
    flat = packed.reshape(len(packed), -1)
    for start in range(0, flat.shape[1], SLAB):
        part = flat[:, start : start + SLAB]
        places = np.flatnonzero(part.any(0))
        if not places.size:
            continue
        voxels = np.ascontiguousarray(part[:, places].T)
        if voxels.shape[1] == 1:  # 256 are counted faster than sorted
            present = np.flatnonzero(np.bincount(voxels[:, 0], minlength=1 << BITS))
            table = np.zeros(1 << BITS, np.intp)
            table[present] = np.arange(len(present))
            yield present.astype(np.uint8)[:, None], places + start, table[voxels[:, 0]]
            continue
        rows, which = np.unique(voxels.view(f"V{voxels.shape[1]}").reshape(-1), return_inverse=True)
        yield rows.view(np.uint8).reshape(len(rows), -1), places + start, which.reshape(-1)
