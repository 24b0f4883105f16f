"""``ingradient report``: a store, run, sweep, evaluation, ... -> one page of HTML that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path

from ingradient_pl.commands.inputs import AnyPath, AnyStore
from ingradient_pl.files import replace_file
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.lightning.run_files import find_kind
from ingradient_pl.messages import check_range, say
from ingradient_pl.reports.crossvals import (
    describe_cascade,
    describe_crossval,
    store_of_state,
)
from ingradient_pl.reports.data_set import THUMBNAILS, describe_data_set
from ingradient_pl.reports.evaluations import WORST, describe_evaluation
from ingradient_pl.reports.page import check_extra, render_page
from ingradient_pl.reports.parts import Section
from ingradient_pl.reports.runs import describe_run, stores_of_run
from ingradient_pl.reports.summaries import SUMMARY, read_summary
from ingradient_pl.reports.sweeps import describe_sweep
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.metadata import is_store

MEGA = 1e6
MOST_CASES = 10_000
DESCRIBED = ("case store", "run", "sweep", "cross-validation", "cascade", "evaluation")


def report(
    path: AnyStore,
    output: AnyPath = "report.html",
    evaluation: AnyPath | None = None,
    images: AnyPath | None = None,
    worst: int = WORST,
) -> Path:
    """Make a page of a case store, a run, a sweep, a cross-validation, a cascade or an evaluation.

    It has charts, tables and slices of cases to scroll through, with maps of uncertainty where there are any.

    The page holds all that it shows, pictures of patients included, and loads nothing from anywhere. Its size
    is bounded: of very many cases some are shown, evenly chosen, and the worst.

    Args:
        path: Folder of a store, a run, a sweep (or its runs.csv), a cross-validation or a cascade, or
            summary.json of an evaluation; a run's page describes its stores as well, where they are still
            there.
        output: HTML file to write.
        evaluation: summary.json of an evaluation that belongs to the run or store: its scores and worst cases
            come into the page.
        images: Data set, table or store with the images of evaluated cases; if not given, they are looked for
            beside the labels.
        worst: How many of the worst cases can be scrolled through, at least 0.

    Returns:
        The page.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If it is none of these.
        ReportError: If there is nothing to report yet.
        OutputError: If the page would replace a file that is read, or one of a data set.
        ImportError: If the extra 'report' is not installed.
    """
    check_extra()
    check_range("worst", worst, 0, MOST_CASES)
    path = path.path if isinstance(path, CaseStore) else Path(path)
    read = [path, *([] if evaluation is None else [Path(evaluation)])]
    check_report(output, [file for file in read if file.is_file()], (".html", ".htm"), b"<html")
    kind, sections = _describe(path, None if images is None else Path(images), worst)
    if evaluation is not None and kind != "evaluation":
        summary = read_summary(Path(evaluation))
        sections += describe_evaluation(summary, None if images is None else Path(images), worst)
    name = path.resolve().name
    page = render_page(f"{kind.capitalize()} {name}", str(path.absolute()), sections).encode()
    replace_file(Path(output), page)
    say(f"{output}: the {kind} {path}, {len(page) / MEGA:.1f} MB")
    return Path(output)


def _describe(path: Path, images: Path | None, worst: int) -> tuple[str, list[Section]]:
    """Find out what a path is, and describe it."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder. Check the path.")
    if path.is_dir() and is_store(path):
        return "case store", describe_data_set(CaseStore(path))
    kind = find_kind(path)
    if kind == "cross-validation":
        return kind, [*describe_crossval(path, images, worst), *_store_of(store_of_state(path))]
    if kind == "cascade":
        return kind, [*describe_cascade(path), *_store_of(store_of_state(path))]
    if kind == "sweep":
        return kind, describe_sweep(path)
    if kind == "run":
        return kind, [*describe_run(path), *_store_sections(stores_of_run(path))]
    if path.is_file() or (path / SUMMARY).is_file():
        return "evaluation", describe_evaluation(read_summary(path), images, worst)
    raise ValueError(
        f"{path} is none of what a report is made of: a {', '.join(DESCRIBED[:-1])} or {DESCRIBED[-1]} "
        f"(a folder with {SUMMARY}, which ingradient evaluate writes). Name one of these."
    )


def _store_of(path: Path | None) -> list[Section]:
    return [] if path is None else _store_sections({path.name: path})


def _store_sections(stores: Mapping[str, Path]) -> list[Section]:
    """Describe the stores that are still there; several share the pictures that one would have."""
    sections = []
    for name, path in stores.items():
        if not is_store(path):
            continue
        try:
            found = describe_data_set(CaseStore(path), max(1, THUMBNAILS // len(stores)))
        except StoreError:  # one that was damaged or written anew since takes nothing from the run's page
            continue
        if len(stores) > 1:
            found = [one._replace(title=f"{one.title}: {name}") for one in found]
        sections += found
    return sections
