"""What a report says about an evaluation: scores by label and case, intervals, the worst cases to scroll."""

import ast
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.raw_image import describe_difference
from ingradient_pl.inference.case_pictures import read_together
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.metrics.evaluation_interval import Bootstrap, interval
from ingradient_pl.metrics.evaluation_report import HEADLINE as HEADLINE
from ingradient_pl.metrics.evaluation_report import mean_of
from ingradient_pl.metrics.label_translation import read_translated
from ingradient_pl.metrics.patients import describe_patients
from ingradient_pl.phrases import one_line
from ingradient_pl.reports.charts import Scores, draw_scores, label_colour
from ingradient_pl.reports.doubts import describe_estimates, read_maps
from ingradient_pl.reports.images import make_viewer
from ingradient_pl.reports.page import ReportError
from ingradient_pl.reports.parts import Chart, Facts, Items, Legend, Part, Section, Table, Text, Viewer
from ingradient_pl.reports.summaries import FAULTS, Summary
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import LabelMap
from ingradient_pl.store.metadata import is_store, is_stored
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task

COUNTS = ("FP", "TP", "FN", "TN", "n_pred", "n_ref")
"""Scores that a report leaves to the file."""

WORST = 6
"""Cases that can be scrolled through."""

ROWS = 1000


def describe_evaluation(summary: Summary, images: Path | None = None, worst: int = WORST) -> list[Section]:
    """Describe an evaluation: scores by label and case with intervals over patients, and the worst cases.

    Args:
        summary: What was read.
        images: Data set or store with the cases' images; None looks where the references are.
        worst: How many of the worst cases can be scrolled through.
    """
    known = list(next(iter(next(iter(summary.cases.values())).values())))
    shown = [score for score in known if score not in COUNTS]
    headline = HEADLINE if HEADLINE in shown else shown[0]
    shown = [headline, *(score for score in shown if score != headline)]
    bootstrap = Bootstrap.of(
        len(summary.cases), np.random.default_rng(0), groups=list(summary.groups.values())
    )
    parts: list[Part] = [
        Facts(
            [
                ("Cases", str(len(summary.cases))),
                ("Patients", str(len(set(summary.groups.values())))),
                ("File", str(summary.file)),
            ]
        ),
        Text(describe_patients(summary.groups)),
        _label_table(summary, shown, bootstrap),
    ]
    for score in shown:
        if score == headline or score in ("HD95", "NSD", "ASSD"):
            title = f"{score}: a point for each case; the diamond is the mean, with its 95 % interval"
            parts.append(Chart(title, draw_scores(_scores(summary, score, bootstrap), score)))
    parts.append(_case_table(summary, headline, shown))
    viewers, notes = _worst(summary, headline, images, worst)
    looked: list[Part] = [
        *([_legend(summary)] if viewers else []),
        *viewers,
        *([Items(notes)] if notes else []),
    ]
    doubts = Section("Uncertainty", describe_estimates(summary))
    return [Section("Scores", parts), doubts, Section("The worst cases", looked)]


def order_cases(summary: Summary, score: str) -> list[str]:
    """Give the cases, the lowest mean of their labels first; those without any score come last.

    Args:
        summary: The scores.
        score: Name of the score, such as ``Dice``.
    """
    means = {
        name: mean_of([scores.get(score, math.nan) for scores in labels.values()])
        for name, labels in summary.cases.items()
    }
    return sorted(means, key=lambda name: (math.isnan(means[name]), means[name], name))


def _label_table(summary: Summary, shown: Sequence[str], bootstrap: Bootstrap) -> Table:
    rows: list[list[str | float | None]] = []
    for score in shown:
        for label, name in summary.names.items():
            values = summary.values(label, score)
            known = [value for value in values if not math.isnan(value)]
            low, high = interval(bootstrap.means(np.array(values, dtype=np.float64)[:, None])[:, 0])
            spread = [float(np.median(known)), min(known), max(known)] if known else [None] * 3
            rows.append([score, name, len(known), mean_of(values), low, high, *spread])
    heads = ["score", "label", "cases", "mean", "95 % low", "95 % high", "median", "least", "most"]
    return Table("Means of each label, with their intervals over patients", heads, rows)


def _scores(summary: Summary, score: str, bootstrap: Bootstrap) -> list[Scores]:
    found = []
    for place, (label, name) in enumerate(summary.names.items(), 1):
        values = summary.values(label, score)
        low, high = interval(bootstrap.means(np.array(values, dtype=np.float64)[:, None])[:, 0])
        colour = label_colour(_integer(label, place))
        found.append(Scores(name, list(summary.cases), values, colour, mean_of(values), low, high))
    return found


