"""The way from a worker to the process that trains: all that a batch holds, in memory that is used again."""

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

ALIGNED = 64
"""Bytes that a tensor's place is a multiple of: what processors and devices copy fastest."""
ROOMIER = 1.25
"""Times what is needed, when memory is taken: patches that are turned differ in size."""
FREE, LENT = 0, 1
Bytes = UInt8[Tensor, " bytes"]


class Place(NamedTuple):
    """Where a tensor lies in a parcel."""

    start: int
    stop: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Parcel:
    """What a worker hands over: entries, their tensors one after the other in memory that processes share.

    Args:
        memory: The first byte tells whether it is lent; tensors follow.
        entries: What was packed, :class:`Place` instead of each tensor.
    """

    def __init__(self, memory: Bytes, entries: list[Any]) -> None:
        self.memory, self.entries = memory, entries
        self.give_back: weakref.finalize[..., Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.memory, self.entries)

    def opened(self, *, pinned: bool = False) -> list[Any]:
        """Give the entries in memory of their own, and the parcel's back to the worker; once only.

        Args:
            pinned: Whether in memory that a GPU can read from.

        Raises:
            RuntimeError: If it was opened before: its memory may hold another batch by now.
        """
        if self.give_back is not None and not self.give_back.alive:
            raise RuntimeError("This parcel was opened before, and its memory given back; keep what it gave.")
        own = torch.empty(len(self.memory), dtype=torch.uint8, pin_memory=pinned).copy_(self.memory)
        if self.give_back is not None:
            self.give_back()
        return [apply_to_collection(entry, Place, _view, own) for entry in self.entries]

    def pin_memory(self) -> list[Any]:
        """Open into pinned memory: a data loader that pins calls this."""
        return self.opened(pinned=True)


class Packing:
    """Puts entries into a :class:`Parcel`: what a worker does with a batch.

    A tensor sent by itself costs both processes a conversation about a file handle, and new memory, which
    the kernel first clears page by page. With 22 tensors a batch that was three times the work of reading it.
    So all of them share one piece of memory, and the worker takes it up again when its parcel was opened.
    """

    def __init__(self) -> None:
        self.memories: list[Bytes] = []

    def __call__(self, entries: Sequence[Any]) -> Parcel:
        """Pack entries: tensors in tuples, named or not, in lists and dictionaries."""
        held: list[tuple[Tensor, Place]] = []
        packed = [apply_to_collection(entry, Tensor, _placed, held) for entry in entries]
        memory = self._memory(_end(held))
        for tensor, place in held:
            _view(place, memory).copy_(tensor)
        return Parcel(memory, packed)

    def _memory(self, size: int) -> Bytes:
        """Take memory that is not lent."""
        free = [memory for memory in self.memories if memory[0] == FREE]
        fitting = next((memory for memory in free if len(memory) >= size), None)
        if fitting is None:
            self.memories = [memory for memory in self.memories if memory[0] == LENT]
            fitting = _shared(int(size * ROOMIER))
            self.memories.append(fitting)
        fitting[0] = LENT
        return fitting[:size]


def _placed(tensor: Tensor, held: list[tuple[Tensor, Place]]) -> Place:
    """Give a tensor the next place after those held, and hold it."""
    start = -(-_end(held) // ALIGNED) * ALIGNED
    place = Place(start, start + tensor.nbytes, tuple(tensor.shape), tensor.dtype)
    held.append((tensor, place))
    return place


def _end(held: Sequence[tuple[Tensor, Place]]) -> int:
    return held[-1][1].stop if held else 1  # after the byte that tells whether it is lent


def _view(place: Place, memory: Bytes) -> Tensor:
    return memory[place.start : place.stop].view(place.dtype).view(place.shape)


def _shared(size: int) -> Bytes:
    # as torch's own collate function does
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _arrived(memory: Bytes, entries: list[Any]) -> Parcel:
    """Build the parcel that was sent; one that nobody opens is given back as well."""
    parcel = Parcel(memory, entries)
    parcel.give_back = weakref.finalize(parcel, memory[:1].fill_, FREE)
    return parcel
