"""What tells whether a source file is still the one that a stored case was made of."""

import stat
import zlib
from pathlib import Path

from ingradient_pl.images.known_formats import file_parts

BLOCK, BLOCKS = 2**12, 16
"""Bytes that are looked at together, and how often in a file."""


def stamp_file(file: Path) -> tuple[int, int]:
    """Give the bytes of a file, or of all in a folder, and a sum of names, sizes, times and parts of them.

    A time alone tells too little: archives give all their files the same one, and clocks go back. The end of
    a file is among its parts, where gzip keeps a sum of all that it holds.

    Args:
        file: Of a case; files that belong to it, such as the pixels beside a header, count as well.

    Raises:
        OSError: If it cannot be read.
    """
    size = told = 0
    for entry in sorted(file.iterdir()) if file.is_dir() else file_parts(file):
        found = entry.stat()
        size += found.st_size
        told = zlib.crc32(f"{entry.name} {found.st_size} {found.st_mtime_ns}".encode(), told)
        if stat.S_ISREG(found.st_mode):
            told = _sum_parts(entry, found.st_size, told)
    return size, told


def _sum_parts(file: Path, size: int, told: int) -> int:
    """Add blocks of a file, evenly spread and its last, to a sum."""
    with file.open("rb") as opened:
        for place in (*range(0, size, max(BLOCK, size // BLOCKS)), max(0, size - BLOCK)):
            opened.seek(place)
            told = zlib.crc32(opened.read(BLOCK), told)
    return told
