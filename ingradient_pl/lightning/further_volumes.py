"""The volume that goes along with each case of a run: what it is, and what the network sees of it."""

import inspect
import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ingradient_pl.files import replace_file
from ingradient_pl.inference.checkpoint import CheckpointError, Model, describe_stage, read, write
from ingradient_pl.inference.checkpoint_file import PREVIOUS as BEFORE
from ingradient_pl.json_files import read_object
from ingradient_pl.loading.volume_reader import VolumeReader
from ingradient_pl.planning.plan import Plan
from ingradient_pl.spec import check_types
from ingradient_pl.store.case_store import StoreError
from ingradient_pl.store.case_volumes import INTEGERS, CaseVolumes
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.previous_stage import PreviousStageAugment, append_one_hot, change_labels
from ingradient_pl.transforms.stage_labels import NO_LABELS, StageLabels

MODEL, PREVIOUS = "model.ckpt", "previous.json"
"""In a folder of a previous stage's segmentations: the model that makes them of new cases, and their
labels."""
VALUES, VOLUMES = "values", "volumes"
"""Entries of the latter: the labels' integers, and the folder of the segmentations where it is another."""


@dataclass(frozen=True)
class FurtherVolumes:
    """A further volume of each case; in a cascade the segmentation of the stage before.

    Args:
        volumes: Of all cases that train or validate.
        model: Of the stage before; None where the volumes are something else.
        augment: How its segmentations are changed in training; None leaves them.
        seed: The run's.
    """

    volumes: CaseVolumes
    model: Model | None = None
    augment: PreviousStageAugment | None = None
    seed: int = 0

    @property
    def labels(self) -> StageLabels:
        """The labels that become input channels; none where nothing does."""
        return NO_LABELS if self.model is None else StageLabels.of(self.model.task)

    def reader(self, *, training: bool) -> VolumeReader:
        """Give what reads a patch's part.

        Args:
            training: Whether it may be changed at random.
        """
        if self.model is None or not training:
            return VolumeReader(self.volumes)
        return VolumeReader(self.volumes, self.augment, self.labels, self.seed)

    def finish(self, batch: Batch, *, training: bool) -> Batch:
        """Give a batch as the network is given it: in a cascade with the stage before as further channels.

        Args:
            batch: Prepared and, in training, augmented.
            training: Whether the stage before is changed at random.
        """
        if self.model is None or batch.extra is None:
            return batch
        labels, label = self.labels, batch.extra.to(torch.int32)  # what a batch holds may need fewer bits
        if training and self.augment is not None:
            operations = self.augment.draw_operations(batch.numbers, labels.values, self.seed)
            label = change_labels(label, labels, operations)
        return append_one_hot(batch._replace(extra=label), labels)


def open_further(
    extra: str | None,
    previous: str | None,
    augment: PreviousStageAugment | None,
    seed: int,
    store: AnyCases,
    plan: Plan,
    names: Iterable[str],
) -> FurtherVolumes | None:
    """Open the further volumes of a run's cases; None where there are none.

    Args:
        extra: Folder that :func:`ingradient_pl.write_volume` wrote into; None for none.
        previous: In a cascade, the folder into which :func:`write_previous` wrote the previous stage's model,
            which is such a folder with its segmentations or names one; None for none.
        augment: How these are changed in training; None leaves them.
        seed: The run's.
        store: With the cases.
        plan: Of the run.
        names: Cases that train or validate.

    Raises:
        StoreError: If a case has none, one for other voxels, or one with other labels than the task.
        ValueError: If the plan sees no previous stage, or another, or both kinds of volumes are named.
    """
    if previous is None:
        return None if extra is None else FurtherVolumes(_open(extra, store, names))
    if extra is not None:
        raise ValueError(
            f"data.extra={extra} and data.previous={previous}: a case carries one further volume. "
            "Give one of the two."
        )
    model = _read_model(previous, store, plan)
    possible = StageLabels.of(model.task).possible
    volumes = _open(str(_find_volumes(Path(previous))), store, names, possible)
    return FurtherVolumes(volumes, model, augment, seed)


def _open(
    folder: str, store: AnyCases, names: Iterable[str], values: Container[int] | None = None
) -> CaseVolumes:
    volumes = CaseVolumes(folder, store)
    if values is not None and volumes.kind != INTEGERS:
        raise StoreError(f"{folder} holds {volumes.kind}; a previous stage's segmentations are integers.")
    volumes.check(names, values)
    return volumes


def _read_model(folder: str, store: AnyCases, plan: Plan) -> Model:
    """Read the model of the stage before, and hold it against the stage that sees its segmentations."""
    if plan.previous_stage is None:
        raise ValueError(
            f"data.previous={folder} brings the segmentations of a previous stage, but the plan sees the "
            "image alone. Take the plan of a second stage (ingradient plan --configuration "
            "3d_cascade_fullres), or leave data.previous out."
        )
    try:
        model = read(Path(folder) / MODEL)
        Model([], plan, store.task, "this run", ()).after(model)
    except CheckpointError as error:
        raise ValueError(f"data.previous={folder} cannot be the stage before: {error}") from error
    found = model.plan.notes.get("configuration", plan.previous_stage)
    if found != plan.previous_stage:
        raise ValueError(
            f"The plan sees the segmentation of '{plan.previous_stage}', but data.previous={folder} is of "
            f"'{found}'. Take that of the right stage, or set plan.previous_stage={found}."
        )
    return model


