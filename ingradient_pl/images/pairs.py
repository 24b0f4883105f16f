"""The older library's cases: an npz with voxels and label beside a pickle with their place in the patient."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images import plain_pickle
from ingradient_pl.images.bounded_files import STEEPEST, SURPLUS, check_memory, check_regular, read_file
from ingradient_pl.images.frame import IDENTITY, Frame
from ingradient_pl.images.raw_image import ImageError, RawImage
from ingradient_pl.images.voxel_types import check_finite, to_plain_dtype
from ingradient_pl.phrases import first_line

MOST = 64
"""Numbers of a spacing, origin or direction: sixteen would do for a 4D image."""


def is_pair(path: Path) -> bool:
    """Whether the file is the npz of a pair.

    Args:
        path: Its ending alone decides.
    """
    return path.suffix.lower() == ".npz"


def read_image(paths: Sequence[Path]) -> RawImage:
    """Read ``x`` of an npz, (modalities, z, y, x) or (z, y, x), and its place from the pickle beside it.

    Args:
        paths: The npz, and the pickle where it does not have the npz's name.

    Raises:
        ImageError: If either cannot be read; the pickle is never run.
    """
    path = paths[0]
    voxels = to_plain_dtype(path, array(path, "x"))
    if voxels.ndim == AXES:
        voxels = voxels[None]
    if voxels.ndim != AXES + 1:
        raise ImageError(
            f"{path}: 'x' must be (modalities, z, y, x) or (z, y, x); its shape is {voxels.shape}."
        )
    return RawImage(
        path, check_finite(path, voxels), _frame(paths[1] if len(paths) > 1 else path.with_suffix(".pkl"))
    )


def read_label(path: Path, properties: Path | None = None) -> RawImage:
    """Read ``y`` of an npz, (z, y, x); ``properties`` is the pickle where its name differs.

    Args:
        path: The npz.
        properties: The pickle, where its name differs from the npz's; None takes that of the same name.

    Raises:
        ImageError: If either cannot be read.
    """
    voxels = to_plain_dtype(path, array(path, "y"))
    if voxels.ndim == AXES:
        voxels = voxels[None]
    if voxels.ndim != AXES + 1 or len(voxels) != 1:
        raise ImageError(f"{path}: 'y' must be (z, y, x); its shape is {voxels.shape}.")
    return RawImage(path, voxels, _frame(properties or path.with_suffix(".pkl")))


def keys(path: Path) -> dict[str, tuple[int, ...]]:
    """Give the shape of every array of an npz without reading its voxels.

    Args:
        path: The npz.

    Raises:
        ImageError: If it is not npz.
    """
    return {name: shape for name, (shape, _) in _headers(path).items()}


def _headers(path: Path) -> dict[str, tuple[tuple[int, ...], int]]:
    """Give shape and bytes of every array, held against what the archive says of its entry."""
    check_regular(path)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                with archive.open(entry) as file:
                    shape, dtype, begin = _array_header(file)
                needed = math.prod(shape) * dtype.itemsize
                if not dtype.hasobject and begin + needed != entry.file_size:
                    held = entry.file_size - begin
                    raise ValueError(
                        f"'{entry.filename}' promises {needed} bytes of numbers and holds {held}"
                    )
                if entry.file_size > STEEPEST * entry.compress_size + SURPLUS:
                    raise ValueError(f"'{entry.filename}' promises more than its packed bytes can hold")
                found[entry.filename.removesuffix(".npy")] = shape, needed
    except Exception as error:  # zlib, zipfile, tokenize and others each have errors of their own
        raise ImageError(
            f"{path}: not a readable npz ({first_line(error)}). Save or copy it again."
        ) from error
    return found


def _array_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version > (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()


def array(path: Path, key: str) -> Any:
    """Read one array of an npz; arrays of Python objects are refused.

    Args:
        path: The npz.
        key: Name of the array in it.

    Raises:
        ImageError: If it is not there or cannot be read.
    """
    headers = _headers(path)
    if key not in headers:
        raise ImageError(
            f"{path}: there is no '{key}' in it, only {sorted(headers)}. The image is 'x', the label is 'y'."
        )
    check_memory(path, headers[key][1])
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[key]
    except Exception as error:
        cure = "Save it as an array of numbers." if "allow_pickle" in str(error) else "Save or copy it again."
        raise ImageError(f"{path}: '{key}' cannot be read ({error}). {cure}") from error


def _frame(path: Path) -> Frame:
    try:
        if not path.exists():
            raise ImageError(f"{path}: no such file; each .npz needs a .pkl with its spacing.")
        properties = plain_pickle.read(read_file(path, plain_pickle.LARGEST))
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(f"{path}: {error}. Write spacing, direction and origin as plain numbers.") from error
    if not isinstance(properties, Mapping) or "spacing" not in properties:
        raise ImageError(f"{path}: it must hold a dictionary with 'spacing', 'direction' and 'origin'.")
    try:
        spacing, origin, direction = (
            _numbers(key, properties.get(key, default))
            for key, default in (("spacing", ()), ("origin", (0.0, 0.0, 0.0)), ("direction", IDENTITY))
        )
        return Frame.of(spacing[:AXES][::-1], origin[:AXES], direction)
    except (TypeError, ValueError) as error:
        raise ImageError(f"{path}: {error} Correct 'spacing', 'direction' or 'origin'.") from error


def _numbers(key: str, value: Any) -> NDArray[np.float64]:
    """Give numbers as a flat array; lists within lists are looked at before NumPy multiplies them out."""
    flat: list[Any] = []
    for entry in value.ravel().tolist() if isinstance(value, np.ndarray) else value:
        flat += entry if isinstance(entry, (list, tuple)) else [entry]
        if len(flat) > MOST:
            raise ValueError(f"'{key}' holds more than {MOST} numbers.")
    if not all(isinstance(number, (int, float)) for number in flat):
        raise ValueError(f"'{key}' holds something other than numbers.")
    return np.array(flat, dtype=np.float64)
