"""Whether the pixels of a DICOM file are all there, as integers of one channel."""

import struct
from pathlib import Path
from typing import Any

from ingradient_pl.images.raw_image import ImageError

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
"""Transfer syntaxes whose pixels are not compressed."""
BIG = NATIVE[2]
"""The one among them whose numbers begin with their high byte."""

PALETTE = "PALETTE COLOR"

ELEMENT = 12
"""Bytes that tell an element's tag and length, at most."""

PIXELS = 0x0010
"""Element of group 7FE0 that holds pixels as integers."""


def check_pixels(file: Path, header: Any, element: bytes, room: int) -> None:
    """Refuse colours, and pixels that were cut off: a reader may fill what is missing with zeros.

    Args:
        file: Of a slice, or of many frames.
        header: What stands before its pixels.
        element: The first ``ELEMENT`` bytes of their element.
        room: Bytes from where it begins to the end of the file.

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
    there = _count_bytes(file, element, room, syntax) if syntax in NATIVE else bits // 8
    if bits // 8 > there:
        raise ImageError(
            f"{file}: it is truncated: its header promises {bits // 8} bytes of pixels, {there} are there. "
            f"Copy or export it again."
        )


def _count_bytes(file: Path, element: bytes, room: int, syntax: str) -> int:
    """Give how many bytes of pixels an uncompressed file holds, by their element and by the file's end."""
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
    return int(min(length, room - head))