def _case_table(summary: Summary, headline: str, shown: Sequence[str]) -> Table:
    order = order_cases(summary, headline)
    heads = [
        "case",
        "patient",
        f"mean {headline}",
        *(f"{headline} {name}" for name in summary.names.values()),
    ]
    others = [score for score in shown if score in ("HD95", "NSD") and score != headline]
    heads += [f"{score} {name}" for score in others for name in summary.names.values()]
    rows: list[list[str | float | None]] = []
    for name in order[:ROWS]:
        own = summary.cases[name]
        cells = [
            own.get(label, {}).get(score, math.nan)
            for score in (headline, *others)
            for label in summary.names
        ]
        rows.append([name, summary.groups[name], mean_of(cells[: len(summary.names)]), *cells])
    more = f" (the worst {ROWS} of {len(order)})" if len(order) > ROWS else ""
    return Table(f"Cases, the worst first{more}", heads, rows)


def _worst(summary: Summary, score: str, images: Path | None, most: int) -> tuple[list[Viewer], list[str]]:
    """Make the worst cases ready to scroll through; say what could not be shown."""
    viewers, notes = [], []
    known = _known_cases(images) if images is not None else {}
    for name in order_cases(summary, score)[:most]:
        try:
            viewers.append(_viewer(summary, name, score, known, named=images is not None))
        except FAULTS as error:
            notes.append(f"{name} cannot be shown: {one_line(error)}")
    if any(viewer.note.endswith(NO_IMAGE) for viewer in viewers):
        notes.append(
            "Images were not found beside the references. Name the data set or the store: --images PATH"
        )
    return viewers, notes


NO_IMAGE = "(without its image)"


def _viewer(
    summary: Summary, name: str, score: str, known: Mapping[str, CaseFiles], *, named: bool
) -> Viewer:
    prediction, reference = summary.files[name]
    case = known.get(name) if named else _case_beside(reference, name)
    properties = (
        case.images[1] if case is not None and reference.suffix == ".npz" and len(case.images) > 1 else None
    )
    maps = {"truth": LabelMap(reference, properties), "prediction": LabelMap(prediction)}
    labels, grid, groups = _read_maps(maps, summary, name)
    if labels["truth"].shape != labels["prediction"].shape:
        raise ReportError(
            f"{prediction} has {labels['prediction'].shape} voxels, {reference} {labels['truth'].shape}"
        )
    image, shares, notes = None, *read_maps(prediction, name, grid)
    if case is not None:
        found = read_case(case, _task_of(case, summary), "LPS")
        apart = describe_difference(grid, found)
        image = None if apart else found.voxels[0]
        notes += [f"its image is left out: {apart} the segmentation"] if apart else []
    own = ", ".join(
        f"{summary.names[label]} {scores.get(score, math.nan):.3f}"
        for label, scores in summary.cases[name].items()
    )
    note = "; ".join([f"{score}: {own}", *notes]) + (f" {NO_IMAGE}" if case is None else "")
    return make_viewer(name, note, image, labels, grid.frame.spacing, shares, groups)


def _read_maps(
    maps: Mapping[str, LabelMap], summary: Summary, name: str
) -> tuple[dict[str, NDArray[Any]], Volume, Sequence[Sequence[int]] | None]:
    """Read truth and prediction of a case: integers, one of the files, and those of overlapping labels."""
    if name not in summary.masks or summary.task is None:
        task = summary.task
        read = {
            title: label.read("LPS") if task is None else read_translated(label, task, "LPS")
            for title, label in maps.items()
        }
        return {title: one.voxels[0] for title, one in read.items()}, read["truth"], None
    ours, theirs = summary.masks[name]
    held = {"truth": theirs, "prediction": ours}
    named = {title: label._replace(masks=held[title]) for title, label in maps.items()}
    labels, groups = read_together(named, summary.task)
    return labels, named["prediction"].read("LPS"), groups


def _task_of(case: CaseFiles, summary: Summary) -> Task:
    """Give the task whose channels a case's image has."""
    if is_stored(case.images[0]):
        return CaseStore(case.images[0].parents[1], names=[case.name]).task
    count = len(case.images) if summary.task is None else len(summary.task.channels)
    return summary.task or Task(tuple(str(channel) for channel in range(count)), {"label": 1})


def _case_beside(reference: Path, name: str) -> CaseFiles | None:
    """Find a case's image by its reference: the stored case, or the data set that the labels belong to."""
    if is_stored(reference.parent):
        return CaseFiles(name, (reference.parent,), reference, name, None)
    folder = reference.parents[1] if len(reference.parents) > 1 else reference.parent
    if not (folder / DESCRIPTION).is_file() and reference.suffix != ".npz":
        return None
    return _known_cases(reference.parent if reference.suffix == ".npz" else folder).get(name)


def _known_cases(path: Path) -> dict[str, CaseFiles]:
    if is_store(path):
        return {case.name: case for case in stored_cases(path, CaseStore(path).task).cases}
    return {case.name: case for case in read_source(path).cases}


def _legend(summary: Summary) -> Legend:
    names = summary.names.items()
    return Legend(
        [(name, label_colour(_integer(label, place))) for place, (label, name) in enumerate(names, 1)]
    )


def _integer(label: str, place: int) -> int:
    """Give the integer that a label's colour is by: its own, or that of a region's last."""
    try:
        value = ast.literal_eval(label)
    except (ValueError, SyntaxError):
        return place
    return value if isinstance(value, int) else place
