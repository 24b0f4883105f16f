"""Whether a file is DICOM, the library that reads its header, and whether its pixels are all there."""

import struct
from functools import cache
from pathlib import Path
from typing import Any

from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.optional import require

ENDINGS = (".dcm", ".dicom", ".ima")
"""What names of DICOM files end in, where they end in anything; small letters or capitals."""

SEGMENTATION = "Segmentation Storage"
"""What the names of classes of segmentations end in: their frames are masks, not slices."""

STRUCTURES = "RT Structure Set Storage"
"""What the class of structure sets is called."""

PREAMBLE = 128

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes whose pixels are not compressed."""
BIG = NATIVE[2]
"""The one among them whose numbers begin with their high byte."""

PALETTE = "PALETTE COLOR"

CLASS = 0x00080016
"""Tag of ``SOPClassUID``: elements are in the order of their tags, and few stand before it."""

PIXELS = 0x0010
"""Element of group 7FE0 that holds pixels as integers."""


@cache
def pydicom() -> Any:
    """Give the module ``pydicom``, imported with the first DICOM file.

    How a hospital writes names and dates is not ours to mend: a warning for each slice hides what matters.

    Raises:
        ImageError: If it cannot be imported.
    """
    otherwise = "Stores and NIfTI files do without it."
    module: Any = require("pydicom", "DICOM files", "pydicom>=3.0", otherwise, ImageError)
    module.config.settings.reading_validation_mode = module.config.IGNORE
    return module


def is_dicom_file(path: Path) -> bool:
    """Whether a file is DICOM by its name, or by the four letters that stand in front.

    Args:
        path: It need not exist, and a pipe is not opened.
    """
    if path.suffix.lower() in ENDINGS:
        return True
    if not path.is_file():  # a pipe is not opened
        return False
    with path.open("rb") as file:
        return file.read(PREAMBLE + 4)[PREAMBLE:] == b"DICM"


def class_of(header: Any) -> str:
    """Give the name of the class of an object; its UID where that is a private one.

    Args:
        header: As pydicom reads it.
    """
    kind = str(header.get("SOPClassUID") or getattr(header.file_meta, "MediaStorageSOPClassUID", ""))
    return str(pydicom().uid.UID(kind).name)


def read_class(path: Path) -> str:
    """Read the name of the class of a file that is known to be DICOM, and nothing after it.

    Args:
        path: The file.

    Raises:
        ImageError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return class_of(pydicom().filereader.read_partial(file, _is_past_class, force=True))
    except Exception as error:  # a damaged header fails in many ways
        raise ImageError(f"{path}: it cannot be read as DICOM ({error}). Copy or export it again.") from error


def _is_past_class(tag: int, *_: object) -> bool:
    return int(tag) > CLASS


def read_header(path: Path, tags: list[str] | None = None) -> Any:
    """Read the header of a file that is known to be DICOM; its pixels stay where they are.

    Args:
        path: The file.
        tags: Elements that are wanted, by keyword; None for all.

    Raises:
        ImageError: If it cannot be read.
    """
    try:
        return pydicom().dcmread(path, stop_before_pixels=True, specific_tags=tags, force=True)
    except Exception as error:  # a damaged header fails in many ways
        raise ImageError(f"{path}: it cannot be read as DICOM ({error}). Copy or export it again.") from error


def check_pixels(file: Path, header: Any, begin: int, size: int) -> None:
    """Refuse colours, and pixels that were cut off: a reader may fill what is missing with zeros.

    Args:
        file: Of a slice, or of many frames.
        header: What stands before its pixels.
        begin: Where their element begins.
        size: Bytes of the whole file.

    Raises:
        ImageError: If they are not all there, or no integers of one channel.
    """
    if int(header.get("SamplesPerPixel") or 1) > 1 or header.get("PhotometricInterpretation") == PALETTE:
        raise ImageError(
            f"{file}: its pixels are colours ({header.get('PhotometricInterpretation')}). Save each channel, "
            "or their mean, as a grey image."
        )
    if not header.get("BitsStored") or int(header.get("BitsAllocated") or 0) < 8:  # noqa: PLR2004
        raise ImageError(
            f"{file}: its pixels are no integers of 8 bits or more (BitsAllocated "
            f"{header.get('BitsAllocated')}, BitsStored {header.get('BitsStored')}): a mask or a map. "
            "Convert it to NIfTI."
        )
    if header.get("ModalityLUTSequence"):
        raise ImageError(
            f"{file}: a table (ModalityLUTSequence) makes values of its pixels, which is not read. Convert "
            "the series to NIfTI with a program that applies it."
        )
    high, stored = header.get("HighBit"), int(header.BitsStored)
    if high is not None and int(high) != stored - 1:
        raise ImageError(
            f"{file}: its HighBit is {high}, where {stored - 1} belongs to {stored} stored bits: which "
            "bits are the value is unclear. Export it again."
        )
    bits = (
        int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames") or 1) * header.BitsAllocated
    )
    syntax = str(getattr(header.file_meta, "TransferSyntaxUID", NATIVE[0]))
    there = _count_bytes(file, begin, size, syntax) if syntax in NATIVE else bits // 8
    if bits // 8 > there:
        raise ImageError(
            f"{file}: it is truncated: its header promises {bits // 8} bytes of pixels, {there} are there. "
            f"Copy or export it again."
        )


def _count_bytes(file: Path, begin: int, size: int, syntax: str) -> int:
    """Give how many bytes of pixels an uncompressed file holds, by their element and by the file's end."""
    with file.open("rb") as opened:
        opened.seek(begin)
        element = opened.read(12)
    order = ">" if syntax == BIG else "<"
    implicit = not element[4:6].isalpha()
    form, head = (f"{order}2xHI", 8) if implicit else (f"{order}2xH4xI", 12)
    if len(element) < head:
        return 0
    number, length = struct.unpack(form, element[:head])
    if number != PIXELS:
        raise ImageError(
            f"{file}: its pixels are floating-point numbers or lie elsewhere (element 7FE0,{number:04X}). "
            "Convert it to NIfTI."
        )
    return int(min(length, size - begin - head))
