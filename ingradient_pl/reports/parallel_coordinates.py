"""Parallel coordinates of a sweep: a line for each run, from key to key and to the score."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from ingradient_pl.reports.charts import GREY, WIDE, dress, shorten_text
from ingradient_pl.short_repr import short_repr


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
    dress(figure, 440, "", "")
    ticks = [(f"{low:.4f}", 0.0), (f"{high:.4f}", 1.0)] if high > low else [(f"{low:.4f}", 0.5)]
    _mark(figure, axes, score, [*(marks for _, marks in columns), ticks])
    return figure


def _mark(
    figure: Any, axes: Sequence[Axis], score: str, marks: Sequence[Sequence[tuple[str, float]]]
) -> None:
    """Draw the axes and write their values beside them, the score's last."""
    for place, entries in enumerate(marks):
        figure.add_shape(
            type="line", x0=place, x1=place, y0=0, y1=1, line={"color": GREY, "width": 1}, layer="below"
        )
        for text, at in entries:
            figure.add_annotation(
                x=place,
                y=at,
                text=html.escape(shorten_text(text)),
                showarrow=False,
                xanchor="left",
                xshift=6,
                font={"size": 11},
                bgcolor="rgba(255,255,255,.8)",
            )
    titles = [html.escape(shorten_text(axis.title.rpartition(".")[2] or axis.title)) for axis in axes]
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
