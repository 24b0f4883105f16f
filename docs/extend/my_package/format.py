"""A file format: endings, a reader and a writer of voxels (channel, z, y, x) and where they lie."""

import json

import numpy as np

from ingradient_pl.images import Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.raw_image import ImageError, RawImage


def read(path, channels):
    """Read a file: a line of JSON with the spacing (z, y, x) in mm, then an array."""
    with path.open("rb") as file:
        try:
            spacing = json.loads(file.readline())["spacing"]
            voxels = np.load(file, allow_pickle=False)
        except (ValueError, KeyError) as error:
            raise ImageError(f"{path}: it cannot be read ({error}). Write it again.") from error
    return RawImage(path, voxels, Frame(tuple(spacing)))


def write(path, voxels, frame, block):
    """Write voxels (channel, z, y, x); ``block`` is the header of a NIfTI source."""
    with path.open("wb") as file:
        file.write(json.dumps({"spacing": frame.spacing}).encode() + b"\n")
        np.save(file, voxels, allow_pickle=False)


LINED = ImageFormat("lined arrays", (".lined",), read, write)
