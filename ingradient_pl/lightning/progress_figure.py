"""``progress.png``: loss, Dice, learning rate and seconds of each epoch of a run, on one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingradient_pl.files import whole_file
from ingradient_pl.pictures.layout import colour_of

Epochs = Sequence[Mapping[str, Any]]
SIZE = (10, 13)
"""Inches, of 80 pixels."""
MARGINS = {"left": 0.1, "right": 0.98, "top": 0.99, "bottom": 0.045, "hspace": 0.06}
"""As shares of the picture, and of a plot's height."""
MEAN = "dice"
DOTTED, NAMED = 20, 12
"""Most epochs that are drawn with a dot each, and most labels that the legend names."""
AVERAGED = 0.9
"""Share of the moving average of Dice that each epoch keeps, as nnU-Net's has."""


def draw_progress(epochs: Epochs) -> NDArray[np.uint8]:
    """Draw a picture with the axes (y, x, channel), red, green and blue from 0 to 255.

    Args:
        epochs: One record an epoch: ``epoch`` (from 1), ``train``, ``val``, ``dice``, ``labels`` (name to
            Dice), ``lr`` and ``seconds``; what was not measured is missing.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # not pyplot: whatever the machine has
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=80)
    figure.subplots_adjust(**MARGINS)  # a layout that is worked out costs more than all the drawing
    _plot(figure, epochs)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_picture(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture as PNG; it appears whole or not at all.

    Args:
        file: Replaced where it exists.
        picture: As :func:`draw_progress` gave it: (y, x, channel), 0 to 255.
    """
    with whole_file(file) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")


def _plot(figure: Any, epochs: Epochs) -> None:
    loss, dice, rate, seconds = figure.subplots(4, 1, sharex=True)
    dots = {"marker": "."} if len(epochs) <= DOTTED else {}  # a line through one point is not seen
    for key, label in (("train", "training"), ("val", "validation")):
        loss.plot(*_curve(epochs, key), label=label, **dots)
    loss.set_ylabel("loss")
    numbers, mean = _curve(epochs, MEAN)
    dice.plot(numbers, mean, label="mean", color="black", **dots)
    dice.plot(numbers, _average(mean), label="mean, moving average", color="black", linestyle=":")
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch.get("labels", {})))
    for place, name in enumerate(names, 1):
        found = [(e["epoch"], e["labels"][name]) for e in epochs if name in e.get("labels", {})]
        named = {"label": name} if len(names) <= NAMED else {}  # more would hide the curves
        colour = [one / 255 for one in colour_of(place)]  # as in pictures and on pages
        dice.plot(*zip(*found, strict=True), linewidth=0.8, color=colour, **named, **dots)
    dice.set_ylabel("Dice of validation patches")
    rate.plot(*_curve(epochs, "lr"), **dots)
    rate.set_ylabel("learning rate")
    numbers, lengths = _curve(epochs, "seconds")
    seconds.plot(numbers, lengths, **dots)
    seconds.set(ylabel="seconds an epoch", xlabel="epoch", ylim=(0, 1.1 * max(lengths, default=1)))
    seconds.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)  # of one epoch, too
    for axes in (loss, dice):
        axes.legend(loc="best", fontsize="small")
    for axes in (loss, dice, rate, seconds):
        axes.grid(visible=True, alpha=0.3)


def _curve(epochs: Epochs, key: str) -> tuple[list[int], list[float]]:
    found = [(epoch["epoch"], epoch[key]) for epoch in epochs if epoch.get(key) is not None]
    return [number for number, _ in found], [value for _, value in found]


def _average(values: Sequence[float]) -> list[float]:
    averaged = list[float]()
    for value in values:
        averaged.append(value if not averaged else AVERAGED * averaged[-1] + (1 - AVERAGED) * value)
    return averaged
