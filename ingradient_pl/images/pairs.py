"""The older library's cases: an npz with voxels and label beside a pickle with their place in the patient."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ingradient_pl.geometry import AXES
from ingradient_pl.images import plain_pickle
from ingradient_pl.images.frame import IDENTITY, Frame
from ingradient_pl.images.raw_image import ImageError, RawImage, check_finite, to_plain_dtype


def is_pair(path: Path) -> bool:
    """Whether the file is the npz of a pair."""
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

    Raises:
        ImageError: If it is no npz.
    """
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = np.lib.format.read_array_header_1_0
                    if version > (1, 0):
                        read = np.lib.format.read_array_header_2_0
                    shapes[name.removesuffix(".npy")] = read(file)[0]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ImageError(f"{path}: not a readable npz ({error}). Save or copy it again.") from error
    return shapes


def array(path: Path, key: str) -> Any:
    """Read one array of an npz; arrays of Python objects are refused.

    Raises:
        ImageError: If it is not there or cannot be read.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if key not in archive:
                raise ImageError(
                    f"{path}: there is no '{key}' in it, only {sorted(archive)}. "
                    "The image is 'x', the label is 'y'."
                )
            return archive[key]
    except ImageError:
        raise
    except Exception as error:
        cure = "Save it as an array of numbers." if "allow_pickle" in str(error) else "Save or copy it again."
        raise ImageError(f"{path}: '{key}' cannot be read ({error}). {cure}") from error


def _frame(path: Path) -> Frame:
    try:
        properties = plain_pickle.read(path.read_bytes())
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file; each .npz needs a .pkl with its spacing.") from error
    except ValueError as error:
        raise ImageError(f"{path}: {error}. Write spacing, direction and origin as plain numbers.") from error
    if not isinstance(properties, Mapping) or "spacing" not in properties:
        raise ImageError(f"{path}: it must hold a dictionary with 'spacing', 'direction' and 'origin'.")
    try:
        spacing, origin, direction = (
            np.ravel(np.asarray(properties.get(key, default), dtype=np.float64))
            for key, default in (("spacing", None), ("origin", (0.0, 0.0, 0.0)), ("direction", IDENTITY))
        )
        return Frame.of(spacing[:AXES][::-1], origin[:AXES], direction)
    except (TypeError, ValueError) as error:
        raise ImageError(f"{path}: {error} Correct 'spacing', 'direction' or 'origin'.") from error
