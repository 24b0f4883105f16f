"""From the files of a data set to a case store, once: crop to content, measure, compress, case by case."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from ingradient_pl import __version__
from ingradient_pl.datasets.case_names import check_cases
from ingradient_pl.datasets.records import CaseFiles, Fault, Source
from ingradient_pl.files import FULL, remove_folder, replace_file, write_folder
from ingradient_pl.images.frame import check_orientation
from ingradient_pl.machine import default_case_workers
from ingradient_pl.store import metadata
from ingradient_pl.store.combinations import number_combinations
from ingradient_pl.store.metadata import CASE, CASES, DATASET, FORMAT, StoreError
from ingradient_pl.store.odd_cases import describe_stored
from ingradient_pl.store.prepare_case import prepare_case
from ingradient_pl.store.source_stamp import stamp_file
from ingradient_pl.store.summary import CaseRecord, Summary
from ingradient_pl.task import Task
from ingradient_pl.unfinished import remove_leftovers
from ingradient_pl.workers.threads import Threads, Workers

DONE, SKIPPED, REBUILT = "done", "skipped", "rebuilt"


class _Settings(NamedTuple):
    """What every case of a run is prepared with."""

    task: Task
    store: Path
    orientation: str


def build_store(
    source: Source,
    store: Path,
    workers: int | None = None,
    progress: bool = True,  # noqa: FBT001
    orientation: str = "LPS",
    pool: Workers | None = None,
) -> Summary:
    """Write the cases of a data set into a case store, or what is missing of them.

    A case appears whole or not at all; one whose files did not change since is not made again. A case that
    cannot be read is reported and does not hold up the others; what the store holds of it stays, for its
    files may be back tomorrow.

    Args:
        source: The data set, from :func:`ingradient_pl.datasets.sources.read_source`.
        store: The store's folder; it is made.
        workers: Cases prepared at a time; where None as many as the machine has cores, and memory for.
        progress: Whether to show a bar.
        orientation: Patient directions that all cases' axes are brought to, or ``stored``.
        pool: Who prepares cases: workers of a cluster, say; threads of this process where None.

    Returns:
        What was found; print it with ``str``.

    Raises:
        StoreError: If the folder holds another data set or a newer store, or the disk is full.
        SourceError: If the labels cannot mean what they say, or overlap in too many combinations.
    """
    source.check_meaning()
    store, source = Path(store), check_cases(source._replace(task=source.task.consecutive()))
    check_orientation(orientation)
    pool = Threads(workers or default_case_workers()) if pool is None else pool
    source = number_combinations(source, store, pool)
    settings = _Settings(source.task, store, orientation)
    _describe(source, settings)
    remove_leftovers(store / CASES)
    records: list[CaseRecord] = []
    faults = list(source.faults)
    bar = tqdm(
        total=len(source.cases),
        desc="prepare",
        unit="case",
        disable=None if progress else True,
        dynamic_ncols=True,
    )
    with bar:
        for _, outcome in pool.map(partial(_build_case, settings=settings), source.cases):
            bar.update()
            if isinstance(outcome, Fault):
                faults.append(outcome)
                bar.set_postfix_str(f"{len(faults)} faulty")
            else:
                records.append(outcome)
    held = metadata.read_case_names(store)
    known = {case.name for case in source.cases}
    kept = sorted({fault.case for fault in faults} & set(held))
    strangers = [name for name in held if name not in known and name not in kept]
    return Summary.of(source, sorted(records), sorted(faults), strangers, kept, describe_stored(store))


def _describe(source: Source, settings: _Settings) -> None:
    """Write the store's description, or hold the one that is there against it."""
    plain = {
        "store_format": FORMAT,
        "written_by": f"ingradient_pl {__version__}",
        "source": str(source.path.resolve()),
        "orientation": settings.orientation,
        "task": plain_task(source.task),
    }
    try:
        if (settings.store / DATASET).exists():
            _check_same_settings(settings, metadata.read_dataset(settings.store))
        if (settings.store / CASES).is_symlink():
            raise StoreError(
                f"{settings.store / CASES} is a link that leads out of the store. Remove the link."
            )
        (settings.store / CASES).mkdir(parents=True, exist_ok=True)
        content = metadata.encode(plain)
        if not (settings.store / DATASET).exists() or (settings.store / DATASET).read_bytes() != content:
            replace_file(settings.store / DATASET, content)
    except OSError as error:
        raise StoreError(
            f"{settings.store}: the store cannot be written ({error.strerror}: {error.filename}). "
            "Choose a folder you may write to, on a disk with free space."
        ) from error


def _check_same_settings(settings: _Settings, held: dict[str, Any]) -> None:
    there, wanted = metadata.parse_task(held["task"], settings.store), settings.task
    if there.channels != wanted.channels and metadata.read_case_names(settings.store):
        raise StoreError(
            f"{settings.store} holds a data set with the channels {list(there.channels)}; the source has "
            f"{list(wanted.channels)}. Choose another folder, or delete this one."
        )
    if held["orientation"] != settings.orientation and metadata.read_case_names(settings.store):
        raise StoreError(
            f"{settings.store} holds cases in the orientation {held['orientation']}, not "
            f"{settings.orientation}. Choose another folder, or delete this one."
        )


