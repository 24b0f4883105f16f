"""Pages of a TIFF: that they end, are alike, and unpack to what they promise, before C code reads them.

ITK reads every page into the room of the first one, and some readers go round in a circle for ever. PackBits
has no check sum: a damaged count moves all pixels behind it, and each program makes something else of that.
So its rows must end where TIFF 6.0 (page 42) has them end.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ingradient_pl.images.raw_image import ImageError


class _Layout(NamedTuple):
    """How a kind of TIFF writes its numbers.

    Args:
        first: Where the place of the first page is written.
        entries: Format of how many entries a page has.
        entry: Bytes of an entry.
        place: Format of where a page is, and of how many values an entry has.
    """

    first: int
    entries: str
    entry: int
    place: str


LAYOUTS = {42: _Layout(4, "H", 12, "I"), 43: _Layout(8, "Q", 20, "Q")}
"""By the number that stands for the kind: classic, and BigTIFF for more than 4 GB."""

ORDERS = {b"II": "<", b"MM": ">"}
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Types of an entry's values that sizes and places are written in."""

WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, SAMPLES, PLANES = 256, 257, 258, 259, 262, 277, 284
STRIPS, ROWS, STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 273, 278, 279, 322, 323, 324, 325
ALIKE = (254, WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, SAMPLES, PLANES, 339)
"""What all pages of a stack have in common. 254: what a page is for (ITK makes room for some, and reads all);
339 whether numbers are signed, or floating-point."""

READ = (*ALIKE, STRIPS, ROWS, STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES)
USUAL = {BITS: (1,), COMPRESSION: (1,), SAMPLES: (1,), PLANES: (1,)}
"""What holds where a page does not say it."""

DEFLATE, PACKBITS = (8, 32946), 32773
YCBCR = 6
"""Colours that are stored at fewer points than pixels."""

AT_ONCE = 2**20
"""Bytes that are unpacked at a time."""

_Page = dict[int, tuple[int, ...]]


def check_pages(path: Path) -> None:
    """Refuse a TIFF whose pages go round in a circle, lie beyond its end, differ, or do not unpack.

    Args:
        path: A picture of any format; others than TIFF are let be.

    Raises:
        ImageError: If it is so.
    """
    with path.open("rb") as file:
        start = file.read(4)
        order = ORDERS.get(start[:2])
        if order is None or len(start) < len(b"II**"):
            return
        layout = LAYOUTS.get(struct.unpack(f"{order}H", start[2:])[0])
        if layout is None:
            return
        try:
            _check_chain(file, order, layout, path.stat().st_size)
        except ValueError as error:
            raise ImageError(f"{path}: it is damaged: {error}. Save or copy it again.") from error


def _check_chain(file: IO[bytes], order: str, layout: _Layout, size: int) -> None:
    first, packed = None, 0
    for number, page in enumerate(_read_pages(file, order, layout, size), 1):
        first = page if first is None else first
        if any(_of(page, tag) != _of(first, tag) for tag in ALIKE):
            raise ValueError(f"page {number} is of another size or kind than the first one")
        packed += _check_parts(number, page, file)
        if packed > size:
            raise ValueError(f"its pages lie over each other: {packed} bytes in a file of {size}")


def _read_pages(file: IO[bytes], order: str, layout: _Layout, size: int) -> Iterator[_Page]:
    """Go along the chain of pages, and give the entries of each that are looked at."""
    seen, used = set[int](), 0
    (at,) = _numbers(file, layout.first, order + layout.place)
    while at:
        if at in seen:
            raise ValueError(f"its pages follow each other in a circle, back to byte {at}")
        seen.add(at)
        (entries,) = _numbers(file, at, order + layout.entries)
        used += entries * layout.entry
        if used > size:
            raise ValueError(
                f"its pages lie beyond its end, or over each other: {entries} entries at byte {at}"
            )
        begin = at + struct.calcsize(f"={layout.entries}")
        (at,) = _numbers(file, begin + entries * layout.entry, order + layout.place)
        yield {
            tag: values
            for number in range(entries)
            for tag, values in _read_entry(file, begin + number * layout.entry, order, layout, size)
        }


