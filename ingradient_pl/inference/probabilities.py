"""Maps of probabilities: in a file while they are made, so that memory does not grow with the classes."""

import math
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ingradient_pl.files import BAD_ARCHIVE, take_room, whole_file
from ingradient_pl.images.formats import Volume

ENDING = ".npz"
NAME = "probabilities"
"""Of the array in the file, as nnU-Net's: ``np.load(file)["probabilities"]``."""
MAP_AXES = 4


def unfinished_maps(folder: Path, outputs: int, volume: Volume) -> NDArray[np.float16]:
    """Give maps for a case that lie on a disk, in a file without a name: it is gone when nobody uses it.

    Args:
        folder: Where there is room: two bytes for each output and voxel.
        outputs: Of the network; the maps have the shape (output, z, y, x) of the case.
        volume: The case.
    """
    return scratch_maps((outputs, *volume.voxels.shape[1:]), folder)


def scratch_maps(
    shape: Sequence[int], folder: Path | None = None, dtype: type[np.floating[Any]] = np.float16
) -> NDArray[Any]:
    """Give maps (output, z, y, x) that lie on a disk, in a file without a name.

    Args:
        shape: Of the maps.
        folder: Where there is room; None takes the system's place for temporary files.
        dtype: Of the maps.

    Raises:
        OSError: If there is no room for them: memory of a file that has none ends the process.
    """
    place = Path(tempfile.gettempdir() if folder is None else folder)
    with tempfile.TemporaryFile(dir=place) as file:
        take_room(file.fileno(), math.prod(shape) * np.dtype(dtype).itemsize, place)
        return np.memmap(file, dtype, "r+", shape=tuple(shape))


def write_maps(path: Path, maps: Float[np.ndarray, "output z y x"], volume: Volume) -> None:
    """Write maps into an .npz, in half precision, one class after the other.

    Axes are those of the source file as SimpleITK gives them (z, y, x). The file appears whole or not at all.

    Args:
        path: Where to; it ends in ``.npz``.
        maps: On the axes of ``volume``.
        volume: What was segmented.
    """
    stored = volume.source.turn.undo(maps)
    header = {"descr": "<f2", "fortran_order": False, "shape": stored.shape}
    with (
        whole_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{NAME}.npy", "w", force_zip64=True) as entry,
    ):
        np.lib.format.write_array_header_1_0(entry, header)
        for rows in stored:
            entry.write(np.ascontiguousarray(rows, dtype="<f2").data.cast("B"))


def read_maps(path: Path) -> Float[np.ndarray, "output z y x"]:
    """Read maps that :func:`write_maps` wrote, on the axes of the source file; they lie on a disk meanwhile.

    Args:
        path: The ``.npz``.

    Raises:
        ValueError: If it is no such file, or was cut short.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{NAME}.npy") as entry:
            np.lib.format.read_magic(entry)
            shape, in_columns, dtype = np.lib.format.read_array_header_1_0(entry)
            held = archive.getinfo(f"{NAME}.npy").file_size - entry.tell()
            if in_columns or dtype != np.float16 or len(shape) != MAP_AXES or math.prod(shape) * 2 != held:
                raise ValueError(f"it holds {dtype} of shape {shape} in {held} bytes")
            maps = scratch_maps(shape, path.parent)
            for rows in maps:
                rows[...] = np.frombuffer(entry.read(rows.nbytes), "<f2").reshape(rows.shape)
    except (*BAD_ARCHIVE, KeyError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # the disk, and not what is in the file
            raise
        raise ValueError(
            f"{path} does not hold maps of probabilities ({error}). Delete it, and predict again with "
            "save_probabilities."
        ) from error
    return maps
