"""What a report says about a sweep: its table, parallel coordinates, and the curves of its runs."""

import math
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.pictures.layout import RED_GREEN_BLUE
from ingradient_pl.reports.charts import INK, Curve, draw_curves
from ingradient_pl.reports.parallel_coordinates import Axis, draw_parallel
from ingradient_pl.reports.parts import Chart, Facts, Part, Section, Table, Text
from ingradient_pl.reports.runs import plain_epochs, points_of, state_of
from ingradient_pl.reports.swept_runs import SweptRun, read_sweep_table

CURVES = 40
"""Runs whose curves are drawn: the best."""


LINES = 300
"""Runs of parallel coordinates: the best."""


DASHES = ("solid", "dash", "dot")


def describe_sweep(path: Path) -> list[Section]:
    """Describe a sweep: the table, the best first, parallel coordinates, learning curves of all runs.

    Args:
        path: Its folder, or its table.

    Raises:
        ReportError: If it has no table, or the table no run.
    """
    runs, score = read_sweep_table(path)
    folder = path.parent if path.is_file() else path
    keys = list(dict.fromkeys(key for run in runs for key in run.told))
    rows = [
        [run.folder, *(run.told.get(key) for key in keys), run.score, state_of(folder / run.folder)]
        for run in runs
    ]
    done = [run for run in runs if math.isfinite(run.score)]
    best = f"{done[0].folder}: {done[0].score:.4f}" if done else "none has ended well"
    parts: list[Part] = [
        Facts(
            [
                ("Runs", f"{len(runs)}, {len(done)} with a score"),
                ("Score", score),
                ("Best", best),
                ("Folder", str(folder)),
            ]
        ),
        Table("Runs, the best first", ["run", *keys, score, "state"], rows),
    ]
    sections = [Section("Sweep", parts)]
    if keys:
        shown = runs[:LINES]
        axes = [Axis(key, [run.told.get(key, "–") for run in shown]) for key in keys]
        figure = draw_parallel(axes, [run.score for run in shown], score, [run.folder for run in shown])
        title = "A line for each run, dark where it did well; the best is the widest"
        sections.append(Section("Parallel coordinates", [Chart(title, figure)]))
    sections.append(Section("Learning curves", describe_curves(folder, runs)))
    return sections


def describe_curves(folder: Path, runs: Sequence[SweptRun]) -> list[Part]:
    """Draw the learning curves of runs in one chart each: Dice and both losses.

    Args:
        folder: Of the sweep.
        runs: The best first; of very many the first are drawn.
    """
    curves: dict[str, list[Curve]] = {"dice": [], "val": [], "train": []}
    colours = [f"rgb{tuple(colour)}" for colour in RED_GREEN_BLUE[1:]]
    for place, run in enumerate(runs[:CURVES]):
        epochs = plain_epochs(folder / run.folder)
        told = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in run.told.items())
        colour = INK if place == 0 else colours[place % len(colours)]
        width, dash = (3.0, "solid") if place == 0 else (1.3, DASHES[place // len(colours) % len(DASHES)])
        for key, found in curves.items():
            name = f"{run.folder}: {told}" if told else run.folder
            found.append(Curve(name[:60], *points_of(epochs, key), colour, width, dash))
    titles = {"dice": "Dice of validation patches", "val": "validation loss", "train": "training loss"}
    more = f", the best {CURVES} runs" if len(runs) > CURVES else ""
    parts: list[Part] = [
        Chart(
            f"{titles[key].capitalize() if key != 'dice' else titles[key]}, the best run in black{more}",
            draw_curves(found, "epoch", titles[key], whole=True, height=420),
        )
        for key, found in curves.items()
        if any(len(curve.x) for curve in found)
    ]
    return parts or [Text("No run has kept the figures of its epochs.")]