def _read_entry(
    file: IO[bytes], at: int, order: str, layout: _Layout, size: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Give the tag and the whole numbers of an entry, where it is one that is looked at."""
    tag, kind, count = _numbers(file, at, f"{order}HH{layout.place}")
    if tag not in READ or kind not in WHOLE_NUMBERS:
        return
    form = f"{order}{min(count, size)}{WHOLE_NUMBERS[kind]}"
    place = at + struct.calcsize(f"=HH{layout.place}")
    if struct.calcsize(form) > struct.calcsize(f"={layout.place}"):
        (place,) = _numbers(file, place, order + layout.place)
    yield tag, _numbers(file, place, form)


def _numbers(file: IO[bytes], at: int, form: str) -> tuple[int, ...]:
    content = _bytes(file, at, struct.calcsize(form))
    return struct.unpack(form, content)


def _bytes(file: IO[bytes], at: int, size: int) -> bytes:
    try:
        file.seek(at)
        content = file.read(size)
    except (OSError, OverflowError, MemoryError) as error:
        raise ValueError(f"its pages lie beyond its end: {size} bytes at {at}") from error
    if len(content) < size:
        raise ValueError(f"its pages lie beyond its end: {size} bytes at {at}, {len(content)} are there")
    return content


def _of(page: _Page, tag: int) -> tuple[int, ...]:
    return page.get(tag, USUAL.get(tag, ()))


def _check_parts(number: int, page: _Page, file: IO[bytes]) -> int:
    """Unpack the strips or tiles of a page that is packed by PackBits or deflate; give the bytes unpacked."""
    (packed, *_), colours = _of(page, COMPRESSION) or (1,), _of(page, COLOURS)
    if (packed != PACKBITS and packed not in DEFLATE) or colours == (YCBCR,):
        return 0
    tags = (TILES, TILE_BYTES) if TILES in page else (STRIPS, STRIP_BYTES)
    places, sizes = (page.get(tag, ()) for tag in tags)
    parts = _expect_parts(page)
    if not len(places) == len(sizes) == parts.in_plane * parts.planes:
        raise ValueError(f"page {number} is not in as many parts as its size promises")
    for part, (place, size) in enumerate(zip(places, sizes, strict=True)):
        content = _bytes(file, place, size)
        rows = min(parts.rows, parts.height - part % parts.in_plane * parts.rows)
        whole = _is_packbits if packed == PACKBITS else _is_deflate
        if not whole(content, parts.row, rows):
            raise ValueError(
                f"part {part + 1} of page {number} does not unpack to {rows} rows of {parts.row} bytes"
            )
    return sum(sizes)


class _Parts(NamedTuple):
    """Strips or tiles of a page.

    Args:
        in_plane: How many a plane of colours has.
        planes: Of colours that lie apart.
        row: Bytes of a row of one.
        rows: Of one; the last strip of a plane may have fewer.
        height: Rows of all that lie below each other.
    """

    in_plane: int
    planes: int
    row: int
    rows: int
    height: int


def _expect_parts(page: _Page) -> _Parts:
    width, height = _one(page, WIDTH), _one(page, HEIGHT)
    if TILES not in page:
        rows = min(_one(page, ROWS), height) if ROWS in page else height
        planes, row = _row_bytes(page, width)
        return _Parts(math.ceil(height / rows), planes, row, rows, height)
    across, down = _one(page, TILE_WIDTH), _one(page, TILE_HEIGHT)
    planes, row = _row_bytes(page, across)
    in_plane = math.ceil(width / across) * math.ceil(height / down)
    return _Parts(in_plane, planes, row, down, down * in_plane)


def _row_bytes(page: _Page, width: int) -> tuple[int, int]:
    """Give in how many planes the colours lie, and the bytes of a row of one."""
    samples, bits = _one(page, SAMPLES), set(_of(page, BITS))
    if len(bits) != 1:
        raise ValueError(f"its colours are of several depths: {sorted(bits)} bits")
    apart = _one(page, PLANES) != 1
    return (samples if apart else 1), math.ceil(width * bits.pop() * (1 if apart else samples) / 8)


def _one(page: _Page, tag: int) -> int:
    value, *more = _of(page, tag) or (0,)
    if more or not 0 < value < 2**32:
        raise ValueError(f"its entry {tag} is {value}, no size")
    return value


def _is_deflate(content: bytes, row: int, rows: int) -> bool:
    unpacker, found = zlib.decompressobj(), 0
    try:
        while content and not unpacker.eof and found <= row * rows:
            found += len(unpacker.decompress(content, AT_ONCE))
            content = unpacker.unconsumed_tail
    except zlib.error:
        return False
    return found == row * rows and unpacker.eof


def _is_packbits(content: bytes, row: int, rows: int) -> bool:
    """Whether runs end where each row does, and the last one where the content does."""
    at = 0
    for _ in range(rows):
        left = row
        while left > 0 and at < len(content):
            count = content[at]
            literal = count < 128  # noqa: PLR2004 - as TIFF 6.0 writes it
            at += count + 2 if literal else 2 - (count == 128)  # noqa: PLR2004
            left -= count + 1 if literal else (257 - count) * (count != 128)  # noqa: PLR2004
        if left:
            return False
    return at <= len(content) and not content[at:].strip(b"\x80")
