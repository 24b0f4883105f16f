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
    whole = np.concatenate([head, *(drawn.rows for drawn in draws)]).astype(np.int64)
    parts = [_fill_up(whole.view(np.int32))]
    parts += [_fill_up(np.ascontiguousarray(drawn.values).view(np.int32).reshape(-1)) for drawn in draws]
    return np.concatenate(parts)


def unpack(
    table: AugmentationTable, image: Float[Tensor, "batch channel z y x"], changes: int
) -> list[tuple[Drawn, DrawnOnDevice]]:
    """Give views of the draws of each of ``changes``, on the host and on the device.

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
    found = []
    for rows, values in sizes:
        ours = slice(row * WORDS_OF_INT64, (row + rows) * WORDS_OF_INT64)
        theirs = slice(word, word + rows * values)
        found.append(
            (
                Drawn(table.host[ours].view(np.int64), table.host[theirs].view(np.float32).reshape(rows, -1))
                if rows
                else Drawn(host[:0], np.zeros((0, values), np.float32)),
                DrawnOnDevice(
                    table.device[ours].view(torch.int64),
                    table.device[theirs].view(torch.float32).view(rows, values),
                ),
            )
        )
        row, word = row + rows, _align(word + rows * values)
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


def _fill_up(words: Int32[np.ndarray, " word"]) -> Int32[np.ndarray, " _"]:
    return np.pad(words, (0, _align(len(words)) - len(words)))
