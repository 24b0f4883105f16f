"""What a report says about folds: a cross-validation's configurations and pairs, a cascade's two stages."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingradient_pl.lightning.run_files import CASCADE, CROSSVAL, SWEEP_TABLE, find_kind, read_folds_state
from ingradient_pl.metrics.comparison import MEAN
from ingradient_pl.metrics.evaluation_report import mean_of
from ingradient_pl.reports.charts import Scores, draw_scores, label_colour
from ingradient_pl.reports.evaluations import HEADLINE, WORST, describe_evaluation
from ingradient_pl.reports.page import ReportError
from ingradient_pl.reports.parts import Chart, Facts, Items, Part, Section, Table, Text
from ingradient_pl.reports.plan_words import plan_in_words, read_plain_plan
from ingradient_pl.reports.runs import describe_run, find_part
from ingradient_pl.reports.summaries import SUMMARY, Summary, read_summary
from ingradient_pl.reports.sweeps import describe_curves
from ingradient_pl.reports.swept_runs import read_sweep_table

STAGES = ("first", "second")
"""Folders of a cascade's stages; a plan lies beside each."""
PAIRS, TOGETHER = "ensembles", "+"
LABELS = 24
"""Labels that have a column, at most."""


def describe_crossval(folder: Path, images: Path | None = None, worst: int = WORST) -> list[Section]:
    """Describe a cross-validation: configurations and pairs with intervals, folds, curves, the best's cases.

    Args:
        folder: Of the cross-validation.
        images: Data set or store with the cases' images; None looks where the references are.
        worst: How many of the worst cases can be scrolled through.

    Raises:
        ReportError: If its state is damaged.
    """
    state = read_folds_state(folder / CROSSVAL)
    summary = find_part(state, "summary")
    candidates, best = find_part(summary, "candidates"), summary.get("best")
    facts = [
        ("Best", str(best or "none yet")),
        ("Store", str(find_part(state, "store").get("path", "?"))),
        ("Cases", str(find_part(state, "store").get("cases", "?"))),
        (
            "Told",
            " ".join(f"{key}={value}" for key, value in find_part(state, "settings").items()) or "nothing",
        ),
        ("Folder", str(folder)),
    ]
    parts: list[Part] = [Facts(facts)]
    if candidates:
        parts.append(_candidate_table(candidates, best, find_part(summary, "postprocessed")))
    found = {name: _summary_of(folder, str(name)) for name in candidates}
    compared = {name: one for name, one in found.items() if one is not None}
    if compared:
        parts.append(
            Chart(
                "Mean Dice of each held-out case; the diamond is the mean, with its 95 % interval",
                draw_scores([_scores(name, one, candidates) for name, one in compared.items()], HEADLINE),
            )
        )
    failures = [f"{name}: {why}" for name, why in find_part(summary, "failures").items()]
    if failures:
        parts += [Text("Folds that failed; the same line again tries them."), Items(failures)]
    sections = [Section("Cross-validation", parts), Section("Folds", _folds(folder, state))]
    chosen = compared.get(str(best))
    if chosen is not None:
        scored = describe_evaluation(chosen, images, worst)
        sections += [one._replace(title=f"{one.title}: {best}") for one in scored]
    return sections


def describe_cascade(folder: Path) -> list[Section]:
    """Describe a cascade: the plan and the folds of its first stage, and the run of its second.

    Args:
        folder: Of the cascade.

    Raises:
        ReportError: If its state is damaged.
    """
    state = read_folds_state(folder / CASCADE)
    first, second = (folder / stage for stage in STAGES)
    divided = state.get("folds of the first stage")
    facts = [
        ("Store", str(state.get("store", "?"))),
        ("Folds of the first stage", str(len(divided) if isinstance(divided, list) else "?")),
        ("Folder", str(folder)),
    ]
    parts: list[Part] = [Facts(facts)]
    for stage in STAGES:
        words = plan_in_words(read_plain_plan(folder / f"{stage}.yaml"))
        if words:
            parts += [Text(f"The {stage} stage:"), Items(words)]
    sections = [Section("Cascade", parts)]
    if find_kind(first) == "sweep":
        sections.append(Section("Folds of the first stage", _fold_table(first)))
    if find_kind(second) == "run":
        described = describe_run(second)
        sections += [one._replace(title=f"{one.title}: second stage") for one in described]
    else:
        sections.append(Section("Second stage", [Text("It has not begun.")]))
    return sections


