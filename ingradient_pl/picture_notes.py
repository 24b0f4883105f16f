"""What is written on a picture of a case: caption, legend of labels, sides of the patient, a scale bar."""

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw
from torch import Tensor

RED_GREEN_BLUE = [
    *([0, 0, 0], [230, 70, 60], [70, 190, 90], [70, 130, 240], [240, 190, 50], [180, 90, 220]),
    *([60, 200, 210], [240, 130, 180], [150, 200, 70], [250, 150, 80]),
]
"""One colour per label, the background first."""

TITLE, LINE, LETTER = 16, 14, 6
"""Pixels: height of the titles above a picture, of a line of text below it, width of a letter."""

BARS = (200, 100, 50, 20, 10, 5, 2, 1)
"""Millimetres that a bar may stand for; the longest that fits a third of a panel is drawn."""

LONGEST = 32
"""Letters of a label's name that the legend shows."""


def colour_of(integer: int) -> tuple[int, ...]:
    """Give the colour of a label; those past the last begin again after the background."""
    return tuple(RED_GREEN_BLUE[(integer - 1) % (len(RED_GREEN_BLUE) - 1) + 1 if integer > 0 else 0])


def draw_notes(
    picture: UInt8[Tensor, "3 height width"],
    panels: int,
    caption: str,
    legend: Sequence[tuple[int, str]],
    pixel_mm: float,
) -> UInt8[Tensor, "3 taller width"]:
    """Write on the first panel and below the picture.

    Args:
        picture: A row of panels with titles above them, its axes towards P and L.
        panels: How many panels.
        caption: A line of text.
        legend: Integer and name of each label shown.
        pixel_mm: Millimetres of a pixel.
    """
    image = Image.fromarray(picture.permute(1, 2, 0).cpu().numpy())
    width, height = image.size
    lines: list[list[tuple[int, str]]] = [[]] if legend else []
    for integer, name in legend:
        entry = (integer, name if len(name) <= LONGEST else name[: LONGEST - 3] + "...")
        used = sum(LINE + (len(text) + 1) * LETTER for _, text in (*lines[-1], entry))
        if lines[-1] and used > width:
            lines.append([])
        lines[-1].append(entry)
    whole = Image.new("RGB", (width, height + LINE * (1 + len(lines)) + 2), "white")
    whole.paste(image)
    pen = ImageDraw.Draw(whole)
    _draw_sides(pen, width // panels, height, pixel_mm)
    pen.text((3, height + 1), caption[: width // LETTER], fill="black")
    for row, entries in enumerate(lines, 1):
        left, top = 3, height + 1 + row * LINE
        for integer, name in entries:
            pen.rectangle((left, top + 2, left + 8, top + 10), fill=colour_of(integer))
            pen.text((left + LINE - 2, top), name, fill="black")
            left += LINE + (len(name) + 1) * LETTER
    data = torch.frombuffer(bytearray(whole.tobytes()), dtype=torch.uint8)
    return data.view(whole.height, width, 3).permute(2, 0, 1)


def _draw_sides(pen: ImageDraw.ImageDraw, width: int, height: int, pixel_mm: float) -> None:
    """Write the sides of the patient at the first panel's edges, and a bar of millimetres in its corner."""
    middle = TITLE + (height - TITLE) // 2 - LETTER
    pen.text((3, middle), "R", fill="white")
    pen.text((width - LETTER - 4, middle), "L", fill="white")
    pen.text((width // 2 - 3, TITLE + 1), "A", fill="white")
    pen.text((width // 2 - 3, height - LINE), "P", fill="white")
    length = next((mm for mm in BARS if mm / pixel_mm <= width / 3), None)
    if length is not None:
        pen.line((4, height - 4, 4 + round(length / pixel_mm), height - 4), fill="white", width=2)
        pen.text((4, height - LINE - 4), f"{length} mm", fill="white")
