"""``PackedBatch``: all patches of a batch, and all numbers they need, in one piece of memory."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int32, UInt8
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from ingradient_pl.geometry import Voxels
from ingradient_pl.transforms.patch import Patch
from ingradient_pl.transforms.resident_cases import ResidentCases

DTYPES = {
    np.dtype(name): getattr(torch, name)
    for name in ("bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64")
}
"""Torch's name of each type of numbers that a batch holds."""

ALIGNED = 64
"""Bytes that an array's place is a multiple of: what processors and devices copy fastest."""


class Field(NamedTuple):
    """Where an array lies in a batch's memory.

    Args:
        start: First byte.
        stop: The byte after the last.
        shape: Of the array.
        dtype: Of its numbers.
        strides: Numbers from an entry to the next along each axis.
    """

    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    strides: tuple[int, ...]

    def view(self, memory: UInt8[Tensor, " bytes"]) -> Tensor:
        """Give the array as it lies in ``memory``.

        Args:
            memory: The buffer of the whole batch; the answer has the field's shape and type.
        """
        return memory[self.start : self.stop].view(self.dtype).view(self.shape)


class Layout:
    """Arrays that will lie one after the other in memory; nothing is written before all have a place."""

    def __init__(self) -> None:
        self.size = 0
        self.writers: list[tuple[Field, Callable[[NDArray[Any]], None]]] = []

    def add(self, shape: Sequence[int], dtype: Any, write: Callable[[NDArray[Any]], None]) -> Field:
        """Give the next place to an array.

        Args:
            shape: Of the array.
            dtype: NumPy's name of its type.
            write: Called with the array, which holds what was there before.
        """
        kind = np.dtype(dtype)
        start = -(-self.size // ALIGNED) * ALIGNED
        stop = start + math.prod(shape) * kind.itemsize
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        field = Field(start, stop, tuple(shape), DTYPES[kind], strides)
        self.size = stop
        self.writers.append((field, write))
        return field

    def add_array(self, array: NDArray[Any]) -> Field:
        """Give the next place to an array that is there already.

        Args:
            array: Of any shape, copied when the memory is written.
        """
        return self.add(array.shape, array.dtype, lambda place: np.copyto(place, array))

    def write(self, memory: UInt8[Tensor, " bytes"]) -> None:
        """Write all arrays into ``memory`` of ``size`` bytes.

        Args:
            memory: At least ``size`` bytes.
        """
        for field, write in self.writers:
            write(field.view(memory).numpy())


class PatchGroup(NamedTuple):
    """Patches of a batch that are resampled by the same kernels.

    Args:
        kind: How: ``gather`` (voxels as they are), ``separable`` (matrices along axes), ``plane`` (turned
            within slices) or ``oblique`` (turned in space, or bent).
        places: Which patches of the batch.
        fields: Its arrays by name.
        classes: Labels told apart by one channel each; 0 where there are too many for that.
        extra: How the further volume is interpolated: as ``classes``, or linearly (-2).
    """

    kind: str
    places: tuple[int, ...]
    fields: dict[str, Field]
    classes: int = 0
    extra: int = 0


class PackedBatch(NamedTuple):
    """A batch of patches before it is prepared, in one piece of memory.

    Args:
        buffer: All numbers.
        groups: Patches that go the same way.
        fields: Arrays of the whole batch by name.
        shape: Of the network's input in voxels.
        label_dtype: Of the labels of the batch.
        cases: Name of each patch's case.
        numbers: Number of each patch's draw.
        drawn: The augmentation that was drawn for them, which the host reads as well; None where none was.
        copied: An event of the device that follows the copy of ``buffer``; None where none is under way.
        resident: Cases on the device, out of which voxels are cut; None where they are in ``buffer``.
        extra_dtype: Of the further volume of the batch; None where there is none.
    """

    buffer: UInt8[Tensor, " bytes"]
    groups: tuple[PatchGroup, ...]
    fields: dict[str, Field]
    shape: Voxels
    label_dtype: torch.dtype
    cases: list[str]
    numbers: list[int]
    drawn: Int32[np.ndarray, " word"] | None = None
    copied: Any = None
    resident: ResidentCases | None = None
    extra_dtype: torch.dtype | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "PackedBatch":
        """Give the batch on a device: one copy, which the kernels that use it wait for.

        Args:
            device: Where the batch is wanted.
            non_blocking: Whether the host goes on while pinned memory is copied.
        """
        device = torch.device(device)
        if self.copied is not None:
            stream = torch.cuda.current_stream(self.buffer.device)
            stream.wait_event(self.copied)
            self.buffer.record_stream(stream)
            return self._replace(copied=None).to(device, non_blocking=non_blocking)
        return self._replace(buffer=self.buffer.to(device, non_blocking=non_blocking))

    def start_copy(self, stream: Any) -> "PackedBatch":
        """Begin the copy to a device on a ``stream`` of its own; :meth:`to` is still to be called.

        Args:
            stream: A ``torch.cuda.Stream`` of the device wanted.
        """
        with torch.cuda.stream(stream):
            buffer = self.buffer.to(stream.device, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record(stream)
        return self._replace(buffer=buffer, copied=copied)


class BatchArrays:
    """The arrays of a packed batch by name, as views of its memory.

    Each is one call of torch, where cutting, casting and shaping are three: a batch has some thirty arrays.

    Args:
        packed: On any device.
    """

    def __init__(self, packed: PackedBatch) -> None:
        self.packed = packed
        self.typed: dict[torch.dtype, tuple[Tensor, int, int]] = {}

    def get(self, name: str, group: PatchGroup | None = None) -> Tensor | None:
        """Give an array of a group, or of the batch, by name; None where there is none.

        Args:
            name: As the packer called it; the answer has the shape that was packed.
            group: None takes an array of the whole batch.
        """
        field = (self.packed.fields if group is None else group.fields).get(name)
        if field is None:
            return None
        found = self.typed.get(field.dtype)
        typed, size, first = self._cast(field.dtype) if found is None else found
        return typed.as_strided(field.shape, field.strides, first + field.start // size)

    def _cast(self, dtype: torch.dtype) -> tuple[Tensor, int, int]:
        """View the memory as numbers of a type; give their size, and how far into its storage it begins."""
        buffer, size = self.packed.buffer, dtype.itemsize
        typed = buffer[: len(buffer) // size * size].view(dtype)
        self.typed[dtype] = typed, size, int(typed.storage_offset())
        return self.typed[dtype]


class PatchList(list[Patch]):
    """Patches on the host, prepared one by one there; sent to a device they become a :class:`PackedBatch`.

    Args:
        patches: In the order of the batch.
        pack: Makes one piece of memory of them.
    """

    def __init__(self, patches: Sequence[Patch], pack: Callable[[Sequence[Patch]], PackedBatch]) -> None:
        super().__init__(patches)
        self.pack = pack

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> "PatchList | PackedBatch":
        """Give the patches where they are wanted.

        Args:
            device: Where the patches are wanted; elsewhere than on a CPU they are packed.
            non_blocking: Whether the host goes on while pinned memory is copied.
        """
        if torch.device(device).type == "cpu":
            return self
        return self.pack(self).to(device, non_blocking=non_blocking)

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return PatchList, (list(self), self.pack)
