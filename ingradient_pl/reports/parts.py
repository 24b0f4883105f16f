"""What a page is made of: sections of facts, text, tables, charts, pictures and slices to scroll through."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ingradient_pl.short_repr import short_repr


class Text(NamedTuple):
    """A paragraph.

    Args:
        text: Plain text.
    """

    text: str
    kind: str = "text"


class Items(NamedTuple):
    """A list of lines.

    Args:
        lines: Plain text each.
    """

    lines: Sequence[str]
    kind: str = "items"


class Facts(NamedTuple):
    """Names and values.

    Args:
        facts: Both plain text.
    """

    facts: Sequence[tuple[str, str]]
    kind: str = "facts"


class Table(NamedTuple):
    """Rows under headings; numbers are aligned to the right, and a click on a heading sorts.

    Args:
        title: What it shows.
        heads: Of the columns.
        rows: Text, numbers, or None where there is nothing.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    kind: str = "table"

    def __repr__(self) -> str:
        return short_repr(self)


class Chart(NamedTuple):
    """A figure of plotly.

    Args:
        title: What it shows, for people who see it and for those who do not.
        figure: The figure.
    """

    title: str
    figure: Any
    kind: str = "chart"

    def __repr__(self) -> str:
        return f"Chart({self.title!r})"


class Picture(NamedTuple):
    """A picture with a caption.

    Args:
        title: What it shows.
        data: ``data:image/...;base64,...``.
        width: In pixels.
        height: In pixels.
    """

    title: str
    data: str
    width: int
    height: int

    def __repr__(self) -> str:
        return short_repr(self)


class Gallery(NamedTuple):
    """Pictures side by side.

    Args:
        title: What they show.
        pictures: The pictures.
        large: Whether each takes the whole width.
    """

    title: str
    pictures: Sequence[Picture]
    large: bool = False
    kind: str = "gallery"

    def __repr__(self) -> str:
        return f"Gallery({self.title!r}, {len(self.pictures)} pictures)"


class Viewer(NamedTuple):
    """Slices of a case to scroll through: the image, and maps of labels over it.

    Args:
        title: Of the case.
        note: A line about it.
        image: All slices below each other.
        overlays: Title and outlines of each label map, transparent elsewhere, laid out alike.
        numbers: Of each slice in the case, from 1.
        start: Which of them is shown first, from 0.
        size: Height and width of a slice in pixels.
        depth: How many slices the case has.
    """

    title: str
    note: str
    image: str
    overlays: Sequence[tuple[str, str]]
    numbers: Sequence[int]
    start: int
    size: tuple[int, int]
    depth: int
    kind: str = "viewer"

    def __repr__(self) -> str:
        return f"Viewer({self.title!r}, {len(self.numbers)} slices)"


class Legend(NamedTuple):
    """Names of labels in their colours.

    Args:
        entries: Name and colour (``rgb(1, 2, 3)``).
    """

    entries: Sequence[tuple[str, str]]
    kind: str = "legend"


Part = Text | Items | Facts | Table | Chart | Gallery | Viewer | Legend


class Section(NamedTuple):
    """A part of the page with a heading.

    Args:
        title: The heading.
        parts: What stands under it.
    """

    title: str
    parts: Sequence[Part]

    def __repr__(self) -> str:
        return f"Section({self.title!r}, {len(self.parts)} parts)"
