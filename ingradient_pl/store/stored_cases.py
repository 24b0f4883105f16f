"""Cases of a store as whole volumes, on the grid their files had: what prediction takes from a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.case_names import check_cases
from ingradient_pl.datasets.records import CaseFiles, Fault, Source
from ingradient_pl.datasets.source_channels import describe_channels, order_channels
from ingradient_pl.images.formats import Volume, reorient
from ingradient_pl.images.frame import Frame, Reorientation
from ingradient_pl.images.raw_image import RawImage
from ingradient_pl.store import metadata
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.records import StoredCase
from ingradient_pl.store.store_union import case_endings
from ingradient_pl.task import Task


def stored_cases(path: Path | Sequence[Path], task: Task) -> Source:
    """List the cases of a store, or of several (``CASE@STORE``); the image of each is its folder.

    Args:
        path: The store's folder, or those of several.
        task: Of the model that is to read them.

    Raises:
        StoreError: If the store cannot be read.
        SourceError: If it is not clear which of its channels is which of the task's.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    found, faults, remarks = list[CaseFiles](), list[Fault](), list[str]()
    for store, ending in case_endings(paths).items():
        task_there, cases, wrong = _open_cases(store)
        order = order_channels(store, task_there.channels, task)
        for case in cases:
            folder = store / metadata.CASES / case.name
            label = folder / metadata.ARRAYS["label"] if case.labelled else None
            told = case.group, case.split
            made = CaseFiles(case.name + ending, (folder,), label, *told, annotated=case.annotated)
            found.append(made._replace(channels=order))
        faults += [fault._replace(case=fault.case + ending) for fault in wrong]
        remarks += describe_channels(store, task_there.channels, task)
    return check_cases(Source(task, found, tuple(faults), tuple(dict.fromkeys(remarks)), paths[0]))


def _open_cases(path: Path) -> tuple[Task, list[StoredCase], list[Fault]]:
    """Open a store; where a case's description is damaged, all others, and what is wrong with that one."""
    try:
        store = CaseStore(path)
        return store.task, list(store.cases.values()), []
    except StoreError:
        task = metadata.read_task(metadata.read_dataset(path)["task"], path)
    cases: list[StoredCase] = []
    faults = []
    for name in metadata.read_case_names(path):
        try:
            cases += CaseStore(path, names=[name]).cases.values()
        except StoreError as error:
            faults.append(Fault(name, path / metadata.CASES / name / metadata.CASE, str(error)))
    if not cases:
        raise StoreError(str(faults[0]) if faults else f"{path} holds no case.")
    return task, cases, faults


def stored_volume(folder: Path, orientation: str, kind: str = "image") -> Volume:
    """Read a case of a store as the files it was made from, with zeros where the store has cut them off.

    Args:
        folder: Of the case.
        orientation: As for :func:`ingradient_pl.images.formats.read_volume`.
        kind: ``image`` or ``label``, with the integers that its file had.

    Raises:
        StoreError: If it cannot be read.
    """
    store = CaseStore(folder.parents[1], names=[folder.name])
    case, native = store.cases[folder.name], store.describe(folder.name)["native"]
    voxels = store.read(case.name, case.grid.whole, body=False)
    part: NDArray[Any] = voxels.image if kind == "image" else _as_in_files(voxels.label[None], store.task)
    whole = np.zeros((len(part), *case.native_shape), part.dtype)
    cut = tuple(slice(at, at + count) for at, count in zip(case.start, case.grid.shape, strict=True))
    whole[(slice(None), *cut)] = part
    source = Reorientation(tuple(native["axes"]), tuple(native["flips"])).undo(whole)
    frame = Frame.of(native["spacing"], native["origin_mm"], native["direction"])
    return reorient(RawImage(folder, source, frame), orientation)


def _as_in_files(label: NDArray[Any], task: Task) -> NDArray[Any]:
    """Give a stored label the integers of the files it was made from."""
    if task.integers is None:
        return label
    integers: NDArray[Any] = np.array(task.integers, np.min_scalar_type(max(task.integers)))
    found: NDArray[Any] = integers[label]
    return found
