"""Whether the tensors that a file of PyTorch tells of fit into the numbers that it holds.

Mapped into memory, PyTorch takes a tensor's size on trust: one that is larger than its entry of the archive
goes on into the next, and one whose numbers all stand at one place is as large as anybody wants.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from ingradient_pl.pickle_bounds import LARGEST, check_work

PICKLE = "data.pkl"
TWICE = 2
"""How often a number of the file may be part of a tensor, on average."""

SPARE = 2**16
"""Numbers that tensors may have beyond that: counters that are one number, seen from several names."""

TENSORS = ("_rebuild_tensor_v2", "_rebuild_tensor")
OTHER_TENSORS = "_rebuild_"
PARAMETERS = ("_rebuild_parameter",)


class _Storage(NamedTuple):
    numbers: int


class _StandIn(dict[Any, Any]):
    """Stands for whatever a pickle names; it takes all that a pickle may give to it, and does nothing."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None: ...

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def append(self, _: object) -> None:
        """Do nothing, as for all that stands in a list."""

    def extend(self, _: object) -> None:
        """Do nothing."""

    def add(self, _: object) -> None:
        """Do nothing."""


class StorageError(ValueError):
    """Tensors that are not as large as the file says."""


def check_pickles(archive: zipfile.ZipFile) -> None:
    """Hold the pickles of an archive to what reading may cost, and to the numbers beside them.

    Args:
        archive: A file of PyTorch's, each of its entries there once.

    Raises:
        PickleError: If one would take more time or memory than any honest one.
        StorageError: If one tells of tensors that are not there.
    """
    entries = archive.infolist()
    for entry in entries:
        if entry.filename.endswith(PICKLE):
            content = archive.read(entry) if entry.file_size <= LARGEST else bytes(LARGEST + 1)
            check_work(content)
            data = f"{entry.filename.removesuffix(PICKLE)}data/"
            inside = [one for one in entries if one.filename.startswith(data)]
            check_storages(content, {one.filename.removeprefix(data): one.file_size for one in inside})


def check_storages(content: bytes, sizes: Mapping[str, int]) -> None:
    """Hold the tensors of a pickle against the entries of its archive.

    It must be one that can be gone through without anything behind its names: what fails here might still
    end as a tensor elsewhere.

    Args:
        content: The pickle, held to what reading may cost before; nothing in it is run.
        sizes: Bytes of each entry of the archive's folder ``data``, by its name there.

    Raises:
        StorageError: If a storage is not as large as its entry, a tensor larger than its storage, all tensors
            together far larger than all storages, or one is of a kind that training does not write.
    """
    sums = _Sums(content, sizes)
    try:
        sums.load()
    except StorageError:
        raise
    except Exception as error:  # each operation fails in its own way
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise StorageError(f"the tensors that its pickle tells of cannot be followed ({told})") from error
    if sums.told > TWICE * sum(sums.held.values()) + SPARE:
        raise StorageError(f"its tensors have {sums.told} numbers, more than the file holds")


class _Sums(pickle.Unpickler):
    """Goes through a pickle with nothing behind its names, and adds up the tensors that it tells of."""

    def __init__(self, content: bytes, sizes: Mapping[str, int]) -> None:
        super().__init__(io.BytesIO(content))
        self.sizes, self.told, self.held = sizes, 0, dict[str, int]()

    def find_class(self, module: str, name: str) -> Any:
        """Give what stands for a name."""
        if name == "Size":
            return tuple
        if name in TENSORS:
            return self._tensor
        if name.startswith(OTHER_TENSORS) and name not in PARAMETERS:
            raise StorageError(f"it holds a tensor of another kind ({name}) than training writes")
        return type(name, (_StandIn,), {})

    def persistent_load(self, pid: Any) -> _Storage:
        """Note a storage, and hold it against its entry."""
        _, kind, key, _, numbers = pid
        width = WIDTHS.get(kind.__name__)
        if width is None or self.sizes.get(str(key)) != numbers * width:
            raise StorageError(
                f"it tells of {numbers} numbers ({kind.__name__}) where 'data/{key}' has "
                f"{self.sizes.get(str(key))} bytes"
            )
        self.held[str(key)] = numbers
        return _Storage(numbers)

    def _tensor(self, storage: _Storage, offset: int, size: Any, stride: Any, *_: object) -> _StandIn:
        reach = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True)) + 1
        if min([offset, *size, *stride]) < 0 or (0 not in size and reach > storage.numbers):
            raise StorageError(f"it tells of a tensor of {list(size)} where {storage.numbers} numbers are")
        self.told += math.prod(size)
        return _StandIn()


WIDTHS = {
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage", "UntypedStorage"), 1),
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage", "ComplexFloatStorage"), 8),
    "ComplexDoubleStorage": 16,
}
"""Bytes of a number by PyTorch's name of its storage."""
