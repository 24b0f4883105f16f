"""What a report says about a data set: geometry, intensities, volumes, a look at cases, what is odd."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ingradient_pl.datasets.groups import describe_groups
from ingradient_pl.geometry import AXES
from ingradient_pl.images.frame import Frame
from ingradient_pl.phrases import name_some
from ingradient_pl.reports.charts import Curve, Scores, draw_curves, draw_points, draw_scores, label_colour
from ingradient_pl.reports.histograms import bin_edges, bin_shares
from ingradient_pl.reports.images import thumbnail
from ingradient_pl.reports.parts import Chart, Facts, Gallery, Items, Legend, Part, Section, Table, Text
from ingradient_pl.reports.unlike_cases import ALIKE, find_unlike
from ingradient_pl.store.annotation import annotates
from ingradient_pl.store.case_store import CaseStore, StoredCase, StoreError
from ingradient_pl.store.copies import describe_copies
from ingradient_pl.store.summary import list_integers

THUMBNAILS = 96
"""Cases that are looked at, at most."""

LISTED = 100
"""Lines of a list, at most."""

ROWS = 1000
"""Rows of a table, and names in a line, at most."""

SAMPLED = 400
"""Cases whose intensities are read, at most."""


MILLILITRE = 1000.0
"""Cubic millimetres of it."""

WORDS = {"R": "L", "L": "R", "A": "P", "P": "A", "I": "S", "S": "I"}


def describe_data_set(store: CaseStore, most: int = THUMBNAILS) -> list[Section]:
    """Describe the cases of a store: sections for figures, intensities, labels, and what they look like.

    Args:
        store: Opened as it is on disk.
        most: Cases that are looked at, at most.
    """
    cases = list(store.cases.values())
    parts: list[Part] = [Facts(_facts(store, cases))]
    if cases:
        parts += [_geometry(cases), *_sizes(cases), _case_table(store, cases)]
    sections = [Section("Data set", parts)]
    if cases:
        sections.append(Section("What is odd", _odd(store, cases)))
        sections.append(Section("Intensities", _intensities(store, cases)))
        sections.append(Section("Labels", _labels(store, cases)))
        sections.append(Section("A look at the cases", _look(store, cases, most)))
    return sections


def store_directions(store: CaseStore, name: str) -> str:
    """Give the directions of the patient that the axes (z, y, x) of a stored case run to.

    Args:
        store: Opened as it is on disk.
        name: Of the case.
    """
    if len(store.orientation) == AXES:
        return store.orientation[::-1]
    native = store.describe(name)["native"]
    matrix = Frame.of(native["spacing"], native["origin_mm"], native["direction"]).matrix
    letters = []
    for column in reversed(range(AXES)):  # z, y, x
        world = int(np.abs(matrix[:, column]).argmax())
        letter = "LPS"[world]
        letters.append(letter if matrix[world, column] > 0 else WORDS[letter])
    return "".join(letters) if len({frozenset((one, WORDS[one])) for one in letters}) == AXES else ""


def _facts(store: CaseStore, cases: Sequence[StoredCase]) -> list[tuple[str, str]]:
    task = store.task
    labelled = sum(case.labelled for case in cases)
    facts = [
        ("Cases", f"{len(cases)}, {labelled} with a label"),
        ("Patients", describe_groups({case.name: case.group for case in cases}) if cases else "none"),
        ("Channels", ", ".join(task.channels)),
        (
            "Labels",
            ", ".join(task.foreground) + (", with an ignore label" if task.ignore is not None else ""),
        ),
        ("Axes of the store", store.orientation),
        ("Store", str(store.path)),
    ]
    return [("Name", task.name), *facts] if task.name else facts


def _geometry(cases: Sequence[StoredCase]) -> Table:
    shapes = np.array([case.native_shape for case in cases], dtype=float)
    spacings = np.array([case.grid.spacing for case in cases], dtype=float)
    kept = np.array([np.prod(case.grid.shape) for case in cases]) / shapes.prod(1)
    rows: list[list[str | float | None]] = []
    for title, values, form in (
        ("shape (voxels)", shapes, "{:.0f}"),
        ("voxel size (mm)", spacings, "{:.4g}"),
        ("extent (mm)", shapes * spacings, "{:.0f}"),
    ):
        for axis, letter in enumerate("zyx"):
            quantiles = np.quantile(values[:, axis], (0, 0.25, 0.5, 0.75, 1))
            rows.append([f"{title}, {letter}", *(form.format(one) for one in quantiles)])
    rows.append(["kept by the crop", *(f"{one:.0%}" for one in np.quantile(kept, (0, 0.25, 0.5, 0.75, 1)))])
    return Table("Geometry over all cases", ["", "least", "25 %", "median", "75 %", "most"], rows)


def _sizes(cases: Sequence[StoredCase]) -> list[Part]:
    extents = [np.multiply(case.native_shape, case.grid.spacing) for case in cases]
    ratio: list[float] = [max(case.grid.spacing) / min(case.grid.spacing) for case in cases]
    if max(ratio) / min(ratio) < ALIKE:
        return []
    volume = [float(np.prod(extent)) / MILLILITRE for extent in extents]
    titles = ("image volume (ml)", "longest side of a voxel to its shortest")
    return [
        Chart(
            "How large and how anisotropic each image is",
            draw_points(volume, ratio, [c.name for c in cases], titles),
        )
    ]


def _case_table(store: CaseStore, cases: Sequence[StoredCase]) -> Table:
    names = list(store.task.foreground)
    rows = []
    for case in cases[:ROWS]:
        known = [name for name in names if case.labelled and annotates(case, name)]
        volumes = [_volume(store, case, name) if name in known else None for name in names]
        shape, spacing = (
            " × ".join(map(str, case.native_shape)),
            " × ".join(f"{mm:.3g}" for mm in case.grid.spacing),
        )
        rows.append([case.name, case.group, case.split or "", shape, spacing, case.dtype, *volumes])
    more = f" (the first {ROWS} of {len(cases)})" if len(cases) > ROWS else ""
    heads = [
        "case",
        "patient",
        "split",
        "voxels (z, y, x)",
        "size (mm)",
        "type",
        *(f"{name} (ml)" for name in names),
    ]
    return Table(f"Cases{more}", heads, rows)


def _volume(store: CaseStore, case: StoredCase, name: str) -> float:
    voxels = sum(case.voxels.get(value, 0) for value in store.task.foreground[name])
    return float(voxels * np.prod(case.grid.spacing) / MILLILITRE)


def _labels(store: CaseStore, cases: Sequence[StoredCase]) -> list[Part]:
    task = store.task
    labelled = [case for case in cases if case.labelled]
    if not labelled:
        return [Text("No case has a label.")]
    scores, rows = [], []
    for place, (name, values) in enumerate(task.foreground.items(), 1):
        known = [case for case in labelled if annotates(case, name)]
        volumes = [_volume(store, case, name) for case in known]
        present = [volume for volume in volumes if volume > 0]
        colour = label_colour(place if task.has_regions else values[0])
        found = [volume if volume > 0 else float("nan") for volume in volumes]
        scores.append(Scores(name, [case.name for case in known], found, colour))
        middle = float(np.median(present)) if present else None
        spread = [min(present), middle, max(present)] if present else [None] * 3
        integers = list_integers(task.in_files.foreground[name])
        rows.append([name, integers, len(present), len(known) - len(present), *spread])
    heads = ["label", "integers", "cases with it", "without it", "least (ml)", "median (ml)", "most (ml)"]
    chart = draw_scores(scores, "volume (ml)", height=420)
    return [
        Table("Labels", heads, rows),
        Chart("Volume of each label, a point for each case that has it", chart),
    ]


def _intensities(store: CaseStore, cases: Sequence[StoredCase]) -> list[Part]:
    chosen = spread(cases, SAMPLED)
    found, faults = [], []
    for case in chosen:
        try:
            found.append(store.statistics(case.name))
        except StoreError as error:
            faults.append(str(error))
    parts: list[Part] = [Items(faults)] if faults else []
    if not found:
        return parts
    for number, channel in enumerate(store.task.channels):
        body = [one[number].body for one in found]
        inside = [one[number].foreground for one in found]
        labelled = [one for one in inside if one is not None]
        low = float(np.median([one.quantile(0.002) for one in body]))
        high = float(np.median([one.quantile(0.998) for one in body]))
        high = high if high > low else low + 1.0
        edges = bin_edges(body, low, high)
        middles = ((edges[1:] + edges[:-1]) / 2).tolist()
        curves = [Curve("all voxels of the body", middles, bin_shares(body, edges), "#1f5fbf")]
        if labelled:
            curves.append(Curve("labelled voxels", middles, bin_shares(labelled, edges), "#d1495b"))
        figure = draw_curves(curves, "intensity", "share of the voxels", height=300)
        parts.append(
            Chart(f"Channel {channel}: mean over {len(found)} cases of each one's histogram", figure)
        )
    return parts


def _odd(store: CaseStore, cases: Sequence[StoredCase]) -> list[Part]:
    """List what was told when the store was made, and cases unlike the others."""
    lines = []
    for case in cases:
        described: dict[str, Any] = store.describe(case.name)
        lines += [f"{case.name}: {text}" for text in described.get("warnings", ())]
    lines += [*describe_copies(store), *find_unlike(cases)]
    unlabelled = [case.name for case in cases if not case.labelled]
    if unlabelled:
        lines.append(f"{len(unlabelled)} cases have no label: {name_some(unlabelled)}")
    if not lines:
        return [Text("Nothing: no remark was made when the cases were prepared, and all are alike in size.")]
    more = [f"... and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return [Items([*lines[:LISTED], *more])]


def _look(store: CaseStore, cases: Sequence[StoredCase], most: int) -> list[Part]:
    pictures, faults = [], []
    for case in spread(cases, most):
        try:
            pictures.append(thumbnail(store, case.name, store_directions(store, case.name)))
        except StoreError as error:
            faults.append(str(error))
    of = (
        f"{len(pictures)} of {len(cases)} cases, evenly chosen" if len(cases) > len(pictures) else "all cases"
    )
    title = f"Planes through the centre of the labels: {of}"
    parts: list[Part] = [label_legend(store), Gallery(title, pictures)]
    return [*parts, Items(faults)] if faults else parts


def label_legend(store: CaseStore) -> Legend:
    """Give names and colours of a store's labels.

    Args:
        store: Whose task names the labels.
    """
    if store.task.overlap is not None:
        return Legend([(name, label_colour(number)) for number, name in enumerate(store.task.foreground, 1)])
    names = [(value, name) for name, values in store.task.foreground.items() for value in values]
    if store.task.has_regions:  # voxels hold the parts that regions are made of
        parts = sorted({value for value, _ in names})
        names = [(value, " + ".join(name for part, name in names if part == value)) for value in parts]
    return Legend([(name, label_colour(value)) for value, name in names])


def spread(cases: Sequence[StoredCase], most: int) -> list[StoredCase]:
    """Choose at most so many cases, evenly.

    Args:
        cases: In the order in which they are shown.
        most: At least 1.

    >>> spread(list(range(10)), 4)
    [0, 3, 6, 9]
    """
    if len(cases) <= most:
        return list(cases)
    return [
        cases[index]
        for index in sorted(set(np.linspace(0, len(cases) - 1, most).round().astype(int).tolist()))
    ]
