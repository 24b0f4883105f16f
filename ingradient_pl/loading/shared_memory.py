"""The way from a worker to the process that trains: all that a batch holds, in memory that is used again."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from ingradient_pl.transforms.packed_batch import ALIGNED, Layout, PackedBatch
from ingradient_pl.transforms.patch import Patch

ROOMIER = 1.25
"""Times what is needed, when memory is taken: patches that are turned differ in size."""
SMALL = 2**18
"""Bytes up to which a batch travels in the message itself: a file handle took an H100's host 2 ms a batch."""
FREE, LENT = 0, 1
Bytes = UInt8[Tensor, " bytes"]
PackLayout = Callable[[Sequence[Patch]], tuple[Layout, PackedBatch]]


class TensorLocation(NamedTuple):
    """Where a tensor lies in a shared batch."""

    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class SharedBatch:
    """What a worker hands over: entries, their tensors one after the other in memory that processes share.

    Args:
        memory: The first byte tells whether it is lent; tensors follow.
        entries: What was packed, :class:`TensorLocation` instead of each tensor.
    """

    def __init__(self, memory: Bytes, entries: list[Any]) -> None:
        self.memory, self.entries = memory, entries
        self.give_back: weakref.finalize[..., Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        if len(self.memory) > SMALL:
            return _receive, (self.memory, self.entries)
        sent = self.memory.numpy().tobytes()
        _give_back(self.memory)  # a copy is on its way
        return _receive_copy, (sent, self.entries)

    def open(self, *, pinned: bool = False) -> list[Any]:
        """Give the entries in memory of their own, and its memory back to the worker; once only.

        Args:
            pinned: Whether in memory that a GPU can read from.

        Raises:
            RuntimeError: If it was opened before: its memory may hold another batch by now.
        """
        if self.give_back is not None and not self.give_back.alive:
            raise RuntimeError("This batch was opened before, and its memory given back; keep what it gave.")
        own = torch.empty(len(self.memory), dtype=torch.uint8, pin_memory=pinned).copy_(self.memory)
        if self.give_back is not None:
            self.give_back()
        return [_open_entry(entry, own) for entry in self.entries]

    def pin_memory(self) -> list[Any]:
        """Open into pinned memory: a data loader that pins calls this."""
        return self.open(pinned=True)


class SharedCollate:
    """Puts entries into a :class:`SharedBatch`: what a worker does with a batch.

    A tensor sent by itself costs both processes a conversation about a file handle, and new memory, which
    the kernel first clears page by page. With 22 tensors a batch that was three times the work of reading it.
    So all of them share one piece of memory, and the worker takes it up again when its batch was opened.

    Args:
        pack: Lays out patches as a device uses them; None leaves them one by one.
    """

    def __init__(self, pack: PackLayout | None = None) -> None:
        self.pack = pack
        self.memories: list[Bytes] = []

    def __call__(self, entries: Sequence[Any]) -> SharedBatch:
        """Pack entries: tensors in tuples, named or not, in lists and dictionaries; patches as one batch."""
        if self.pack is not None and all(isinstance(entry, Patch) for entry in entries):
            layout, batch = self.pack(entries)
            memory = self._memory(ALIGNED + layout.size)
            layout.write(memory[ALIGNED:])
            return SharedBatch(memory, [batch])
        held: list[tuple[Tensor, TensorLocation]] = []
        packed = [apply_to_collection(entry, Tensor, _allocate, held) for entry in entries]
        memory = self._memory(_end(held))
        for tensor, place in held:
            _view(place, memory).copy_(tensor)
        return SharedBatch(memory, packed)

    def _memory(self, size: int) -> Bytes:
        """Take memory that is not lent."""
        free = [memory for memory in self.memories if memory[0] == FREE]
        fitting = next((memory for memory in free if len(memory) >= size), None)
        if fitting is None:
            self.memories = [memory for memory in self.memories if memory[0] == LENT]
            fitting = _new_shared(int(size * ROOMIER))
            self.memories.append(fitting)
        fitting[0] = LENT
        return fitting[:size]


def _open_entry(entry: Any, own: Bytes) -> Any:
    if isinstance(entry, PackedBatch):
        return entry._replace(buffer=own[ALIGNED:])
    return apply_to_collection(entry, TensorLocation, _view, own)


def _allocate(tensor: Tensor, held: list[tuple[Tensor, TensorLocation]]) -> TensorLocation:
    """Give a tensor the next place after those held, and hold it."""
    start = -(-_end(held) // ALIGNED) * ALIGNED
    place = TensorLocation(start, start + tensor.nbytes, tuple(tensor.shape), tensor.dtype)
    held.append((tensor, place))
    return place


def _end(held: Sequence[tuple[Tensor, TensorLocation]]) -> int:
    return held[-1][1].stop if held else 1  # after the byte that tells whether it is lent


def _view(place: TensorLocation, memory: Bytes) -> Tensor:
    return memory[place.start : place.stop].view(place.dtype).view(place.shape)


def _new_shared(size: int) -> Bytes:
    # as torch's own collate function does
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _give_back(memory: Bytes) -> None:
    """Mark memory as free, also where validation or testing (torch's inference mode) has taken it."""
    with torch.inference_mode():
        memory[0] = FREE


def _receive(memory: Bytes, entries: list[Any]) -> SharedBatch:
    """Build the shared batch that was sent; one that nobody opens is given back as well."""
    shared = SharedBatch(memory, entries)
    shared.give_back = weakref.finalize(shared, _give_back, memory[:1])
    return shared


def _receive_copy(sent: bytes, entries: list[Any]) -> SharedBatch:
    """Build the batch that came in the message itself: nothing is given back."""
    return SharedBatch(torch.frombuffer(bytearray(sent), dtype=torch.uint8), entries)
