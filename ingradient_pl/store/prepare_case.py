"""One case from its files to the bytes that the store keeps of it."""

import io
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.geometry import Box
from ingradient_pl.images.formats import Volume
from ingradient_pl.images.packed_masks import number_masks
from ingradient_pl.images.raw_image import ImageError
from ingradient_pl.phrases import name_some
from ingradient_pl.store import measure_case as content
from ingradient_pl.store.chunks import pack
from ingradient_pl.store.combinations import read_combined
from ingradient_pl.store.metadata import ARRAYS, NUMBERS, coordinates_of
from ingradient_pl.store.odd_voxels import describe_voxels
from ingradient_pl.task import Task


class PreparedCase(NamedTuple):
    """A case ready to be written.

    Args:
        files: Content of each file by name.
        described: What is written about the case.
    """

    files: dict[str, bytes]
    described: dict[str, Any]


def prepare_case(case: CaseFiles, task: Task, orientation: str) -> PreparedCase:
    """Read a case, crop it to its content, measure and compress it.

    Args:
        case: Its files.
        task: Channels and labels that they must fit.
        orientation: Three letters such as ``LPS``, or ``stored``.

    Raises:
        ImageError: If its files cannot be read, do not fit each other or do not fit the task.
    """
    volume = case.read_image(orientation, task.channels)
    label, warnings = _label(case, task, orientation, volume)
    found = content.find_content(volume.voxels)
    if found is None:
        raise ImageError(f"{case.images[0]}: every voxel is zero. Is it the right file?")
    warnings += describe_voxels(case, volume.voxels, label, task.channels, volume.frame.spacing)
    image = np.ascontiguousarray(volume.voxels[(slice(None), *found.box.slices)])
    inside = None if label is None else np.ascontiguousarray(label[found.box.slices])
    foreground = content.Foreground({}, {})
    if label is not None and inside is not None:
        foreground = content.find_foreground(inside, task.ignore, case.name)
        warnings += _list_lost(case, label, inside, foreground)
    numbers = {
        "statistics": content.measure_intensities(image, found.body, inside, task.ignore),
        **_coordinates(foreground),
    }
    arrays = {"image": pack(image)}
    if inside is not None:
        arrays["label"] = pack(inside, plain=True)
    if found.body is not None:
        arrays["body"] = pack(found.body, plain=True)
    numbers |= {f"{kind}_sums": array.sums for kind, array in arrays.items()}
    files = {ARRAYS[kind]: array.content for kind, array in arrays.items()}
    described = {
        **_place(case, volume, found.box),
        "dtype": image.dtype.name,
        "whole": found.body is None,
        "labelled": label is not None,
        **({} if case.annotated is None else {"annotated": list(case.annotated)}),
        "voxels": foreground.voxels,
        "bytes": {kind: len(array.content) for kind, array in arrays.items()},
        "warnings": warnings,
    }
    return PreparedCase({**files, NUMBERS: _zip(numbers)}, described)


def _label(
    case: CaseFiles, task: Task, orientation: str, volume: Volume
) -> tuple[NDArray[Any] | None, list[str]]:
    warnings = list(volume.remarks)
    if case.label is None:
        return None, warnings
    if task.overlap is not None:
        return _number_masks(case, task, orientation, volume, warnings)
    read = case.read_label(orientation, volume)
    label = read.voxels[0]
    values = np.flatnonzero(content.count_labels(label)).tolist()
    known = task.in_files.values
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ImageError(
            f"{case.label}: it holds {name_some(unknown)}, which the task's labels do not name "
            f"({name_some(known)}). Name them in dataset.json, or correct the file."
        )
    warnings += [remark for remark in read.remarks if remark not in warnings]
    label, remarks = _clear_unannotated(case, _renumber(label, task), task)
    return label, warnings + remarks


def _number_masks(
    case: CaseFiles, task: Task, orientation: str, volume: Volume, warnings: list[str]
) -> tuple[NDArray[Any], list[str]]:
    """Give the integer of the combination of labels that lies in each voxel."""
    packed, remarks = read_combined(case, task, orientation, volume)
    label = number_masks(
        packed, {held: value for value, held in task.combinations.items()} | _ignore_combination(task)
    )
    return label.astype(np.min_scalar_type(max(task.values)), copy=False), [*warnings, *remarks]


def _ignore_combination(task: Task) -> dict[tuple[int, ...], int]:
    return {} if task.ignore is None else {(task.outputs + 1,): task.ignore}


def _clear_unannotated(case: CaseFiles, label: NDArray[Any], task: Task) -> tuple[NDArray[Any], list[str]]:
    """Make background of classes that the case does not name as annotated; regions say it by themselves."""
    if case.annotated is None or task.has_regions:
        return label, []
    others = {name: value for name, (value, *_) in task.foreground.items() if name not in case.annotated}
    found = {name: int(np.count_nonzero(label == value)) for name, value in others.items()}
    held = [f"{count} voxels of '{name}'" for name, count in found.items() if count]
    if not held:
        return label, []
    cleared = np.where(np.isin(label, list(others.values())), label.dtype.type(0), label)
    told = (
        f"{case.label}: it holds {', '.join(held)}, which it does not name as annotated: they are left out."
    )
    return cleared, [told]


def _renumber(label: NDArray[Any], task: Task) -> NDArray[Any]:
    """Give a label the numbers of the task, in a type that holds them all, whatever this case has of them."""
    dtype = np.min_scalar_type(max(task.values))
    if task.integers is None:
        return label.astype(dtype, copy=False)
    numbers: NDArray[Any] = np.zeros(max(task.integers) + 1, dtype)
    numbers[list(task.integers)] = np.arange(len(task.integers))
    numbered: NDArray[Any] = numbers[label]
    return numbered


def _list_lost(
    case: CaseFiles, label: NDArray[Any], inside: NDArray[Any], found: content.Foreground
) -> list[str]:
    warnings = []
    if not found.voxels:
        warnings.append(f"{case.label}: the label is empty; the case serves as background only.")
    lost = int(np.count_nonzero(label)) - int(np.count_nonzero(inside))
    if lost:
        warnings.append(
            f"{case.label}: {lost} labelled voxels lie where the image is zero and are cropped away."
        )
    return warnings


def _place(case: CaseFiles, volume: Volume, box: Box) -> dict[str, Any]:
    source = volume.source
    return {
        "name": case.name,
        "group": case.group,
        "split": case.split,
        "shape": box.shape,
        "start": box.start,
        "spacing": volume.frame.spacing,
        "origin_mm": volume.frame.origin,
        "direction": volume.frame.direction,
        "sources": [str(file.resolve()) for file in case.files],
        "native": {
            "shape": source.shape,
            "turned_shape": volume.voxels.shape[1:],
            "spacing": source.frame.spacing,
            "origin_mm": source.frame.origin,
            "direction": source.frame.direction,
            "axes": source.turn.axes,
            "flips": source.turn.flips,
        },
    }


def _coordinates(found: content.Foreground) -> dict[str, NDArray[Any]]:
    """Ascending indices as steps: half the bytes and a third after compression. A class is read by itself."""
    steps = {value: np.diff(flat, prepend=0) for value, flat in found.coordinates.items()}
    return {
        coordinates_of(value): step.astype(np.min_scalar_type(int(step.max(initial=0))))
        for value, step in steps.items()
    }


def _zip(numbers: dict[str, NDArray[Any]]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **numbers)
    return file.getvalue()
