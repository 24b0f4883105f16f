"""NRRD, MetaImage and whatever else SimpleITK reads."""

import locale
import math
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES
from ingradient_pl.images.bounded_files import STEEPEST, SURPLUS, check_memory, check_regular
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.itk_headers import HEADER, METAIMAGE, NRRD, read_notes
from ingradient_pl.images.raw_image import ImageError, RawImage, to_plain_dtype
from ingradient_pl.images.reader_messages import Messages, hold_back_messages
from ingradient_pl.images.simpleitk import simpleitk

DETACHED = (*METAIMAGE, *NRRD)
PACKED = re.compile(rb"^CompressedData *= *True", re.MULTILINE | re.IGNORECASE)
LOCAL = re.compile(rb"^ElementDataFile *= *LOCAL\r?\n", re.MULTILINE | re.IGNORECASE)
DATA_FILE = re.compile(r"^(?:ElementDataFile *=|data ?file:)(.*)$", re.MULTILINE)
DIMENSIONS = re.compile(rb"^NDims[ \t]*=([^\r\n]*)", re.MULTILINE | re.IGNORECASE)
GIPL_HEADER = 256
"""Bytes before the voxels of a GIPL, which ITK reads as if none were missing where it is cut."""

MOST_DIMENSIONS = 10
"""Of a MetaImage."""

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
    _check_size(path)
    messages = Messages()
    try:
        with keep_locale() as messages:
            return simpleitk().ReadImage(str(path))
    except RuntimeError as error:
        reason = messages.cause or str(error).strip().splitlines()[-1].removeprefix("sitk::ERROR: ")
        beside = ", ".join(file.name for file in data_files(path)[:3] if file != path)
        where = f"it, or {beside} with its voxels," if beside else "it"
        raise ImageError(
            f"{path}: {where} cannot be read ({reason}). Save it as .nii.gz, .nrrd or .mha."
        ) from error


def _check_size(path: Path) -> None:
    """Hold what the header promises against the files' size and the memory, before voxels are read."""
    if path.suffix.lower() in METAIMAGE:
        _check_dimensions(path)
    there = sum(_size_of(path, file) for file in data_files(path))
    file_reader: Any = simpleitk().ImageFileReader
    reader = file_reader()
    reader.SetFileName(str(path))
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
    if path.suffix.lower() in METAIMAGE:
        _check_unpacked(path, needed)
    elif path.name.lower().endswith(".gipl.gz") and _unpack(path, 0, whole) != (whole, True):
        raise ImageError(
            f"{path}: it does not unpack to the {whole} bytes that its header promises. Copy it again."
        )


def _check_dimensions(path: Path) -> None:
    """Refuse a MetaImage of a number of dimensions that ends the process which reads it."""
    with path.open("rb") as file:
        told = [found[1].strip() for found in DIMENSIONS.finditer(file.read(HEADER))]
    odd = [text for text in told if not text.isdigit() or not 1 <= int(text[:4]) <= MOST_DIMENSIONS]
    if odd:
        raise ImageError(
            f"{path}: its header promises {odd[0][:40].decode('latin1')!r} dimensions. Copy or save it again."
        )


def _size_of(path: Path, data: Path) -> int:
    """Give the size of a file that holds voxels, or say which header names it."""
    try:
        return check_regular(data)
    except ImageError as error:
        if data == path:
            raise
        raise ImageError(f"{path}: its voxels are elsewhere: {error}") from error


def _check_unpacked(path: Path, needed: int) -> None:
    """Unpack a compressed MetaImage once, piece by piece: of another length, ITK gives what lay in memory."""
    with path.open("rb") as file:
        header = file.read(HEADER)
    if not PACKED.search(header):
        return
    (data,) = data_files(path)
    local = LOCAL.search(header)
    try:
        found, ended = _unpack(data, local.end() if local and data == path else 0, needed)
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
    unpacker, found = zlib.decompressobj(wbits=47), 0  # zlib or gzip
    with file.open("rb") as opened:
        opened.seek(start)
        while not unpacker.eof and found <= most and (fed := unpacker.unconsumed_tail or opened.read(HEADER)):
            found += len(unpacker.decompress(fed, 16 * HEADER))
    return found, unpacker.eof


def all_files(path: Path) -> list[Path]:
    """Give the files that belong to an image, its header first.

    Args:
        path: The image, or the header of one.
    """
    return list(dict.fromkeys([path, *data_files(path)]))


def data_files(path: Path) -> list[Path]:
    """Give the files that an image's voxels lie in: its own, or those that its header names.

    Args:
        path: The image; a MetaImage's or NRRD's header is text.
    """
    if path.suffix.lower() not in DETACHED:
        return [path]
    with path.open("rb") as file:
        text = file.read(HEADER).split(b"\n\n")[0].decode("latin1")
    named = DATA_FILE.search(text)
    if named is None or named[1].strip().upper() == "LOCAL":
        return [path]
    words = named[1].split()
    lines = text[named.end() :].splitlines() if words[0].upper() == "LIST" else [named[1]]
    names = [line.strip() for line in lines if line.strip() and "%" not in line]
    return [path.parent / name for name in names] or [path]
