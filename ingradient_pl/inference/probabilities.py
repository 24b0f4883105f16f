"""Maps of probabilities: in a file while they are made, so that memory does not grow with the classes."""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ingradient_pl.files import whole_file
from ingradient_pl.images.formats import Volume

ENDING = ".npz"
NAME = "probabilities"
"""Of the array in the file, as nnU-Net's: ``np.load(file)["probabilities"]``."""


def unfinished_maps(folder: Path, outputs: int, volume: Volume) -> NDArray[np.float16]:
    """Give maps for a case that lie on a disk, in a file without a name: it is gone when nobody uses it.

    Args:
        folder: Where there is room: two bytes for each output and voxel.
        outputs: Of the network; the maps have the shape (output, z, y, x) of the case.
        volume: The case.
    """
    shape = (outputs, *volume.voxels.shape[1:])
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.float16, "w+", shape=shape)


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
