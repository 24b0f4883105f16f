"""NRRD, MetaImage, GIPL and pictures, which SimpleITK reads."""

import locale
import math
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images.bounded_files import GZIP, STEEPEST, SURPLUS, check_memory, check_regular
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.header_text import METAIMAGE, NRRD, HeaderText, read_header
from ingradient_pl.images.itk_headers import read_notes
from ingradient_pl.images.raw_image import ImageError, RawImage
from ingradient_pl.images.reader_messages import Messages, hold_back_messages
from ingradient_pl.images.simpleitk import simpleitk
from ingradient_pl.images.voxel_types import to_plain_dtype

DETACHED = (*METAIMAGE, *NRRD)
GIPL_HEADER = 256
"""Bytes before the voxels of a GIPL, which ITK reads as if none were missing where it is cut."""

MOST_DIMENSIONS = 10
"""Of a MetaImage."""

AT_ONCE = 2**16
"""Bytes that are unpacked at a time."""

ZLIB_OR_GZIP = 47
SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
"""Fields of a NRRD that say what lies before its voxels."""

READERS: dict[str, tuple[str, tuple[bytes, ...]]] = {
    **dict.fromkeys(NRRD, ("NrrdImageIO", (b"NRRD",))),
    **dict.fromkeys(METAIMAGE, ("MetaImageIO", ())),
    **dict.fromkeys((".gipl", ".gz"), ("GiplImageIO", ())),
    **dict.fromkeys((".tif", ".tiff"), ("TIFFImageIO", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))),
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEGImageIO", (b"\xff\xd8",))),
    ".png": ("PNGImageIO", (b"\x89PNG",)),
    ".bmp": ("BMPImageIO", (b"BM",)),
}
"""ITK's reader of each ending, and what such files begin with: ITK alone would try twenty of them."""

_LOCALE = threading.Lock()


@cache
def voxel_bytes() -> dict[int, int]:
    """Give the bytes of a voxel by SimpleITK's number of its type."""
    return {
        getattr(simpleitk(), f"sitk{vector}{kind}{bits}"): bits // 8
        for vector in ("", "Vector")
        for kind, sizes in {"UInt": (8, 16, 32, 64), "Int": (8, 16, 32, 64), "Float": (32, 64)}.items()
        for bits in sizes
    }


def read(path: Path, channels: int | None) -> RawImage:
    """Read a file; ``channels`` as for NIfTI.

    Args:
        path: The image, or the header of one.
        channels: Channels that are promised; None for a 3D file of one.

    Raises:
        ImageError: If it cannot be read, or is not what ``channels`` promises.
    """
    image: Any = open_file(path)
    voxels = to_plain_dtype(path, simpleitk().GetArrayFromImage(image))
    while image.GetDimension() > AXES and image.GetSize()[-1] == 1 and channels in (None, 1):
        extract: Any = simpleitk().Extract
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
    notes = read_notes(path)
    return RawImage(path, voxels, _frame(path, image, notes.factor), remarks=notes.remarks)


def write(path: Path, voxels: NDArray[Any], frame: Frame, block: bytes | None = None) -> None:
    """Write (channel, z, y, x) voxels; ``block`` is not used.

    Args:
        path: Its ending chooses the format.
        voxels: Shape (channel, z, y, x).
        frame: Where they lie.
        block: Header of a NIfTI source; not used here.
    """
    image: Any = simpleitk().GetImageFromArray(
        voxels[0] if len(voxels) == 1 else np.moveaxis(voxels, 0, -1), isVector=len(voxels) > 1
    )
    image.SetSpacing(frame.spacing[::-1])
    image.SetOrigin(frame.origin)
    image.SetDirection(frame.direction)
    simpleitk().WriteImage(image, str(path), useCompression=True)


def _frame(path: Path, image: Any, factor: float) -> Frame:
    """Give the frame of an image whose lengths are in units of ``factor`` mm."""
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:AXES, :AXES].ravel()
    try:
        spacing, origin = (
            np.array(lengths[:AXES]) * factor for lengths in (image.GetSpacing(), image.GetOrigin())
        )
        return Frame.of(spacing[::-1].tolist(), origin.tolist(), direction)
    except ValueError as error:
        raise ImageError(f"{path}: {error} Repair its header.") from error


@contextmanager
def keep_locale() -> Iterator[Messages]:
    """Undo what readers do to the process: they set its locale to C, Python's files to ASCII, and print."""
    with _LOCALE, hold_back_messages() as messages:  # a second reader would keep what the first one broke
        before = locale.setlocale(locale.LC_ALL)
        try:
            yield messages
        finally:
            locale.setlocale(locale.LC_ALL, before)


def open_file(path: Path) -> object:
    """Read a file as an image of SimpleITK, within the bounds of its size and of memory.

    Args:
        path: The image, or the header of one.

    Raises:
        ImageError: If it cannot be read.
    """
    name = _check_start(path)
    text = read_header(path) if path.suffix.lower() in DETACHED else None
    reader = _reader(path, name)
    _check_size(path, text, reader)
    messages = Messages()
    try:
        with keep_locale() as messages:
            image: object = reader.Execute()
    except RuntimeError as error:
        reason = messages.cause or str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        beside = ", ".join(file.name for file in data_files(path)[:3] if file != path)
        where = f"it, or {beside} with its voxels," if beside else "it"
        raise ImageError(
            f"{path}: {where} cannot be read ({reason}). Save it as .nii.gz, .nrrd or .mha."
        ) from error
    if messages.damage:
        raise ImageError(f"{path}: it is damaged ({messages.damage}). Copy it again.")
    return image


