"""NRRD, MetaImage and whatever else SimpleITK reads."""

import locale
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.raw_image import ImageError, RawImage, to_plain_dtype

_LOCALE = threading.Lock()


def read(path: Path, channels: int | None) -> RawImage:
    """Read a file; ``channels`` as for NIfTI.

    Raises:
        ImageError: If it cannot be read, or is not what ``channels`` promises.
    """
    image: Any = _file(path)
    voxels = to_plain_dtype(path, SimpleITK.GetArrayFromImage(image))
    while image.GetDimension() > AXES and image.GetSize()[-1] == 1 and channels in (None, 1):
        extract: Any = SimpleITK.Extract
        image, voxels = extract(image, [*image.GetSize()[:-1], 0]), voxels[0]
    components, dimension = image.GetNumberOfComponentsPerPixel(), image.GetDimension()
    found = components if dimension == AXES else image.GetSize()[-1]
    if dimension not in (AXES, AXES + 1) or found != (channels or 1) or (dimension > AXES and components > 1):
        raise ImageError(
            f"{path}: {channels or 1} channel(s) of a 3D image are promised; it has {dimension} dimensions, "
            f"size {image.GetSize()}, {components} component(s). Save each channel as a 3D file of its own."
        )
    if components > 1:
        voxels = np.moveaxis(voxels, -1, 0)
    elif dimension == AXES:
        voxels = voxels[None]
    return RawImage(path, voxels, _frame(path, image))


def write(path: Path, voxels: NDArray[Any], frame: Frame, block: bytes | None = None) -> None:
    """Write (channel, z, y, x) voxels; ``block`` is not used."""
    image: Any = SimpleITK.GetImageFromArray(
        voxels[0] if len(voxels) == 1 else np.moveaxis(voxels, 0, -1), isVector=len(voxels) > 1
    )
    image.SetSpacing(frame.spacing[::-1])
    image.SetOrigin(frame.origin)
    image.SetDirection(frame.direction)
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def _frame(path: Path, image: Any) -> Frame:
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:AXES, :AXES].ravel()
    try:
        return Frame.of(image.GetSpacing()[:AXES][::-1], image.GetOrigin()[:AXES], direction)
    except ValueError as error:
        raise ImageError(f"{path}: {error} Repair its header.") from error


@contextmanager
def keep_locale() -> Iterator[None]:
    """Undo what the DICOM reader does to the process: the locale becomes C, and Python's files ASCII."""
    with _LOCALE:  # the locale is the process's: of two readers the second would keep what the first broke
        before = locale.setlocale(locale.LC_ALL)
        try:
            yield
        finally:
            locale.setlocale(locale.LC_ALL, before)


def _file(path: Path) -> object:
    try:
        with keep_locale():
            return SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        raise ImageError(
            f"{path}: it cannot be read ({reason}). Save it as .nii.gz, .nrrd or .mha."
        ) from error
