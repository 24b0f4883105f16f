"""What was drawn for a batch, packed into one array: one copy to the device, nothing read back.

The host reads its copy to decide which kernels are launched at all; the device's copy holds their parameters,
which are views of it. So no device is waited for, and a change that no patch drew launches nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int32, Int64
from torch import Tensor

from ingradient_pl.short_repr import short_repr

WORDS_OF_INT64 = 2
ALIGNED = 4
"""Words that the values of a change start at a multiple of: 16 bytes, what products of matrices want."""
HEAD = 6


class AugmentationTable(NamedTuple):
    """The draws of one batch, the same words in both places.

    Args:
        host: Read to decide what is launched.
        device: Parameters of what is launched; starts at a multiple of 16 bytes.
    """

    host: Int32[np.ndarray, " word"]
    device: Int32[Tensor, " word"]

    def __repr__(self) -> str:
        return short_repr(self)


class Drawn(NamedTuple):
    """Which channels of a batch drew a change, and its parameters for each.

    Args:
        rows: ``patch * channels + channel``, ascending.
        values: Parameters of each row.
    """

    rows: Int64[np.ndarray, " row"]
    values: Float32[np.ndarray, "row value"]


class DrawnOnDevice(NamedTuple):
    """:class:`Drawn`, where the voxels are."""

    rows: Int64[Tensor, " row"]
    values: Float[Tensor, "row value"]


def pack(
    draws: Sequence[Drawn], patches: int, channels: int, shape: Sequence[int]
) -> Int32[np.ndarray, " word"]:
    """Put draws one behind the other: head, sizes, rows, then the values of each from an aligned word on.

    Args:
        draws: Of each change, in order.
        patches: How many the batch has.
        channels: Of each patch.
        shape: Voxels (z, y, x) of each patch.
    """
    sizes = [size for drawn in draws for size in drawn.values.shape]
    head = np.array([patches, channels, *shape, len(draws), *sizes], np.int64)
    whole = np.concatenate([head, *(drawn.rows for drawn in draws)]).astype(np.int64).view(np.int32)
    starts = [0]
    for size in (len(whole), *(drawn.values.size for drawn in draws)):
        starts.append(_align(starts[-1] + size))
    words = np.zeros(starts[-1], np.int32)
    words[: len(whole)] = whole
    numbers = words.view(np.float32)
    for drawn, start in zip(draws, starts[1:], strict=False):
        numbers[start : start + drawn.values.size] = drawn.values.reshape(-1)
    return words


def unpack(
    table: AugmentationTable, image: Float[Tensor, "batch channel z y x"], changes: int
) -> list[tuple[Drawn, DrawnOnDevice] | None]:
    """Give views of the draws of each of ``changes``, on the host and on the device; None where nobody drew.

    Args:
        table: As :func:`send` gave it.
        image: The batch that is to be changed.
        changes: How many draws the table must hold.

    Raises:
        ValueError: If the table was drawn for another shape of ``image`` or other changes.
    """
    host = table.host[: len(table.host) // WORDS_OF_INT64 * WORDS_OF_INT64].view(np.int64)
    head, wanted = tuple(host[:HEAD].tolist()), (*image.shape, changes)
    if head != wanted:
        raise ValueError(
            f"The augmentation was drawn for patches, channels, z, y, x and changes of {head}, the batch has "
            f"{wanted}. Draw it by Augment.draw(batch.numbers, channels, shape) of the same Augment."
        )
    sizes = host[HEAD : HEAD + 2 * changes].reshape(changes, 2).tolist()
    row = HEAD + 2 * changes
    word = _align((row + sum(rows for rows, _ in sizes)) * WORDS_OF_INT64)
    integers, numbers = table.device[:word].view(torch.int64), table.device.view(torch.float32)
    first, start = integers.storage_offset(), numbers.storage_offset()
    found: list[tuple[Drawn, DrawnOnDevice] | None] = []
    for rows, values in sizes:
        size = rows * values
        if not rows:
            found.append(None)
            continue
        drawn = table.host[word : word + size].view(np.float32).reshape(rows, values)
        sent = DrawnOnDevice(
            integers.as_strided((rows,), (1,), first + row),
            numbers.as_strided((rows, values), (values, 1), start + word),
        )
        found.append((Drawn(host[row : row + rows], drawn), sent))
        row, word = row + rows, _align(word + size)
    return found


def send(words: Int32[np.ndarray, " word"], image: Tensor) -> AugmentationTable:
    """Bring words to where ``image`` is, by one copy that nobody waits for.

    Args:
        words: As :func:`pack` gave them.
        image: A tensor of any shape on the device wanted.
    """
    host = torch.from_numpy(words)
    pinned = host.pin_memory() if image.is_cuda else host
    return AugmentationTable(words, pinned.to(image.device, non_blocking=True))


def _align(word: int) -> int:
    return -(-word // ALIGNED) * ALIGNED
