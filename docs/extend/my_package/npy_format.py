"""NumPy's arrays (z, y, x) as a file format, with voxels of 1 mm."""

import numpy as np

from ingradient_pl.images.frame import Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.raw_image import RawImage


def read(path, channels):
    """Read (z, y, x) where one channel is wanted, else (channel, z, y, x)."""
    voxels = np.load(path, allow_pickle=False)
    return RawImage(path, voxels if channels else voxels[None], Frame((1.0, 1.0, 1.0)))


def write(path, voxels, frame, block):
    """Write one label map; its place is not kept."""
    with path.open("wb") as file:
        np.save(file, voxels[0])


NPY = ImageFormat("NumPy array", (".npy",), read, write)