def _check_start(path: Path) -> str:
    """Give ITK's name of the reader for a file, held against the file's first bytes."""
    name, starts = READERS.get(path.suffix.lower(), ("", ()))
    if not name:
        raise ImageError(f"{path}: no image format has this ending. Save it as .nii.gz, .nrrd or .mha.")
    with path.open("rb") as file:
        start = file.read(4)
    if starts and not start.startswith(starts):
        raise ImageError(
            f"{path}: not a file of that kind, though its name says so: it begins with {start!r}. Rename or "
            "convert it."
        )
    return name


def _reader(path: Path, name: str) -> Any:
    file_reader: Any = simpleitk().ImageFileReader
    reader = file_reader()
    reader.SetImageIO(name)
    reader.SetFileName(str(path))
    return reader


def _check_size(path: Path, text: HeaderText | None, reader: Any) -> None:
    """Hold what the header promises against the files' size and the memory, before voxels are read."""
    if text is not None and path.suffix.lower() in METAIMAGE:
        _check_dimensions(path, text)
    there = sum(_size_of(path, file) for file in data_files(path))
    try:
        with keep_locale():
            reader.ReadImageInformation()
    except RuntimeError:
        return  # what is wrong is told where the voxels are read
    size = voxel_bytes().get(reader.GetPixelID(), max(voxel_bytes().values()))
    needed = math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * size
    whole = needed + GIPL_HEADER
    if needed > STEEPEST * there + SURPLUS or (path.suffix.lower() == ".gipl" and there < whole):
        raise ImageError(
            f"{path}: it is truncated: its header promises {needed} bytes of voxels, more than {there} "
            "stored ones can hold. Copy or save it again."
        )
    check_memory(path, needed)
    if text is not None and _is_packed(path, text):
        _check_unpacked(path, text.files or (path,), 0 if text.files else text.end, needed)
    elif path.name.lower().endswith(".gipl.gz"):
        _check_unpacked(path, (path,), 0, whole)


def _is_packed(path: Path, text: HeaderText) -> bool:
    """Whether voxels are packed by zlib or gzip, whose check sum ITK does not always look at."""
    if path.suffix.lower() in METAIMAGE:
        return text.fields.get("compresseddata", "").lower().startswith(("t", "1"))
    if text.fields.get("encoding", "").lower() not in ("gz", "gzip"):
        return False
    if any(text.fields.get(name, "0") != "0" for name in SKIPS):
        raise ImageError(f"{path}: its voxels are packed behind something that is skipped. Save it again.")
    return True


def _check_dimensions(path: Path, text: HeaderText) -> None:
    """Refuse a MetaImage of a number of dimensions that ends the process which reads it."""
    told = text.fields.get("ndims", "")
    if not (told.isascii() and told.isdigit()) or not 1 <= int(told[:4]) <= MOST_DIMENSIONS:
        raise ImageError(f"{path}: its header promises {told[:40]!r} dimensions. Copy or save it again.")


def _size_of(path: Path, data: Path) -> int:
    """Give the size of a file that holds voxels, or say which header names it."""
    try:
        return check_regular(data)
    except ImageError as error:
        if data == path:
            raise
        raise ImageError(f"{path}: its voxels are elsewhere: {error}") from error


def _check_unpacked(path: Path, files: Sequence[Path], start: int, needed: int) -> None:
    """Unpack voxels once, piece by piece: of another length, ITK gives what lay in memory."""
    data, *more = files
    if more:
        raise ImageError(f"{path}: its voxels are packed in several files. Save it as one.")
    try:
        found, ended = _unpack(data, start, needed)
    except zlib.error as error:
        raise ImageError(f"{path}: its voxels are damaged ({error}). Copy or save it again.") from error
    if found != needed or not ended:
        told = "more" if found > needed else "fewer"
        raise ImageError(
            f"{path}: its voxels unpack to {told} than the {needed} bytes that its header promises. Copy or "
            "save it again."
        )


def _unpack(file: Path, start: int, most: int) -> tuple[int, bool]:
    """Count the bytes that a file unpacks to, and tell whether it ended; little more than ``most``."""
    unpacker, found = zlib.decompressobj(wbits=ZLIB_OR_GZIP), 0
    with file.open("rb") as opened:
        opened.seek(start)
        while found <= most and (
            fed := unpacker.unconsumed_tail or unpacker.unused_data or opened.read(AT_ONCE)
        ):
            if unpacker.eof:
                if not fed.startswith(GZIP):
                    break
                unpacker = zlib.decompressobj(wbits=ZLIB_OR_GZIP)  # of the next member
            found += len(unpacker.decompress(fed, 16 * AT_ONCE))
    return found, unpacker.eof


def all_files(path: Path) -> list[Path]:
    """Give the files that belong to an image, its header first.

    Args:
        path: The image, or the header of one.

    Raises:
        ImageError: If the header's text is not plain.
    """
    return list(dict.fromkeys([path, *data_files(path)]))


def data_files(path: Path) -> list[Path]:
    """Give the files that an image's voxels lie in: its own, or those that its header names.

    Args:
        path: The image; a MetaImage's or NRRD's header is text.

    Raises:
        ImageError: If that text is not plain.
    """
    if path.suffix.lower() not in DETACHED:
        return [path]
    return list(read_header(path).files) or [path]
