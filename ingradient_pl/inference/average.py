"""Average what models of several plans say about a case: their probabilities, on the case's own voxels."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt
from torch import Tensor

from ingradient_pl.inference.buffer_pool import BufferPool
from ingradient_pl.inference.to_native import LabelDecoder

EVEN = 0.5
"""The probability above which a region is there."""
BLOCK_VOXELS = 1 << 18
"""Voxels that are averaged together."""

Watch = Callable[[slice, Float[Tensor, "output row b c"]], None]
"""Takes the average of some rows."""


def decode_average(
    maps: Sequence[Float[np.ndarray, "output z y x"]],
    decoder: LabelDecoder,
    average: Float[np.ndarray, "output z y x"] | None = None,
    watch: Watch | None = None,
) -> UInt[np.ndarray, "*plane z y x"]:
    """Average maps of probabilities voxel by voxel, in single precision, and decide the label of each voxel.

    Args:
        maps: One array a model; all have the same outputs.
        decoder: From outputs to integers.
        average: Filled with the average where it is given; it may be one of ``maps``.
        watch: Called with each row's average, all outputs together, where it is given.

    Returns:
        Integers, or packed masks where outputs may overlap.

    Raises:
        ValueError: If there is nothing to average, or the maps differ in shape.
    """
    if not maps or len({one.shape for one in maps}) > 1:
        raise ValueError(f"Maps of one shape are averaged; got {[one.shape for one in maps]}.")
    shape, pool = maps[0].shape[1:], BufferPool(torch.device("cpu"))
    label = decoder.empty(shape)
    most = 1 if watch is not None else max(1, BLOCK_VOXELS // math.prod(shape[1:]))
    even = EVEN if decoder.regions else 0.0
    for first in range(0, shape[0], most):
        means = _Block(maps, slice(first, first + most), average).means()
        if watch is not None:
            row = torch.stack(list(means))
            watch(slice(first, first + most), row)
            means = iter(row)
        label[..., first : first + most, :, :] = decoder.decode((mean - even for mean in means), pool)
    return label


@dataclass(frozen=True)
class _Block:
    maps: Sequence[Float[np.ndarray, "output z y x"]]
    rows: slice
    average: Float[np.ndarray, "output z y x"] | None

    def means(self) -> Iterator[Float[Tensor, "row b c"]]:
        """Give the average of each output."""
        for output in range(len(self.maps[0])):
            total = np.zeros(self.maps[0][output, self.rows].shape, np.float32)
            for one in self.maps:
                total += one[output, self.rows]
            total /= len(self.maps)
            if self.average is not None:
                self.average[output, self.rows] = total
            yield torch.from_numpy(total)
