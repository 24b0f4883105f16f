"""Pictures (PNG, BMP, JPEG, TIFF): slices or stacks, colours as channels, spacing from a JSON beside."""

import json
import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingradient_pl.geometry import AXES
from ingradient_pl.images import itk
from ingradient_pl.images.frame import IDENTITY, Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.raw_image import ImageError, RawImage
from ingradient_pl.images.simpleitk import simpleitk
from ingradient_pl.images.tiff_pages import check_pages
from ingradient_pl.images.voxel_types import to_plain_dtype
from ingradient_pl.plain_values import read_json

CHANNEL = re.compile(r"_\d{4}$")
STORED = ("1", "P", "LA")
"""Pillow's modes that SimpleITK does not give as stored: numbers of colours (a label's), grey glass."""

ORIENTATION, UPRIGHT = 0x0112, 1
"""The tag of EXIF and TIFF that tells viewers to turn a picture, and its value where they shall not."""
TURNED = "viewers are told to show it turned (orientation {}); its pixels are read as they are stored."

COLOURS = (3, 4)
"""Components of red, green, blue, and of how opaque a pixel is."""


def read(path: Path, channels: int | None) -> RawImage:
    """Read a picture as an image of one slice, a stack of pages as one of several.

    A pixel is 1 mm wide where no ``CASE.json`` beside it gives a spacing (z, y, x) in mm, as for nnU-Net.
    How opaque a pixel is, is left out; three equal colours are one grey channel where one is promised.

    Args:
        path: The file.
        channels: How many the picture must hold; None for one.

    Raises:
        ImageError: If it cannot be read, or holds other channels.
    """
    stored = _read_stored(path)
    pixels = to_plain_dtype(path, _pixels(path, stored.pixels))
    wanted, remarks = channels or 1, stored.remarks
    if pixels.shape[-1] in (2, COLOURS[1]) and wanted != pixels.shape[-1]:
        if (pixels[..., -1] != pixels[..., -1].max(initial=0)).any():
            remarks = (*remarks, "how opaque its pixels are was left out.")
        pixels = pixels[..., :-1]
    if wanted == 1 and pixels.shape[-1] == COLOURS[0] and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    if pixels.shape[-1] != wanted:
        raise ImageError(
            f"{path}: it has {pixels.shape[-1]} colour(s), {wanted} channel(s) are promised. Name a channel "
            "for each colour in 'channel_names', or save it grey."
        )
    voxels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    frame = Frame(_spacing(path), direction=IDENTITY)
    return RawImage(path, voxels, frame, remarks=remarks, indexed=stored.indexed)


def write(path: Path, voxels: NDArray[Any], frame: Frame, block: bytes | None = None) -> None:
    """Write a label map (1, z, y, x) of integers; only a TIFF holds several slices.

    Args:
        path: ``.png``, ``.bmp`` or ``.tif``.
        voxels: Shape (1, z, y, x), unsigned integers.
        frame: Not used here; a JSON file beside the picture holds its spacing.
        block: Header of a NIfTI source; not used here.
    """
    if len(voxels) > 1 or voxels.dtype.kind != "u":
        raise ImageError(f"{path}: a picture holds one label map. Write .nii.gz instead.")
    slices = voxels[0]
    if len(slices) > 1 and not path.name.lower().endswith(TIFF.endings):
        raise ImageError(
            f"{path}: a picture holds one slice, not {len(slices)}. Write .tif or .nii.gz instead."
        )
    image = simpleitk().GetImageFromArray(slices[0] if len(slices) == 1 else slices)
    simpleitk().WriteImage(image, str(path), useCompression=True)


def sidecars(path: Path) -> list[Path]:
    """Give the files that may tell a picture's spacing: CASE.json for CASE.tif and for CASE_0000.tif.

    Args:
        path: The picture.
    """
    stem = path.name[: path.name.rindex(".")]
    return [path.with_name(f"{name}.json") for name in dict.fromkeys((stem, CHANNEL.sub("", stem)))]


def _parts(path: Path) -> list[Path]:
    return [path, *(file for file in sidecars(path) if file.is_file())]


def _beside(path: Path, frame: Frame) -> dict[Path, bytes]:
    if frame.spacing == (1.0, 1.0, 1.0):
        return {}
    return {sidecars(path)[0]: json.dumps({"spacing": frame.spacing}).encode()}


def _pixels(path: Path, stored: NDArray[Any] | None) -> NDArray[Any]:
    """Give pixels (page, y, x, component)."""
    check_pages(path)
    if stored is not None:
        return np.atleast_3d(stored)[None]
    image: Any = itk.open_file(path)
    array: NDArray[Any] = simpleitk().GetArrayFromImage(image)
    array = array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., None]
    array = array[None] if image.GetDimension() < AXES else array
    if array.ndim != AXES + 1:
        raise ImageError(f"{path}: it has {array.ndim - 1} dimensions; a picture has 2, a stack 3.")
    return array


class _Stored(NamedTuple):
    """What Pillow finds in a picture: pixels, where SimpleITK would replace their numbers, and else None."""

    pixels: NDArray[Any] | None = None
    indexed: bool = False
    remarks: tuple[str, ...] = ()


def _read_stored(path: Path) -> _Stored:
    """Read what is stored of an indexed picture, and how viewers are told to show it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of large pictures and odd tags: the reader that follows looks at both
            with Image.open(path) as picture:
                pages = getattr(picture, "n_frames", 1)
                pixels = np.array(picture) if picture.mode in STORED and pages == 1 else None
                turned = int(picture.getexif().get(ORIENTATION) or UPRIGHT)
                remarks = () if turned == UPRIGHT else (TURNED.format(turned),)
                return _Stored(pixels, _has_colours(picture), remarks)
    except Exception:  # noqa: BLE001 - Pillow has no end of errors for damaged files
        return _Stored()  # the other reader takes it, or says why not


def _has_colours(picture: Image.Image) -> bool:
    """Whether the numbers of a picture stand for other greys, or colours, than themselves."""
    if picture.mode != "P":
        return False
    used = np.unique(np.array(picture)).astype(np.intp)
    palette = np.reshape(picture.getpalette("RGB") or (), (-1, len("RGB")))
    return not (used < len(palette)).all() or bool((palette[used] != used[:, None]).any())


def _spacing(path: Path) -> tuple[float, float, float]:
    file = next((file for file in sidecars(path) if file.is_file()), None)
    if file is None:
        return 1.0, 1.0, 1.0
    try:
        told = read_json(file)
        if not isinstance(told, dict):
            raise ValueError(f"it holds {type(told).__name__} and no object")  # noqa: TRY004 - told below
        numbers = [float(number) for number in told["spacing"]] if "spacing" in told else [1.0] * AXES
        z, y, x = numbers if len(numbers) == AXES else (1.0, *numbers)
        return Frame.of((z, y, x), (0.0, 0.0, 0.0), IDENTITY).spacing
    except ImageError:
        raise
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"{path}: the spacing in {file.name} cannot be used ({error}). Write "
            '{"spacing": [z, y, x]} in mm.'
        ) from error


PICTURE = ImageFormat("picture", (".png", ".bmp"), read, write, None, True, _parts, _beside)
TIFF = PICTURE._replace(name="TIFF", endings=(".tif", ".tiff"))
JPEG = PICTURE._replace(name="JPEG", endings=(".jpg", ".jpeg"), write=None, answers=".png")
"""Read only: what it stores is not what was written."""
