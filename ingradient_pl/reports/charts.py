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


class Axis(NamedTuple):
    """One axis of parallel coordinates.

    Args:
        title: Of the axis.
        values: Text of each run.
    """

    title: str
    values: Sequence[str]

    def __repr__(self) -> str:
        return short_repr(self)


def label_colour(value: int) -> str:
    """Give the colour of a label's integer, as pages write it."""
    return f"rgb{colour_of(value)}"


def draw_curves(
    curves: Sequence[Curve], x: str, y: str, *, log: bool = False, whole: bool = False, height: int = 360
) -> Any:
    """Draw curves over a common axis.

    Args:
        curves: What is drawn; those without points are left out.
        x: Title of the horizontal axis.
        y: Title of the vertical one.
        log: Whether the vertical axis is logarithmic.
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
    _dress(figure, height, x, y)
    figure.update_layout(showlegend=1 < len(curves) <= NAMED)
    most = max((curve.x[-1] for curve in curves if len(curve.x)), default=0)
    if whole:
        figure.update_xaxes(dtick=max(1, round(most / TICKS)))
    if log:
        figure.update_yaxes(type="log")
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
    _dress(figure, height, "", y)
    ticks = list(range(len(scores)))
    figure.update_xaxes(
        tickvals=ticks, ticktext=[html.escape(_short(one.label)) for one in scores], showgrid=False
    )
    if finite and min(finite) > 0 and max(finite) / min(finite) > WIDE:
        figure.update_yaxes(type="log", dtick=1)
    return figure


def draw_parallel(axes: Sequence[Axis], scores: Sequence[float], score: str, names: Sequence[str]) -> Any:
    """Draw parallel coordinates: a line for each run, from key to key and to the score, coloured by it.

    Args:
        axes: Of the keys that differ.
        scores: Of each run; NaN where it has none: such a run is grey, and ends before the score.
        score: Name of the score.
        names: Of each run.
    """
    import plotly.graph_objects as go
    from plotly.colors import sample_colorscale

    known = [value for value in scores if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    columns = [_heights(axis.values) for axis in axes]
    last = [(value - low) / (high - low) if high > low else 0.5 for value in scores]
    figure = go.Figure()
    ranked = sorted(
        range(len(scores)), key=lambda run: scores[run] if math.isfinite(scores[run]) else -math.inf
    )
    for run in ranked:
        done = math.isfinite(scores[run])
        ys = [heights[run] for heights, _ in columns] + ([last[run]] if done else [])
        told = [f"{html.escape(axis.title)} = {html.escape(axis.values[run])}" for axis in axes]
        text = "<br>".join(
            [
                html.escape(names[run]),
                *told,
                f"{html.escape(score)} {scores[run]:.4f}" if done else "no score",
            ]
        )
        colour = sample_colorscale("Viridis", [1 - last[run] if done else 0.5])[0] if done else GREY
        figure.add_scatter(
            x=list(range(len(ys))),
            y=ys,
            mode="lines+markers",
            line={"color": colour, "width": 3 if run == ranked[-1] and done else 1.4},
            marker={"size": 5},
            opacity=1.0 if run == ranked[-1] else 0.75,
            text=[text] * len(ys),
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    _dress(figure, 440, "", "")
    ticks = [(f"{low:.4f}", 0.0), (f"{high:.4f}", 1.0)] if high > low else [(f"{low:.4f}", 0.5)]
    for place, (_, marks) in enumerate([*columns, ([], ticks)]):
        figure.add_shape(
            type="line", x0=place, x1=place, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below"
        )
        for text, at in marks:
            figure.add_annotation(
                x=place,
                y=at,
                text=html.escape(_short(text)),
                showarrow=False,
                xanchor="left",
                xshift=6,
                font={"size": 11},
                bgcolor="rgba(255,255,255,.8)",
            )
    titles = [html.escape(_short(axis.title.rpartition(".")[2] or axis.title)) for axis in axes]
    figure.update_xaxes(
        tickvals=list(range(len(axes) + 1)),
        ticktext=[*titles, html.escape(score)],
        side="top",
        showgrid=False,
        range=[-0.15, len(axes) + 0.5],
        zeroline=False,
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.06])
    figure.update_layout(margin={"l": 16, "r": 16, "t": 60, "b": 16})
    return figure


def draw_points(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    titles: tuple[str, str],
    *,
    height: int = 380,
) -> Any:
    """Draw a point for each case.

    Args:
        x: Of each case.
        y: Of each case.
        names: Of the cases.
        titles: Of the horizontal and the vertical axis.
        height: In pixels.
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
    _dress(figure, height, *titles)
    return figure


def _heights(values: Sequence[str]) -> tuple[list[float], list[tuple[str, float]]]:
    """Place the values of an axis in [0, 1], numbers by size and words by their order; give its marks."""
    numbers = [_number(value) for value in values]
    if all(number is not None for number in numbers):
        sizes = [float(number) for number in numbers if number is not None]
        if min(sizes) > 0 and max(sizes) / min(sizes) > WIDE:
            sizes = [math.log(size) for size in sizes]
        low, high = min(sizes), max(sizes)
        heights = [(size - low) / (high - low) if high > low else 0.5 for size in sizes]
    else:
        order = sorted(set(values))
        heights = [order.index(value) / (len(order) - 1) if len(order) > 1 else 0.5 for value in values]
    marks = sorted(dict(zip(values, heights, strict=True)).items(), key=lambda mark: mark[1])
    shown = marks[:: max(len(marks) // 6, 1)]
    return heights, shown if marks[-1] in shown else [*shown[:-1], marks[-1]]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _short(text: str, most: int = 22) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _dress(figure: Any, height: int, x: str, y: str) -> None:
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