def takes_extra(loss: nn.Module) -> bool:
    """Tell whether a loss asks for the further volume: its ``forward`` has an argument ``extra``.

    Args:
        loss: Called with the pyramid of logits and the label.
    """
    return "extra" in inspect.signature(loss.forward).parameters


def check_use(loss: nn.Module, further: FurtherVolumes | None, plan: Plan, *, otherwise: bool) -> str | None:
    """Refuse a run that lacks its further volumes; give what to say where nothing seems to use them.

    Args:
        loss: Of the run.
        further: What each case brings along; None for nothing.
        plan: Of the run.
        otherwise: Whether something else than the loss may use them.

    Raises:
        ValueError: If the loss or the plan asks for what is not there.
    """
    if plan.previous_stage is not None and (further is None or further.model is None):
        raise ValueError(
            "The plan is the second stage of a cascade, which sees the segmentation of "
            f"'{plan.previous_stage}': train both stages by `ingradient cascade`, or name the folder of "
            "its segmentations and its model (data.previous=DIR). To train without, take 3d_fullres "
            "(ingradient plan --configuration 3d_fullres), or set plan.previous_stage=null"
        )
    if takes_extra(loss) and further is None:
        raise ValueError(
            f"The loss {type(loss).__name__} takes an argument 'extra', and cases bring no further volume: "
            "name their folder (data.extra=DIR), written by ingradient_pl.write_volume."
        )
    if further is None or further.model is not None or otherwise or takes_extra(loss):
        return None
    return (
        f"Cases bring a further volume ({further.volumes.path}), and nothing here uses it: the forward of "
        f"the loss {type(loss).__name__} has no argument 'extra', and no augmentation sees whole batches."
    )


def write_previous(folder: Path, model: Model, volumes: Path | None = None) -> None:
    """Write beside the segmentations of a stage the model that makes them of new cases.

    Args:
        folder: That :func:`ingradient_pl.write_volume` writes the segmentations into, or one of the model's
            own: models of several folds may share the segmentations.
        model: The stage, all its folds, or the one that did not see what the next stage validates on.
        volumes: The folder of the segmentations where it is another.
    """
    write(folder / MODEL, model.networks, model.plan, model.task, model.mirror, model.previous)
    place = "." if volumes is None else os.path.relpath(volumes, folder)
    plain = {VALUES: list(StageLabels.of(model.task).values), VOLUMES: Path(place).as_posix()}
    replace_file(folder / PREVIOUS, json.dumps(plain).encode())


def check_stage(content: Mapping[str, Any], model: Model) -> None:
    """Refuse to go on behind another first stage than the one that a run was trained with.

    Args:
        content: Of the run's checkpoint.
        model: The stage before, as it is now.

    Raises:
        CheckpointError: If it has other weights.
    """
    before = content.get(BEFORE, {}).get("state_dict")
    now = describe_stage(model)["state_dict"]
    if before is not None and not (
        before.keys() == now.keys() and all(torch.equal(before[name].cpu(), now[name].cpu()) for name in now)
    ):
        raise CheckpointError(
            f"The stage before ({model.origin}) has other weights than the one that this run was trained "
            "with: it was trained anew since. Train the second stage anew as well: delete its folder, or "
            "choose another."
        )


def count_inputs(channels: int, previous: str | None) -> int:
    """Give how many channels a network takes: the image's and, in a cascade, one for each label.

    Args:
        channels: Of the image.
        previous: Folder with the previous stage's segmentations; None where there is none.

    Raises:
        ValueError: If the folder does not hold such segmentations.
    """
    return channels if previous is None else channels + len(_read_previous(Path(previous))[0])


def _find_volumes(previous: Path) -> Path:
    """Give the folder of a stage's segmentations."""
    return previous / _read_previous(previous)[1]


class _Previous:
    """Types of what a previous stage's folder says, for :func:`check_types`."""

    def __init__(self, values: Sequence[int], volumes: str) -> None: ...


def _read_previous(previous: Path) -> tuple[list[int], str]:
    """Read the integers of a stage's labels, and where its segmentations lie."""
    file = previous / PREVIOUS
    if not file.is_file():
        raise ValueError(
            f"data.previous={previous} holds no previous stage's segmentations: {file} is missing. Name the "
            "folder 'previous' of a cascade that `ingradient cascade` trained, or write one like it."
        )
    plain = read_object(file, "Write it anew.")
    try:
        check_types(_Previous, {"values": plain[VALUES], "volumes": plain.get(VOLUMES, ".")})
        return list(plain[VALUES]), str(plain.get(VOLUMES, "."))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} does not say which labels there are ({error}). Write it anew.") from error