def store_of_state(folder: Path) -> Path | None:
    """Give the store of a cross-validation or cascade, where it is still there.

    Args:
        folder: Of either.
    """
    file = folder / (CROSSVAL if (folder / CROSSVAL).is_file() else CASCADE)
    told = read_folds_state(file).get("store")
    path = told.get("path") if isinstance(told, Mapping) else told
    return Path(path) if isinstance(path, str) and Path(path).is_dir() else None


def _candidate_table(candidates: Mapping[str, Any], best: Any, postprocessed: Mapping[str, Any]) -> Table:
    """Give a row for each configuration and pair, the best first, and one for the best's post-processing."""
    entries = [(str(name), one) for name, one in candidates.items() if isinstance(one, Mapping)]
    every = dict.fromkeys(str(label) for _, one in entries for label in find_part(one, "Dice"))
    labels = [label for label in every if label != MEAN]
    rows = sorted(entries, key=lambda entry: (entry[0] != best, -_number(entry[1], MEAN, "mean", -1.0)))
    if postprocessed:
        rows.insert(1, (f"{best}, post-processed", postprocessed))
    cells: list[list[str | float | None]] = [
        [name, _count(one.get("cases")), _count(one.get("patients"))]
        + [_number(one, MEAN, end) for end in ("mean", "low", "high")]
        + [_interval(one, label) for label in labels[:LABELS]]
        for name, one in rows
    ]
    heads = ["configuration", "cases", "patients", MEAN, "95 % low", "95 % high", *labels[:LABELS]]
    more = f" (the first {LABELS} of {len(labels)} labels)" if len(labels) > LABELS else ""
    title = f"Mean Dice of held-out cases [95 % interval over patients], the best first{more}"
    return Table(title, heads, cells)


def _interval(candidate: Mapping[str, Any], label: str) -> str | None:
    mean, low, high = (_number(candidate, label, end) for end in ("mean", "low", "high"))
    return None if math.isnan(mean) else f"{mean:.4f} [{low:.4f}, {high:.4f}]"


def _number(candidate: Any, label: str, name: str, otherwise: float = math.nan) -> float:
    dice = find_part(find_part(candidate, "Dice"), label) if isinstance(candidate, Mapping) else {}
    value = dice.get(name)
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else otherwise


def _count(value: Any) -> float | None:
    return value if isinstance(value, int) else None


def _summary_of(folder: Path, name: str) -> Summary | None:
    """Read the scores of a configuration or pair; None where they are not there."""
    place = folder / PAIRS / name if TOGETHER in name else folder / name
    try:
        return read_summary(place) if (place / SUMMARY).is_file() else None
    except ReportError:  # one that was damaged takes nothing from the others
        return None


def _scores(name: str, summary: Summary, candidates: Mapping[str, Any]) -> Scores:
    """Give the mean over labels of each case."""
    means = [
        mean_of(scores.get(HEADLINE, math.nan) for scores in labels.values())
        for labels in summary.cases.values()
    ]
    mean, low, high = (_number(candidates[name], MEAN, end) for end in ("mean", "low", "high"))
    colour = label_colour(1 + list(candidates).index(name))
    return Scores(name, list(summary.cases), means, colour, mean, low, high)


def _folds(folder: Path, state: Mapping[str, Any]) -> list[Part]:
    rows: list[list[str | float | None]] = [
        [str(name), str(number), str(how)]
        for name, one in find_part(state, "configurations").items()
        if isinstance(one, Mapping)
        for number, how in find_part(one, "folds").items()
    ]
    parts: list[Part] = [Table("How far each fold is", ["configuration", "fold", "state"], rows)]
    return [*parts, *_fold_curves(folder)]


def _fold_table(folder: Path) -> list[Part]:
    runs, score = read_sweep_table(folder)
    rows: list[list[str | float | None]] = [[run.folder, run.score] for run in runs]
    return [Table("Runs, the best first", ["run", score], rows), *describe_curves(folder, runs)]


def _fold_curves(folder: Path) -> list[Part]:
    """Give the curves of all runs, where some have a table."""
    if not (folder / SWEEP_TABLE).is_file():
        return []
    try:
        runs = read_sweep_table(folder)[0]
        return describe_curves(folder, [run._replace(told={}) for run in runs])  # their folders say it
    except ReportError:
        return []
