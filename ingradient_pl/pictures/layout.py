"""Panels as a table, and what is written on it: titles, legend, sides of the patient, scale bars."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ingradient_pl.short_repr import short_repr

RED_GREEN_BLUE = [
    *([0, 0, 0], [235, 75, 60], [60, 185, 90], [75, 140, 250], [245, 190, 45], [185, 95, 225]),
    *([50, 200, 210], [245, 130, 180], [150, 200, 60], [250, 150, 75]),
]
"""One colour per label, the background first."""

TEXT, SMALL = 14, 12
"""Sizes of letters in pixels: of titles and captions, and of what is written on a panel."""

GAP, EDGE = 8, 10
"""Pixels between panels, and around the whole."""

BARS = (200, 100, 50, 20, 10, 5, 2, 1)
"""Millimetres that a bar may stand for; the longest that fits a third of a panel is drawn."""

NARROWEST = 60
"""Pixels that a title may take at least, however narrow its panel."""

LINES = 6
"""Lines that a caption or a title takes at most; what is left over ends in an ellipsis."""

INK, FRAME, PAPER = (25, 25, 30), (190, 190, 196), "white"


class Panel(NamedTuple):
    """One picture of a table.

    Args:
        pixels: Red, green and blue in [0, 255].
        title: Written above.
        sides: Letters at its left, right, upper and lower edge; empty writes none.
        pixel_mm: Millimetres of a pixel along a row, for the scale bar; None draws none.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    title: str = ""
    sides: str = ""
    pixel_mm: float | None = None

    def __repr__(self) -> str:
        return short_repr(self)


def colour_of(integer: int) -> tuple[int, ...]:
    """Give the colour of a label; those past the last begin again after the background.

    Args:
        integer: Of the label; 0 and below are the background.
    """
    return tuple(RED_GREEN_BLUE[(integer - 1) % (len(RED_GREEN_BLUE) - 1) + 1 if integer > 0 else 0])


def lay_out(
    rows: Sequence[Sequence[Panel]], caption: str = "", legend: Sequence[tuple[int, str]] = ()
) -> UInt8[Tensor, "3 height width"]:
    """Lay panels out as a table: a caption above, a title over each panel, the legend below.

    Args:
        rows: Panels of each row.
        caption: Lines of text; what is too long is broken, and not cut.
        legend: Integer and name of each label shown.
    """
    columns = max(map(len, rows))
    widths = [max(_width(row[at]) for row in rows if at < len(row)) for at in range(columns)]
    whole = 2 * EDGE + sum(widths) + GAP * (columns - 1)
    head = _break_lines(caption, whole - 2 * EDGE, TEXT)
    titles = [[_break_lines(panel.title, widths[at], SMALL) for at, panel in enumerate(row)] for row in rows]
    tops, at = [], EDGE + len(head) * _line(TEXT)
    for row, lines in zip(rows, titles, strict=True):
        at += GAP // 2 + max(map(len, lines)) * _line(SMALL)
        tops.append(at)
        at += max(len(panel.pixels) for panel in row) + GAP // 2
    entries = _legend_rows(legend, whole - 2 * EDGE)
    paper = Image.new("RGB", (whole, at + (GAP if entries else 0) + len(entries) * _line(TEXT) + EDGE), PAPER)
    pen = ImageDraw.Draw(paper)
    _write_lines(pen, (EDGE, EDGE - 2), head, TEXT, INK)
    for row, lines, top in zip(rows, titles, tops, strict=True):
        left = EDGE
        for panel, title, width in zip(row, lines, widths[: len(row)], strict=True):
            _write_lines(pen, (left, top - len(title) * _line(SMALL) - 2), title, SMALL, INK)
            paper.paste(Image.fromarray(panel.pixels), (left, top))
            height, across = panel.pixels.shape[:2]
            pen.rectangle((left - 1, top - 1, left + across, top + height), outline=FRAME)
            _write_on(pen, panel, left, top)
            left += width + GAP
    _draw_legend(pen, entries, at + GAP)
    return torch.from_numpy(np.asarray(paper).copy()).permute(2, 0, 1)


