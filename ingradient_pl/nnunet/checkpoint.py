"""Reads checkpoints of nnU-Net, and any file of PyTorch's, without running what their pickles ask for."""

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ingradient_pl.geometry import AXES
from ingradient_pl.images.plain_pickle import encode_text, make_scalar, make_type
from ingradient_pl.inference.checkpoint_file import CheckpointError, check_sums
from ingradient_pl.inference.storage_sizes import TWICE
from ingradient_pl.phrases import name_some, one_line
from ingradient_pl.pickle_bounds import check_work

WEIGHTS = "network_weights"
DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class NnunetCheckpoint(NamedTuple):
    """What prediction needs of a checkpoint.

    Args:
        weights: Of the network, by nnU-Net's names.
        mirror: Axes of the network that may be mirrored.
        configuration: Name of the configuration in the plans; None where the file does not tell.
        trainer: Name of the trainer's class.
    """

    weights: dict[str, Tensor]
    mirror: tuple[int, ...] | None
    configuration: str | None
    trainer: str


def read_checkpoint(path: Path) -> NnunetCheckpoint:
    """Read weights and settings of one fold.

    The pickle inside is interpreted, but every name it would import is looked up in a short list of our own:
    tensors, numbers and containers. Weights are read, the optimiser's state is not.

    Args:
        path: A fold's ``.pth``.

    Raises:
        CheckpointError: If the file is not a checkpoint of nnU-Net, or asks for anything else.
    """
    if not path.is_file():
        others = sorted(file.name for file in path.parent.glob("*.pth"))
        beside = f" Name one that lies beside it: {name_some(others)}." if others else ""
        raise CheckpointError(f"There is no checkpoint {path}: is the fold trained to its end?{beside}")
    found = read_state_dicts(path)
    if WEIGHTS not in found.weights:
        raise CheckpointError(f"{path} is not a checkpoint of nnU-Net: it has no '{WEIGHTS}'.")
    weights, content = found.weights[WEIGHTS], found.plain
    settings = content.get("init_args")
    mirror = content.get("inference_allowed_mirroring_axes")
    configuration = settings.get("configuration") if isinstance(settings, Mapping) else None
    if configuration is not None and not isinstance(configuration, str):
        raise CheckpointError(
            f"{path}: its 'configuration' is {str(configuration)[:60]!r}, which is not a name."
        )
    return NnunetCheckpoint(
        weights,
        None if mirror is None else _axes(path, mirror),
        configuration,
        str(content.get("trainer_name", "")),
    )


class StateDicts(NamedTuple):
    """What a file of PyTorch holds.

    Args:
        weights: Tensors by name, for each entry that names tensors; of the file itself under an empty name.
        plain: All else of its first level.
    """

    weights: dict[str, dict[str, Tensor]]
    plain: dict[str, Any]