def plain_task(task: Task) -> dict[str, Any]:
    """Give a task as plain values for JSON.

    Args:
        task: Numbered as the store's voxels are.
    """
    return {
        "channels": list(task.channels),
        "labels": dict(task.labels),
        "regions_class_order": task.regions_class_order,
        "name": task.name,
        "file_ending": task.file_ending,
        "notes": dict(task.notes),
        **({} if task.integers is None else {"integers": list(task.integers)}),
        **({} if task.overlap is None else {"overlap": {n: dict(held) for n, held in task.overlap.items()}}),
    }


def _build_case(case: CaseFiles, settings: _Settings) -> CaseRecord | Fault:
    folder = settings.store / CASES / case.name
    held = _read_entry(folder)
    try:
        origin = _origin(case, settings)
        if held is not None and held["made_from"] == origin:
            with _writing(case, settings):
                return _record(_update_group(held, case, folder), SKIPPED)
        made = prepare_case(case, settings.task, settings.orientation)
    except Exception as error:  # noqa: BLE001 - a damaged file fails in many ways: one case, not the run
        if held is not None and not _fits(held, settings):
            remove_folder(folder)
        return _fault(case, error)
    with _writing(case, settings):
        described = metadata.encode({**made.described, "made_from": origin})
        write_folder(folder, {**made.files, CASE: described})
    return _record(made.described, REBUILT if held is not None else DONE)


def _fits(held: dict[str, Any], settings: _Settings) -> bool:
    """Whether a stored case is whole and was made for the store's task: files apart, it would be kept."""
    made_from = held["made_from"] or {}
    wanted = _common_settings(settings)
    return bool({key: made_from.get(key) for key in wanted} == json.loads(json.dumps(wanted)))


def _fault(case: CaseFiles, error: Exception) -> Fault:
    files = case.files
    if isinstance(error, OSError):
        return Fault(case.name, Path(error.filename or files[0]), f"{error.strerror or error}.")
    message = str(error)
    if isinstance(error, MemoryError):
        message = f"it does not fit into memory ({message or 'MemoryError'}). Prepare with fewer --workers."
    elif not isinstance(error, (ValueError, RuntimeError)):
        message = f"it cannot be read ({type(error).__name__}: {message}). Save or copy it again."
    return Fault(
        case.name, next((file for file in files if message.startswith(f"{file}:")), files[0]), message
    )


@contextmanager
def _writing(case: CaseFiles, settings: _Settings) -> Iterator[None]:
    """What keeps one case from being written keeps all: it ends the run."""
    try:
        yield
    except OSError as error:
        told = f"cannot be written to ({error.strerror or error})"
        if error.errno in FULL:
            told = "is full"
        raise StoreError(
            f"Case '{case.name}': the disk of {settings.store} {told}. Nothing half-written is left; "
            "make room or choose another folder, and prepare again: what is done is kept."
        ) from error


def _origin(case: CaseFiles, settings: _Settings) -> dict[str, Any]:
    """What a prepared case depends on: where this differs, it is made again."""
    plain = {
        "files": [[file.name, *stamp_file(file)] for file in case.files],
        "label": case.label is not None,
        **({} if not case.masks else {"masks": [list(mask[:2] + mask[3:]) for mask in case.masks]}),
        **({} if not case.labels else {"labels": dict(case.labels)}),
        **({} if case.spacing is None else {"spacing": list(case.spacing)}),
        **({} if case.annotated is None else {"annotated": list(case.annotated)}),
        **_common_settings(settings),
    }
    return dict(json.loads(json.dumps(plain)))  # as it will be read: tuples are lists


def _common_settings(settings: _Settings) -> dict[str, Any]:
    """What all cases of a store have in common."""
    return {
        "store_format": FORMAT,
        "orientation": settings.orientation,
        "channels": len(settings.task.channels),
        "values": list(settings.task.values),
        "ignore": settings.task.ignore,
        **({} if settings.task.integers is None else {"integers": list(settings.task.integers)}),
        **({} if settings.task.overlap is None else {"labels": dict(settings.task.foreground)}),
    }


def _read_entry(folder: Path) -> dict[str, Any] | None:
    if folder.is_symlink() or not folder.is_dir():  # nothing is written through a link: it is replaced
        return None
    try:
        held = metadata.read_description(folder)
        sizes = {metadata.ARRAYS[kind]: size for kind, size in held["bytes"].items()}
        whole = all((folder / name).stat().st_size == size for name, size in sizes.items())
        _record(held, SKIPPED)
        return held if whole and (folder / metadata.NUMBERS).exists() else {"made_from": None}
    except (StoreError, OSError, KeyError, TypeError, AttributeError, ValueError):
        return {"made_from": None}  # damaged: made again


def _update_group(held: dict[str, Any], case: CaseFiles, folder: Path) -> dict[str, Any]:
    """Patient and split may change without any file doing so."""
    if (held["group"], held["split"]) != (case.group, case.split):
        held |= {"group": case.group, "split": case.split}
        replace_file(folder / CASE, metadata.encode(held))
    return held


def _record(described: dict[str, Any], outcome: str) -> CaseRecord:
    return CaseRecord(
        name=described["name"],
        outcome=outcome,
        group=described["group"],
        shape=tuple(described["native"]["turned_shape"]),
        cropped=tuple(described["shape"]),
        spacing=tuple(described["spacing"]),
        dtype=described["dtype"],
        labelled=described["labelled"],
        voxels={int(value): count for value, count in described["voxels"].items()},
        size=sum(described["bytes"].values()),
        warnings=tuple(described["warnings"]),
        annotated=None if described.get("annotated") is None else tuple(described["annotated"]),
    )
