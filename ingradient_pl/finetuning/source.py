"""What training starts from: checkpoints, model folders, encoders, plain weights; none of them is run."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ingradient_pl.datasets.split_records import Split
from ingradient_pl.finetuning.encoder import ADAPTATION, EMBEDDED, read_encoder
from ingradient_pl.finetuning.plain_weights import SAFETENSORS, read_plain_weights
from ingradient_pl.finetuning.source_record import Source, SourcePlan
from ingradient_pl.finetuning.trained_on import TrainedOn
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import CheckpointError, Model
from ingradient_pl.inference.checkpoint_file import OURS, check_address, is_ours, load
from ingradient_pl.nnunet.checkpoint import read_state_dicts
from ingradient_pl.nnunet.fold_splits import FOLD, read_fold_splits, record_splits
from ingradient_pl.nnunet.model import (
    FINAL,
    VERSION_1,
    find_folds,
    name_data,
    read_nnunet,
    refuse_version_1,
)
from ingradient_pl.phrases import name_some, one_line
from ingradient_pl.spec import TRUSTED, check_types
from ingradient_pl.transforms.stage_labels import StageLabels

LAST = Path("checkpoints") / "last.ckpt"
PLANS = "plans.json"
Folds = Literal["first", "mean"]


def read_weights(path: Path, folds: Folds = "first", trusted: Sequence[str] = TRUSTED) -> Source:
    """Open what training starts from.

    Args:
        path: A checkpoint of ours or the folder of a run; a model folder of nnU-Net, one of its folds
            (``MODEL/fold_1``) or the file in one; an encoder that nnssl trained (the folder, its weights or
            its ``adaptation_plan.json``); or plain weights (``.pt``, ``.pth``, ``.safetensors``).
        folds: Where it holds several networks: the ``first`` one, or the ``mean`` of their weights.
        trusted: Packages whose classes a checkpoint may name.

    Raises:
        CheckpointError: If it is none of these, is damaged, or holds what could run as a program.
    """
    check_address(path)
    path = Path(path)
    file = path / LAST if (path / LAST).is_file() else path
    if file.suffix == VERSION_1:
        refuse_version_1(file.parent)
    with torch.random.fork_rng(devices=[]):  # networks are initialised before they are filled
        return _read_folder(file, folds) if file.is_dir() else _read_file(file, folds, trusted)


def _read_folder(folder: Path, folds: Folds) -> Source:
    """Read a model folder of nnU-Net or the one fold of it that is named, or an encoder with its plan."""
    if (folder / PLANS).is_file():
        return _read_folds(folder, None, FINAL, folds)
    if folder.name.startswith(FOLD):
        return _read_folds(folder.parent, [folder.name], FINAL, folds)
    if (folder / ADAPTATION).is_file():
        return read_encoder(folder)
    refuse_version_1(folder)
    others = sorted((folder / LAST).parent.glob("*.ckpt"))
    if others:
        raise CheckpointError(f"{folder} has no {LAST}. Name one of its checkpoints: {name_some(others)}.")
    raise CheckpointError(
        f"{folder} is not a folder to start from: it holds neither {LAST} (a run), nor {PLANS} (a model of "
        f"nnU-Net, TRAINER__PLANS__CONFIGURATION), nor {ADAPTATION} (an encoder of nnssl)."
    )


def _read_file(file: Path, folds: Folds, trusted: Sequence[str]) -> Source:
    """Read a file by what lies beside it and what it holds."""
    if file.suffix == SAFETENSORS:
        return read_plain_weights(file)
    if file.name.endswith(".json"):
        return read_encoder(file.parent, plan=file)
    if file.parent.name.startswith(FOLD) and (file.parent.parent / PLANS).is_file():
        return _read_folds(file.parent.parent, [file.parent.name], file.name, folds)
    if (file.parent / ADAPTATION).is_file():
        return read_encoder(file.parent, weights=file)
    try:
        found = load(file, mmap=True)
    except CheckpointError as error:  # it may still be weights with settings that torch does not take
        return _read_other(file, error)
    if is_ours(found):
        model = checkpoint.read(file, trusted)
        if model.others:
            raise CheckpointError(
                f"{file} averages models of {1 + len(model.others)} plans, and training starts from one: "
                "name one of the runs that it was made of."
            )
        return _source(model, folds, found[OURS])
    return _read_other(file)


def _read_other(file: Path, reason: CheckpointError | None = None) -> Source:
    """Read weights that another program wrote: an encoder that brings its plan along, or names alone."""
    try:
        found = read_state_dicts(file)
    except CheckpointError as error:
        raise (reason or error) from error
    return read_encoder(file.parent, weights=file) if EMBEDDED in found.plain else read_plain_weights(file)


def _read_folds(folder: Path, names: Sequence[str] | None, file: str, folds: Folds) -> Source:
    """Read folds of nnU-Net; who trained them is known where its division lies beside them."""
    found = [one.parent.name for one in find_folds(folder, names, file)]
    used = found if folds == "mean" else found[:1]
    model = read_nnunet(folder, used, file)
    return _source(model, folds, {"run": record_splits(read_fold_splits(folder, used), name_data(model))})


class _Run:
    """Types of what a checkpoint says of its run, for :func:`check_types`."""

    def __init__(
        self,
        split: Mapping[str, Sequence[str]] | None,
        images: Mapping[str, str],
        store: Mapping[str, object],
        init: Mapping[str, object],
        parts: Sequence[Mapping[str, object]],
        trained: Sequence[Mapping[str, object]],
        folds: Sequence[Mapping[str, Sequence[str]]],
    ) -> None: ...


class _Part:
    """Types of what it says of one of its stores."""

    def __init__(self, name: str, cases: Sequence[str], images: Sequence[str]) -> None: ...


def _check_run(run: Mapping[str, Any], origin: str) -> None:
    """Hold what a checkpoint says of its run, from which is read who trained, to types."""
    try:
        check_types(_Run, run)
        parts, trained = run.get("store", {}).get("parts", ()), run.get("init", {}).get("trained", ())
        check_types(_Run, {"parts": parts, "trained": trained})
        for part in (*parts, *trained):
            check_types(_Part, part)
        for split in ([] if run.get("split") is None else [run["split"]]) + list(run.get("folds", ())):
            for missing in ("train", "validation"):
                split[missing]
        for part in parts:
            part["name"]
    except (TypeError, KeyError) as error:
        raise CheckpointError(
            f"{origin}: what it says of its run is damaged ({one_line(error)}). Take another checkpoint."
        ) from error


def _source(model: Model, folds: Folds, told: Mapping[str, Any]) -> Source:
    before = StageLabels.of(model.task).values if model.plan.previous_stage else ()
    run = told.get("run", {})
    _check_run(run, model.origin)
    splits = _read_divisions(run, folds)
    earlier = [TrainedOn.from_plain(entry) for entry in run.get("init", {}).get("trained", ())]
    own = [entry for split in splits for entry in _trained_on(split.train, model.task.name, run)]
    return Source(
        network=model.networks[0],
        weights=model.networks[0].state_dict() if folds == "first" else _mean(model.networks),
        task=model.task,
        origin=model.origin,
        inputs=(*model.task.channels, *(f"previous stage: {value}" for value in before)),
        split=splits[0] if len(splits) == 1 and (splits[0].kept or "folds" not in run) else None,
        trained=(*own, *earlier),
        images=run.get("images", {}),
        plan=SourcePlan.of(model.plan),
    )


def _trained_on(train: Sequence[str], data: str, run: Mapping[str, Any]) -> Iterator[TrainedOn]:
    """Say what a run was trained on, one entry for each of its stores."""
    store, images = run.get("store", {}), run.get("images", {})
    for part in store.get("parts") or [{"data": data, **store}]:
        ending = f"@{part['name']}" if "parts" in store else ""  # as several stores name their cases
        cases = [name for name in train if name.endswith(ending)]
        told = {"cases": [name.removesuffix(ending) for name in cases]}
        yield TrainedOn.from_plain({**part, **told, "images": [images.get(name, "") for name in cases]})


def _read_divisions(run: Mapping[str, Any], folds: Folds) -> list[Split]:
    """Give who trained and who validated: of a model of several folds, the entry of each that is used."""
    told = run.get("folds") or [run.get("split")]
    used = told[:1] if folds == "first" else told
    return [Split(tuple(one["train"]), tuple(one["validation"])) for one in used if one is not None]


def _mean(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Average the weights of folds, tensor by tensor."""
    states = [network.state_dict() for network in networks]
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
