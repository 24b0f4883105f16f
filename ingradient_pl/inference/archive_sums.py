"""Check sums of a zip archive of stored entries: of all but their contents, and of the whole from theirs."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

from ingradient_pl.files import BAD_ARCHIVE

LOCAL, LOCAL_BYTES = b"PK\x03\x04", 30
AT_ONCE = 2**20

POLYNOMIAL = 0xEDB88320
"""Of CRC-32, without its highest term; the highest bit of a number is the constant term."""
ONE, BYTE = 1 << 31, 1 << 23
"""The polynomials 1 and x^8: what a check sum is multiplied by for each byte that follows."""


def sum_file(path: Path) -> int:
    """Give the CRC-32 of a file as it was written; of a checkpoint by the sums it holds: no weight is read.

    Whether a checkpoint is still as it was written is for whoever opens it to check.

    Args:
        path: Any file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if all(is_stored(entry) for entry in archive.infolist()):
                    return sum_whole(archive, file)
        except (*BAD_ARCHIVE, OSError, ValueError, LookupError, RuntimeError, OverflowError):
            pass  # it is no archive
        return sum_bytes(file, 0, file.seek(0, os.SEEK_END))


def is_stored(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry lies in its archive as it is, as PyTorch writes all of them.

    Args:
        entry: Of the archive's directory.
    """
    return entry.compress_type == zipfile.ZIP_STORED and entry.file_size == entry.compress_size


def sum_frame(archive: zipfile.ZipFile, file: IO[bytes], end: int) -> int:
    """Give the CRC-32 of all that is not the content of an entry.

    Args:
        archive: Whose entries are stored as they are.
        file: The same, open for reading.
        end: Where to stop, in bytes from the start.

    Raises:
        ValueError: If an entry does not begin where the directory says, or the file ends too soon.
    """
    found, position = 0, 0
    for entry, begin in _find_contents(archive, file):
        found = sum_bytes(file, position, begin, found)
        position = begin + entry.compress_size
    return sum_bytes(file, position, max(position, end), found)


def sum_whole(archive: zipfile.ZipFile, file: IO[bytes]) -> int:
    """Give the CRC-32 of a whole file by those that its directory has of its entries: none of them is read.

    Args:
        archive: Whose entries are stored as they are, and have the check sums that the directory says.
        file: The same, open for reading.

    Raises:
        ValueError: If an entry does not begin where the directory says, or the file ends too soon.
    """
    found, position = 0, 0
    for entry, begin in _find_contents(archive, file):
        found = join_sums(sum_bytes(file, position, begin, found), entry.CRC, entry.compress_size)
        position = begin + entry.compress_size
    return sum_bytes(file, position, file.seek(0, os.SEEK_END), found)


def _find_contents(archive: zipfile.ZipFile, file: IO[bytes]) -> Iterator[tuple[zipfile.ZipInfo, int]]:
    """Give each entry in the order of the file, and where its content begins."""
    position = 0
    for entry in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        file.seek(entry.header_offset)
        header = file.read(LOCAL_BYTES)
        if header[:4] != LOCAL or entry.header_offset < position:
            raise ValueError(f"'{entry.filename}' does not begin where the directory says")
        name, extra = struct.unpack("<HH", header[26:])
        begin = entry.header_offset + LOCAL_BYTES + name + extra
        yield entry, begin
        position = begin + entry.compress_size


def sum_bytes(file: IO[bytes], begin: int, end: int, found: int = 0) -> int:
    """Go on with a CRC-32 over a part of a file.

    Args:
        file: Open for reading.
        begin: First byte.
        end: Behind the last.
        found: Of what is before.

    Raises:
        ValueError: If the file ends too soon.
    """
    file.seek(begin)
    left = end - begin
    while left > 0:
        part = file.read(min(left, AT_ONCE))
        if not part:
            raise ValueError(f"it ends {left} bytes before its directory says")
        found, left = zlib.crc32(part, found), left - len(part)
    return found


def join_sums(first: int, second: int, size: int) -> int:
    """Give the CRC-32 of two parts, one behind the other, by those of each.

    Args:
        first: Of what comes first.
        second: Of what follows.
        size: Bytes of what follows.

    >>> join_sums(zlib.crc32(b"check "), zlib.crc32(b"sum"), 3) == zlib.crc32(b"check sum")
    True
    """
    for place in range(size.bit_length()):
        if size >> place & 1:
            first = _multiply(first, _shift_of(place))
    return first ^ second


@cache
def _shift_of(place: int) -> int:
    """Give x^(8 * 2^place): what ``2^place`` bytes that follow make of a check sum."""
    return BYTE if place == 0 else _multiply(_shift_of(place - 1), _shift_of(place - 1))


def _multiply(one: int, other: int) -> int:
    """Multiply polynomials over the field of two elements, modulo that of CRC-32."""
    product = 0
    for place in range(31, -1, -1):
        if one >> place & 1:
            product ^= other
        other = other >> 1 ^ (POLYNOMIAL if other & 1 else 0)
    return product