def read_state_dicts(path: Path) -> StateDicts:
    """Read the weights that a file of PyTorch names, whoever wrote it, and run nothing of it.

    Args:
        path: The file. What an optimiser remembers is not read.

    Raises:
        CheckpointError: If it is not such a file, is damaged, or asks for more than tensors and plain values.
    """
    check_sums(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _sort_content(path, _content(path, archive), archive)
    except CheckpointError:
        raise
    except Exception as error:  # a file that somebody made up fails in as many ways as it has entries
        raise CheckpointError(f"{path} is damaged ({one_line(error)}). Copy it again.") from error


def _sort_content(path: Path, content: Any, archive: zipfile.ZipFile) -> StateDicts:
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not weights by their names.")
    entries = {str(name): value for name, value in content.items()}
    named = {"": entries, **{name: one for name, one in entries.items() if isinstance(one, Mapping)}}
    read = {name: _read_tensors(entry, archive) for name, entry in named.items()}
    plain = {
        name: value
        for name, value in entries.items()
        if not read.get(name) and not isinstance(value, _Tensor)
    }
    return StateDicts({name: weights for name, weights in read.items() if weights}, plain)


def _read_tensors(entry: Mapping[Any, Any], archive: zipfile.ZipFile) -> dict[str, Tensor]:
    """Read the tensors of a mapping, one that has several names once; no more than its file can hold."""
    named = {str(name): value for name, value in entry.items() if isinstance(value, _Tensor)}
    wanted = {value.key: value for value in named.values()}
    numbers = sum(math.prod(one.size) for one in wanted.values())
    if numbers > TWICE * sum(one.numbers for one in {one.storage for one in wanted.values()}):
        raise ValueError(f"its tensors have {numbers} numbers, more than the file holds")
    known = {key: one.read(archive) for key, one in wanted.items()}
    return {name: known[value.key] for name, value in named.items()}


def _axes(path: Path, mirror: Any) -> tuple[int, ...]:
    """Give the axes that may be mirrored, held to what axes there are."""
    axes = tuple(mirror) if isinstance(mirror, (list, tuple)) else (None,)
    if not all(isinstance(axis, int) and axis in range(AXES) for axis in axes):
        raise CheckpointError(
            f"{path}: its 'inference_allowed_mirroring_axes' are {str(mirror)[:60]}; they must be numbers "
            f"below {AXES}."
        )
    return axes


class _Storage(NamedTuple):
    """Where the numbers of a tensor lie in the archive."""

    entry: str
    dtype: torch.dtype
    numbers: int

    def read(self, archive: zipfile.ZipFile) -> Tensor:
        found = torch.frombuffer(bytearray(archive.read(self.entry)), dtype=self.dtype)
        if len(found) != self.numbers:
            raise ValueError(f"'{self.entry}' holds {len(found)} numbers instead of {self.numbers}.")
        return found


class _Tensor(NamedTuple):
    """A tensor that has not been read yet."""

    storage: _Storage
    offset: int
    size: Sequence[int]
    stride: Sequence[int]

    @property
    def key(self) -> Any:
        return self.storage.entry, self.offset, tuple(self.size), tuple(self.stride)

    def read(self, archive: zipfile.ZipFile) -> Tensor:
        return (
            self.storage.read(archive).as_strided(tuple(self.size), tuple(self.stride), self.offset).clone()
        )


class _Reader(pickle.Unpickler):
    """An unpickler that knows a handful of names; whatever else a pickle names ends the reading."""

    def __init__(self, stream: io.BytesIO, folder: str) -> None:
        super().__init__(stream)
        self.folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in DTYPES:
            return name
        try:
            return KNOWN[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, count = pid
        if kind != "storage" or storage not in DTYPES:
            raise pickle.UnpicklingError(f"it refers to a {kind} of {storage}")
        return _Storage(f"{self.folder}/data/{key}", DTYPES[storage], int(count))


class _Array:
    """A NumPy array: settings that prediction does not need, so its numbers are let go."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _tensor(
    storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: object
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError(f"it builds a tensor from a {type(storage).__name__}, not a storage")
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    too_large = reach > storage.numbers or math.prod(size) > storage.numbers
    if min([offset, *size, *stride]) < 0 or (0 not in size and too_large):
        raise pickle.UnpicklingError(
            f"it builds a tensor of {list(size)} that is larger than its storage of {storage.numbers}"
        )
    return _Tensor(storage, offset, tuple(size), tuple(stride))


def _parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


def _device(kind: str, *_: object) -> str:
    return str(kind)


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "device"): _device,
    ("numpy", "dtype"): make_type,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "scalar"): make_scalar,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): encode_text,
}
"""All that a pickle may name; each is ours or a plain container, none touches files or runs a program."""


def _content(path: Path, archive: zipfile.ZipFile) -> Any:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(f"{path} is not a PyTorch checkpoint: it holds {len(pickles)} files data.pkl.")
    folder = pickles[0].removesuffix("/data.pkl")
    order = archive.read(f"{folder}/byteorder") if f"{folder}/byteorder" in archive.namelist() else b"little"
    if order != b"little":
        raise CheckpointError(f"{path} was written on a big-endian machine, which is not read.")
    pickled = archive.read(pickles[0])
    try:
        check_work(pickled)
        return _Reader(io.BytesIO(pickled), folder).load()
    except Exception as error:  # each operation fails in its own way
        raise CheckpointError(
            f"{path} holds more than tensors, numbers and containers, or is damaged ({error}): not run. "
            "If you trust its author, open it with torch.load, keep the weights (of nnU-Net's: "
            "'network_weights', 'init_args', 'trainer_name' and 'inference_allowed_mirroring_axes') as "
            "tensors and plain values, and save it again."
        ) from error
