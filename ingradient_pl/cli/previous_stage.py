"""What the first stage of a cascade found in held-out cases, put where the second stage reads it."""

import json
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.cross_fit import CrossFit
from ingradient_pl.files import replace_file
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.answer_files import DEFAULT_ENDING, answer_parts, answer_task
from ingradient_pl.inference.answer_folder import identify
from ingradient_pl.lightning.further_volumes import write_previous
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.plain_values import read_json
from ingradient_pl.store.case_volumes import list_volumes, write_volume
from ingradient_pl.store.label_maps import find_answers
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.transforms.stage_labels import StageLabels

SOURCES = "sources.json"
"""Beside the volumes: the check sum of the segmentation that each was made of."""


def keep_previous(folder: Path, store: AnyCases, found: CrossFit, trusted: Sequence[str]) -> None:
    """Put the held-out segmentations of a first stage beside the model of all its folds.

    Args:
        folder: For both; volumes of the same segmentations are left as they are.
        store: The cases.
        found: All folds of the first stage.
        trusted: Packages whose classes a checkpoint may name.
    """
    _keep_volumes(folder, store, found)
    write_previous(folder, checkpoints.read(found.checkpoints, trusted))


def keep_previous_by_fold(
    folder: Path, store: AnyCases, found: CrossFit, trusted: Sequence[str]
) -> dict[int, Path]:
    """Put the held-out segmentations of a first stage into a folder, and below it a folder for each fold.

    The second stage of a fold sees what each first stage found in cases held out, as nnU-Net's does; in
    prediction it gets the first stage of the same fold, which saw none of the cases that the fold holds out.

    Args:
        folder: For the volumes; those of the same segmentations are left as they are.
        store: The cases.
        found: All folds of the first stage.
        trusted: Packages whose classes a checkpoint may name.

    Returns:
        What the second stage of each fold is trained with (``data.previous``), by the fold's number.
    """
    _keep_volumes(folder, store, found)
    places = {number: folder / run.name for number, run in found.runs.items()}
    for number, place in places.items():
        write_previous(place, checkpoints.read([found.runs[number] / LAST], trusted), folder)
    return places


def _keep_volumes(folder: Path, store: AnyCases, found: CrossFit) -> None:
    """Write the held-out segmentation of each case on the voxels of the store, where it is not there yet."""
    there, kept, labels = (
        set(list_volumes(folder)),
        _read_sources(folder / SOURCES),
        StageLabels.of(store.task),
    )
    names, answers = list(store.task.foreground), find_answers(found.predictions, answer_task(store.task))
    for name in (name for held in found.held_out.values() for name in held):
        told = identify(answer_parts(found.predictions / f"{name}{DEFAULT_ENDING}", store.task))
        if name not in there or kept.get(name) != told:
            answer = answers[name]
            masks = answer.read_masks(names, store.orientation).voxels if labels.overlap else None
            label = answer.read(store.orientation).voxels[0] if masks is None else labels.encode(masks)
            write_volume(folder, store, name, label)
            kept[name] = told
            replace_file(folder / SOURCES, json.dumps(kept, indent=1).encode())


def _read_sources(file: Path) -> dict[str, str]:
    """Read what volumes were made of; nothing where the file is missing or damaged: they are made anew."""
    try:
        return {str(name): str(told) for name, told in read_json(file).items()}
    except (OSError, ValueError, AttributeError):
        return {}
