"""The chain of pages in a TIFF: some readers go round in a circle for ever, or read half a stack."""

import struct
from pathlib import Path
from typing import IO, NamedTuple

from ingradient_pl.images.raw_image import ImageError


class _Layout(NamedTuple):
    """How a kind of TIFF writes its numbers.

    Args:
        first: Where the place of the first page is written.
        entries: Format of how many entries a page has.
        entry: Bytes of an entry.
        place: Format of where a page is.
    """

    first: int
    entries: str
    entry: int
    place: str


LAYOUTS = {42: _Layout(4, "H", 12, "I"), 43: _Layout(8, "Q", 20, "Q")}
"""By the number that stands for the kind: classic, and BigTIFF for more than 4 GB."""

ORDERS = {b"II": "<", b"MM": ">"}


def check_pages(path: Path) -> None:
    """Refuse a TIFF whose pages follow each other in a circle, or beyond its end; other files are let be.

    Args:
        path: A picture of any format.

    Raises:
        ImageError: If it is so.
    """
    with path.open("rb") as file:
        start = file.read(4)
        order = ORDERS.get(start[:2])
        if order is None or len(start) < len(b"II**"):
            return
        layout = LAYOUTS.get(struct.unpack(f"{order}H", start[2:])[0])
        wrong = "" if layout is None else _describe_wrong(file, order, layout)
    if wrong:
        raise ImageError(f"{path}: it is damaged: its pages {wrong}. Save or copy it again.")


def _describe_wrong(file: IO[bytes], order: str, layout: _Layout) -> str:
    """Say where the chain of pages leads; empty where it ends as it should."""
    seen: set[int] = set()
    at = _number(file, layout.first, order + layout.place)
    while at:
        if at in seen:
            return "follow each other in a circle"
        seen.add(at)
        entries = _number(file, at, order + layout.entries)
        if entries is None:
            return "lie beyond its end"
        at = _number(
            file, at + struct.calcsize(f"={layout.entries}") + entries * layout.entry, order + layout.place
        )
    return "lie beyond its end" if at is None else ""


def _number(file: IO[bytes], at: int, form: str) -> int | None:
    """Read a number; None beyond the end of the file."""
    size = struct.calcsize(form)
    try:
        file.seek(at)
    except (OSError, OverflowError, ValueError):
        return None
    content = file.read(size)
    return int(struct.unpack(form, content)[0]) if len(content) == size else None
