"""Charts of a report, by plotly: curves, histograms, boxes with intervals, parallel coordinates."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingradient_pl.pictures.layout import colour_of
from ingradient_pl.short_repr import short_repr

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
GRID, INK, GREY = "#e6e9ed", "#1d2129", "#9aa3ae"
ACCENT = "#1f5fbf"

POINTS = 300
"""Cases of which each gets a point; of more the boxes alone are drawn."""

CURVE = 400
"""Points of a curve; of a longer one every so many are drawn."""

NAMED = 14
"""Curves that a legend names; more tell their names where one points."""

LONGEST = 22
"""Characters of a label beside an axis."""
TICKS = 10
"""Marks of an axis that counts, about."""

WIDE = 50.0
"""A largest value so many times the smallest asks for a logarithmic axis."""


class Curve(NamedTuple):
    """Points joined by a line.

    Args:
        name: For the legend.
        x: Of each point.
        y: Of each point.
        colour: Of the line.
        width: In pixels.
        dash: ``solid``, ``dot`` or ``dash``.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    width: float = 2.0
    dash: str = "solid"

    def __repr__(self) -> str:
        return short_repr(self)


class Scores(NamedTuple):
    """Values of a label over cases.

    Args:
        label: Its name.
        cases: Name of each case.
        values: One for each; not finite where there is none.
        colour: Of the box.
        mean: Of the values; None draws none.
        low: Lower bound of the mean's interval.
        high: Upper bound.
    """

    label: str
    cases: Sequence[str]
    values: Sequence[float]
    colour: str
    mean: float | None = None
    low: float = math.nan
    high: float = math.nan

    def __repr__(self) -> str:
        return short_repr(self)


def label_colour(value: int) -> str:
    """Give the colour of a label's integer, as pages write it.

    Args:
        value: The integer; 0 is the background.
    """
    return f"rgb{colour_of(value)}"


def draw_curves(curves: Sequence[Curve], x: str, y: str, *, whole: bool = False, height: int = 360) -> Any:
    """Draw curves over a common axis.

    Args:
        curves: What is drawn; those without points are left out.
        x: Title of the horizontal axis.
        y: Title of the vertical one.
        whole: Whether the horizontal axis counts, as epochs do.
        height: In pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for curve in curves:
        if not len(curve.x):
            continue
        step = -(-len(curve.x) // CURVE)
        figure.add_scatter(
            x=list(curve.x[::step]),
            y=list(curve.y[::step]),
            name=html.escape(curve.name),
            mode="lines" if len(curve.x) > 1 else "markers",
            line={"color": curve.colour, "width": curve.width, "dash": curve.dash},
        )
    dress(figure, height, x, y)
    figure.update_layout(showlegend=1 < len(curves) <= NAMED)
    most = max((curve.x[-1] for curve in curves if len(curve.x)), default=0)
    if whole:
        figure.update_xaxes(dtick=max(1, round(most / TICKS)))
    if all(len(curve.x) <= 1 and min(curve.y, default=0) >= 0 for curve in curves):
        figure.update_yaxes(rangemode="tozero")  # around one point plotly shows one more and one less
    return figure


def draw_scores(scores: Sequence[Scores], y: str, *, height: int = 420) -> Any:
    """Draw a box for each label, with a point for each case, and the mean with its interval.

    Args:
        scores: Of each label.
        y: Title of the axis.
        height: In pixels.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    finite = [value for one in scores for value in one.values if math.isfinite(value)]
    many = len(scores) and max(len(one.values) for one in scores) > POINTS
    for place, one in enumerate(scores):
        pairs = [pair for pair in zip(one.values, one.cases, strict=True) if math.isfinite(pair[0])]
        figure.add_box(
            x=[place] * len(pairs),
            y=[value for value, _ in pairs],
            name=html.escape(one.label),
            text=[html.escape(case) for _, case in pairs],
            hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
            marker={"color": one.colour, "size": 4, "opacity": 0.65},
            line={"width": 1.2},
            fillcolor="rgba(0,0,0,0)",
            boxpoints=False if many else "all",
            jitter=0.5,
            pointpos=0,
            showlegend=False,
        )
        if one.mean is not None and math.isfinite(one.mean):
            known = math.isfinite(one.low) and math.isfinite(one.high)
            figure.add_scatter(
                x=[place],
                y=[one.mean],
                mode="markers",
                marker={"color": INK, "size": 9, "symbol": "diamond"},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [one.high - one.mean if known else 0],
                    "arrayminus": [one.mean - one.low if known else 0],
                    "color": INK,
                    "thickness": 2,
                    "width": 8,
                },
                hovertemplate="mean %{y:.4g}<extra></extra>",
                showlegend=False,
            )
    dress(figure, height, "", y)
    ticks = list(range(len(scores)))
    figure.update_xaxes(
        tickvals=ticks, ticktext=[html.escape(shorten_text(one.label)) for one in scores], showgrid=False
    )
    if finite and min(finite) > 0 and max(finite) / min(finite) > WIDE:
        figure.update_yaxes(type="log", dtick=1)
    return figure


def draw_points(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    titles: tuple[str, str],
) -> Any:
    """Draw a point for each case.

    Args:
        x: Of each case.
        y: Of each case.
        names: Of the cases.
        titles: Of the horizontal and the vertical axis.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=list(x),
        y=list(y),
        mode="markers",
        text=[html.escape(name) for name in names],
        hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        marker={"color": ACCENT, "size": 7, "opacity": 0.55},
        showlegend=False,
    )
    dress(figure, 380, *titles)
    return figure


def shorten_text(text: str) -> str:
    """Give the beginning of a text, with an ellipsis where it is longer.

    Args:
        text: Of one line.
    """
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def dress(figure: Any, height: int, x: str, y: str) -> None:
    """Give a figure the page's fonts, grid and margins.

    Args:
        figure: Changed in place.
        height: In pixels.
        x: Title of the horizontal axis.
        y: Title of the vertical axis.
    """
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True, "title_standoff": 8}
    figure.update_layout(
        template=None,
        height=height,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 16, "r": 12, "t": 12, "b": 16},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hoverlabel={"font": {"family": FONT}, "bgcolor": "white"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        xaxis={**axis, "title": {"text": html.escape(x)}},
        yaxis={**axis, "title": {"text": html.escape(y)}},
        hovermode="closest",
    )
