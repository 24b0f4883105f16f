"""What a preparation found, as a record and as a table that people read."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ingradient_pl.datasets.groups import describe_groups
from ingradient_pl.datasets.records import Fault, Source
from ingradient_pl.datasets.split_columns import describe_column_faults
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.short_repr import short_repr
from ingradient_pl.store.annotation import annotates
from ingradient_pl.store.odd_cases import describe_lost_spacing, describe_patients_alike, describe_task

SHOWN = 20
FEW = 3
"""Warnings of a kind that come before the rest."""


class CaseRecord(NamedTuple):
    """What became of a case.

    Args:
        name: Of the case.
        outcome: ``done``, ``skipped`` (unchanged since) or ``rebuilt`` (its files changed).
        group: The patient.
        shape: Voxels (z, y, x).
        cropped: Voxels (z, y, x) of its content.
        spacing: In mm (z, y, x).
        dtype: Of the image.
        labelled: Whether there is a label.
        voxels: Of each foreground integer.
        size: Bytes in the store.
        warnings: What a user should look at.
        annotated: Names of the labels that were annotated; None where all were.
    """

    name: str
    outcome: str
    group: str
    shape: tuple[int, ...]
    cropped: tuple[int, ...]
    spacing: tuple[float, ...]
    dtype: str
    labelled: bool
    voxels: dict[int, int]
    size: int
    warnings: tuple[str, ...]
    annotated: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        return short_repr(self)


class Summary(NamedTuple):
    """What a preparation found and did.

    Args:
        name: Of the data set.
        cases: Every case in order.
        faults: Every case that could not be prepared, and why.
        warnings: What a user should look at.
        classes: Name of each foreground label -> (integers, cases that have it, voxels over all cases), of
            the cases that annotate it.
        kept: Faulty cases that the store holds as they were prepared before.
    """

    name: str
    cases: tuple[CaseRecord, ...]
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    classes: dict[str, tuple[tuple[int, ...], int, int]]
    kept: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def of(
        cls,
        source: Source,
        cases: Sequence[CaseRecord],
        faults: Sequence[Fault],
        strangers: Sequence[str] = (),
        kept: Sequence[str] = (),
        odd: Sequence[str] = (),
    ) -> "Summary":
        """Put together what was found.

        Args:
            source: The data set.
            cases: What became of each case.
            faults: What is wrong with the others.
            strangers: Cases in the store that the source does not have.
            kept: Faulty cases that the store holds as they were prepared before.
            odd: What is odd about several cases together, a sentence each.
        """
        warnings = [*source.remarks, *odd, *describe_task(source.task)]
        warnings += describe_patients_alike({case.name: case.group for case in source.cases})
        warnings += describe_lost_spacing({case.name: case.spacing for case in cases})
        warnings += [f"{case.name}: {text}" for case in cases for text in case.warnings]
        warnings += describe_column_faults(
            {case.name: case.split for case in source.cases}, {case.name: case.group for case in source.cases}
        )
        if kept:
            warnings.append(
                f"{len(kept)} of the faulty cases stay in the store as they were prepared before: "
                f"{name_some(kept)}. Delete their folders if they are wanted no more."
            )
        if strangers:
            warnings.append(
                f"Not in the source, {say_count(len(strangers), 'case')} in the store: "
                f"{name_some(strangers)}. Delete their folders if they are wanted no more."
            )
        classes = {}
        in_files = source.task.in_files.foreground
        for name, integers in source.task.foreground.items():
            told = [case.voxels for case in cases if annotates(case, name)]
            counts = [sum(voxels.get(value, 0) for value in integers) for voxels in told]
            classes[name] = (
                in_files[name],
                sum(count > 0 for count in counts),
                sum(counts),
            )
        warnings += _describe_absent(classes, labelled=sum(case.labelled for case in cases))
        return cls(source.task.name, tuple(cases), tuple(faults), tuple(warnings), classes, tuple(kept))

    @property
    def outcomes(self) -> Counter[str]:
        """How many cases were ``done``, ``skipped`` or ``rebuilt``."""
        return Counter(case.outcome for case in self.cases)

    @property
    def size(self) -> int:
        """Bytes of voxels in the store."""
        return sum(case.size for case in self.cases)

    def __str__(self) -> str:
        if not self.faults:
            return self.describe_cases()
        place = "" if self.kept else ", not in the store"
        head = f"{say_count(len(self.faults), 'faulty case')}{place}:"
        return "\n".join([self.describe_cases(), "", head, *(f"  {fault}" for fault in self.faults)])

    def describe_cases(self) -> str:
        """Say what is in the store and what to look at, as a table; not what could not be prepared."""
        lines = [f"{self.name}: {say_count(len(self.cases), 'case')} in the store{self._outcomes()}"]
        if self.cases:
            lines += [f"  {title:<14}{text}" for title, text in self._figures()]
            lines += ["", *self._classes()]
        lines += _list_warnings(self.warnings)
        return "\n".join(lines)

    def _outcomes(self) -> str:
        names = {
            "done": "new",
            "skipped": "unchanged",
            "rebuilt": "rebuilt, their files or the format had changed",
        }
        return "".join(f", {count} {names[outcome]}" for outcome, count in sorted(self.outcomes.items()))

    def _figures(self) -> list[tuple[str, str]]:
        dtypes = Counter(case.dtype for case in self.cases)
        kept = [np.prod(case.cropped) / np.prod(case.shape) for case in self.cases]
        figures = [
            ("patients", describe_groups({case.name: case.group for case in self.cases})),
            ("shape", _range([case.shape for case in self.cases], "voxels", "{:.0f}")),
            ("spacing", _range([case.spacing for case in self.cases], "mm", "{:.4g}")),
            ("content", f"{np.median(kept):.0%} of the voxels are kept by the crop (median)"),
            ("data type", ", ".join(f"{dtype} ({count})" for dtype, count in dtypes.most_common())),
            ("on disk", f"{self.size / 1e6:.1f} MB"),
        ]
        unlabelled = sum(not case.labelled for case in self.cases)
        figures += [("unlabelled", say_count(unlabelled, "case"))] if unlabelled else []
        partly = [case for case in self.cases if case.labelled and case.annotated is not None]
        if partly:
            text = (
                f"{len(partly)} of {len(self.cases) - unlabelled} labelled cases annotate some labels only: "
            )
            counts = Counter(name for case in partly for name in case.annotated or ())
            figures.append(("annotated", text + ", ".join(f"{name} {counts[name]}" for name in self.classes)))
        return figures

    def _classes(self) -> list[str]:
        width = max(map(len, self.classes), default=0)
        rows = [f"  {'label':<{width}}  {'integers':>10}  {'cases':>6}  {'voxels':>12}"]
        for name, (integers, cases, voxels) in self.classes.items():
            listed = list_integers(integers)
            rows.append(f"  {name:<{width}}  {listed:>10}  {cases:>6}  {voxels:>12,}")
        return rows


def list_integers(integers: Sequence[int], most: int = 8) -> str:
    """List the integers of a label; of many (combinations that overlap) the first.

    Args:
        integers: Ascending.
        most: How many are listed.

    >>> list_integers([1, 4, 6]), list_integers(range(1, 100), 2)
    ('1, 4, 6', '1, 2, ... (99)')
    """
    text = ", ".join(map(str, integers[:most]))
    return text if len(integers) <= most else f"{text}, ... ({len(integers)})"


def _describe_absent(classes: Mapping[str, tuple[tuple[int, ...], int, int]], *, labelled: int) -> list[str]:
    """Say which labels no case has."""
    return [
        f"no case has the label '{name}' ({list_integers(integers)}): it cannot be learnt."
        for name, (integers, cases, _) in classes.items()
        if labelled and not cases
    ]


def _range(rows: Iterable[Sequence[float]], unit: str, form: str) -> str:
    table = np.array(list(rows), dtype=np.float64)
    low, middle, high = (
        " x ".join(form.format(value) for value in row)
        for row in (table.min(0), np.median(table, 0), table.max(0))
    )
    if low == high:
        return f"{middle} {unit} (z, y, x)"
    return f"{middle} {unit} (z, y, x; median), from {low} to {high}"


def _rarest_first(texts: Sequence[str]) -> list[str]:
    """Put what few say before what all say, so that no kind of warning hides behind another's number."""
    kinds = [re.sub(r"\S*[\d/]\S*", "", text) for text in texts]  # without paths, names and numbers
    counts = Counter(kinds)
    seen: Counter[str] = Counter()
    places = []
    for kind in kinds:
        places.append((seen[kind] >= FEW, counts[kind] if seen[kind] >= FEW else 0))
        seen[kind] += 1
    return [text for _, text in sorted(zip(places, texts, strict=True), key=lambda entry: entry[0])]


def _list_warnings(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    more = [f"  ... and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    shown = _rarest_first(texts)[:SHOWN]
    return ["", f"{say_count(len(texts), 'warning')}:", *(f"  {text}" for text in shown), *more]