def _width(panel: Panel) -> int:
    return max(int(panel.pixels.shape[1]), NARROWEST)


def _write_on(pen: ImageDraw.ImageDraw, panel: Panel, left: int, top: int) -> None:
    """Write the patient's sides at the edges of a panel, and a bar of millimetres in its corner."""
    height, width = panel.pixels.shape[:2]
    places = ((2, height / 2, "lm"), (width - 3, height / 2, "rm"), (width / 2, 2, "mt"))
    for letter, (x, y, anchor) in zip(panel.sides, (*places, (width / 2, height - 3, "mb")), strict=False):
        _write_light(pen, (left + x, top + y), letter, anchor)
    length = next((mm for mm in BARS if panel.pixel_mm and mm / panel.pixel_mm <= width / 3), None)
    if length is None or panel.pixel_mm is None or height < 8 * SMALL:
        return
    end, foot = left + 6 + round(length / panel.pixel_mm), top + height - 6
    pen.line((left + 6, foot + 1, end, foot + 1), fill="black", width=4)
    pen.line((left + 6, foot, end, foot), fill="white", width=2)
    _write_light(pen, (left + 6, foot - 4), f"{length} mm", "lb")


def _write_light(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, anchor: str) -> None:
    """Write on a picture, white with a dark edge: readable on whatever lies below."""
    pen.text(place, text, "white", _font(SMALL), anchor, stroke_width=1, stroke_fill="black")


def _write_lines(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    lines: Sequence[str],
    size: int,
    colour: tuple[int, int, int],
) -> None:
    for number, line in enumerate(lines):
        pen.text((place[0], place[1] + number * _line(size)), line, colour, _font(size))


def _legend_rows(legend: Sequence[tuple[int, str]], width: int) -> list[list[tuple[int, str, int]]]:
    """Break a legend into rows: integer, name and width of each entry."""
    rows: list[list[tuple[int, str, int]]] = []
    used = width
    for integer, name in legend:
        text = _shorten(name, width - 2 * TEXT, TEXT)
        needed = round(_font(TEXT).getlength(text)) + 3 * TEXT
        if used + needed > width + TEXT:
            rows.append([])
            used = 0
        rows[-1].append((integer, text, needed))
        used += needed
    return rows


def _draw_legend(pen: ImageDraw.ImageDraw, rows: Sequence[list[tuple[int, str, int]]], top: int) -> None:
    for number, entries in enumerate(rows):
        left, y = EDGE, top + number * _line(TEXT)
        for integer, name, width in entries:
            pen.rectangle((left, y + 2, left + TEXT - 2, y + TEXT), fill=colour_of(integer))
            pen.text((left + TEXT + 4, y - 1), name, INK, _font(TEXT))
            left += width


def _break_lines(text: str, width: int, size: int) -> list[str]:
    """Break a text into lines of at most ``width`` pixels: between words, or within one that is too long."""
    lines: list[str] = []
    for paragraph in filter(None, text.split("\n")):
        lines.append("")
        for word in paragraph.split(" "):
            joined = f"{lines[-1]} {word}" if lines[-1] else word
            if _font(size).getlength(joined) <= width:
                lines[-1] = joined
                continue
            if lines[-1]:
                lines.append("")
            lines[-1:] = _pieces(word, width, size)
    if len(lines) > LINES:
        lines[LINES - 1 :] = [_shorten(f"{lines[LINES - 1]} ...", width, size)]
    return lines


def _pieces(word: str, width: int, size: int) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and _font(size).getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces


def _shorten(text: str, width: int, size: int) -> str:
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _line(size: int) -> int:
    """Give the height of a line."""
    return size + 5


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Give matplotlib's DejaVu Sans, which holds the letters of most languages written from the left."""
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def to_pixels(picture: UInt8[Tensor, "3 height width"]) -> NDArray[np.uint8]:
    """Give a picture as an array (height, width, 3).

    Args:
        picture: On any device.
    """
    return picture.permute(1, 2, 0).cpu().numpy()
