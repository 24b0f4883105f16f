"""A model that nnU-Net trained, brought along: its plans, its task and the weights of its folds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.descriptions import task_of
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.inference.checkpoint import CheckpointError, Model, write_model
from ingradient_pl.json_files import read_object
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.checkpoint import NnunetCheckpoint, read_checkpoint
from ingradient_pl.nnunet.fold_splits import ALL, FOLD, find_kept, read_fold_splits, record_splits
from ingradient_pl.nnunet.plans import read_nnunet_plans
from ingradient_pl.nnunet.weights import nnunet_weights
from ingradient_pl.phrases import name_some, one_line
from ingradient_pl.planning.constructors import unet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task

FINAL = "checkpoint_final.pth"
VERSION_1, OLD_PLANS = ".model", "plans.pkl"
OLD = (f"*{VERSION_1}", f"fold_*/*{VERSION_1}", f"*/{OLD_PLANS}")
"""What a model folder of nnU-Net 1 holds."""

IMPORTED = "imported_from"
"""Entry of an imported checkpoint: the folder that it was made of."""


def import_nnunet(
    folder: Path,
    output: Path,
    folds: Sequence[str] | None = None,
    checkpoint: str = FINAL,
    previous: Path | None = None,
    previous_folds: Sequence[str] | None = None,
) -> Model:
    """Turn a model folder of nnU-Net into one checkpoint of ours, all its folds in one file.

    Where ``splits_final.json`` lies in the folder, the file tells which cases trained, as that of a run does.

    Args:
        folder: Of the trainer, with ``plans.json``, ``dataset.json`` and ``fold_0`` and so on.
        output: The checkpoint to write.
        folds: Names such as ``0`` or ``all``; None takes every fold that was trained to its end.
        checkpoint: Name of the file in a fold's folder.
        previous: For the second stage of a cascade, the model folder of the first, which goes into the same
            file; None takes the one beside, by nnU-Net's naming.
        previous_folds: Which folds of the first stage; None takes every one that was trained to its end.

    Returns:
        What was written.

    Raises:
        CheckpointError: If something is missing, or the model does what this package does not.
    """
    model = read_nnunet(folder, folds, checkpoint, previous, previous_folds)
    splits = _find_splits(folder, folds, checkpoint)
    before = model.previous and _find_splits(Path(model.previous.origin), previous_folds, checkpoint)
    kept = find_kept([*splits, *(before or ())]) if splits and before != [] else ()
    run = record_splits(splits, name_data(model), before or ())
    named = Model(model.networks, model.plan, model.task, str(output), model.mirror, kept)
    told: dict[str, Any] = {IMPORTED: str(folder), **({"run": run} if run else {})}
    write_model(output, named.after(model.previous), told)
    return model._replace(origin=str(output), validation=kept)


def _find_splits(folder: Path, folds: Sequence[str] | None, checkpoint: str) -> list[Split]:
    files = find_folds(folder, folds, checkpoint)
    return read_fold_splits(folder, [file.parent.name for file in files])


def name_data(model: Model) -> str:
    """Give the name of the data set that nnU-Net trained on.

    Args:
        model: As :func:`read_nnunet` gave it.
    """
    return str(model.plan.notes.get("data_set") or model.task.name)


def read_nnunet(
    folder: Path,
    folds: Sequence[str] | None = None,
    checkpoint: str = FINAL,
    previous: Path | None = None,
    previous_folds: Sequence[str] | None = None,
) -> Model:
    """Open a model folder of nnU-Net without running what its pickles ask for.

    Args:
        folder: Of the trainer, with ``plans.json``, ``dataset.json`` and ``fold_0`` and so on.
        folds: Names such as ``0`` or ``all``; None takes every fold that was trained to its end.
        checkpoint: Name of the file in a fold's folder.
        previous: Folder of a cascade's first stage; None takes the one beside, by nnU-Net's naming.
        previous_folds: Which folds of the first stage; None takes every one that was trained to its end.

    Raises:
        CheckpointError: If something is missing, or the model does what this package does not.
    """
    folder = Path(folder)
    files = find_folds(folder, folds, checkpoint)
    task = _task(folder)
    found = [read_checkpoint(file) for file in files]
    plan = _plan(folder, found, task)
    two_dimensional = plan.patch[0] == 1  # nnU-Net counts the axes of slices only
    mirror = tuple(
        axis + two_dimensional
        for axis in found[0].mirror or ()
        if all(axis in (fold.mirror or ()) for fold in found)
    )
    model = Model([], plan, task, str(folder), mirror)
    for file, fold in zip(files, found, strict=True):
        try:
            model.networks.append(_network(model, fold))
        except (ValueError, RuntimeError) as error:
            raise CheckpointError(f"{file}: {one_line(error)}") from error
    return model.after(_previous(model, previous, previous_folds, checkpoint))


def refuse_version_1(folder: Path) -> None:
    """Refuse a model folder of nnU-Net 1 by name, one of its folds, or the folder above; nothing is opened.

    Args:
        folder: It need not be one of nnU-Net's.

    Raises:
        CheckpointError: If it is.
    """
    beside = any((place / OLD_PLANS).is_file() for place in (folder, folder.parent))
    if beside or any(file for pattern in OLD for file in folder.glob(pattern)):
        raise CheckpointError(
            f"{folder} holds a model of nnU-Net 1 ({OLD_PLANS}, model_final_checkpoint.model), and models of "
            "nnU-Net 2 are read: the network of version 1 is built by its own code. Train anew on its data "
            "set, whose imagesTr, labelsTr and dataset.json `ingradient prepare` reads."
        )


def find_folds(folder: Path, folds: Sequence[str] | None, checkpoint: str) -> list[Path]:
    """Find the checkpoints of a model folder's folds: as nnU-Net, of all cases only where there is no other.

    Args:
        folder: Of the trainer, with ``plans.json`` and ``fold_0`` and so on.
        folds: Names such as ``0``, ``fold_0`` or ``all``; None takes every fold that was trained to its end.
        checkpoint: Name of the file in a fold's folder.

    Returns:
        The file of each fold; those that are named need not be there.

    Raises:
        CheckpointError: If it is not a model folder, or no fold has such a file.
    """
    if not (folder / "plans.json").is_file():
        refuse_version_1(folder)
        raise CheckpointError(
            f"{folder} is not a model folder of nnU-Net: it has no plans.json. It is the one named "
            "TRAINER__PLANS__CONFIGURATION, which also holds fold_0 and so on."
        )
    if folds is not None:
        return [folder / f"{FOLD}{str(fold).removeprefix(FOLD)}" / checkpoint for fold in folds]
    files = sorted(folder.glob(f"{FOLD}*/{checkpoint}"))
    files = [file for file in files if file.parent.name != ALL] or files
    if not files:
        others = sorted(str(file.relative_to(folder)) for file in folder.glob(f"{FOLD}*/*.pth"))
        raise CheckpointError(
            f"{folder} has no fold with a {checkpoint}: "
            + (f"there is {name_some(others)}. Name it." if others else "was it copied whole?")
        )
    return files


def _task(folder: Path) -> Task:
    path = folder / "dataset.json"
    described = read_object(path, "Copy the model's folder again.", CheckpointError)
    try:
        return task_of(described, folder)
    except ValueError as error:
        raise CheckpointError(f"{path} does not tell the model's channels and labels: {error}") from error


def _plan(folder: Path, found: Sequence[NnunetCheckpoint], task: Task) -> Plan:
    names = {fold.configuration or folder.resolve().name.rpartition("__")[2] for fold in found}
    if len(names) > 1:
        raise CheckpointError(f"{folder}: its folds are of different configurations: {sorted(names)}.")
    (name,) = names
    try:
        plan = read_nnunet_plans(folder / "plans.json", task, [name])[name]
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return plan


def _previous(
    model: Model, folder: Path | None, folds: Sequence[str] | None, checkpoint: str
) -> Model | None:
    """Read the stage before a model, if it is a later stage of a cascade."""
    name = model.plan.previous_stage
    if name is None:
        if folder is not None:
            raise CheckpointError(f"{model.origin} is no second stage of a cascade: leave out {folder}.")
        return None
    previous = read_nnunet(folder or _beside(Path(model.origin), name), folds, checkpoint)
    found = previous.plan.notes["configuration"]
    if found != name:
        raise CheckpointError(
            f"{model.origin} is the second stage of a cascade after '{name}', but {previous.origin} is "
            f"'{found}'. Give the folder of the stage it was trained after: --previous DIR."
        )
    return previous


def _beside(folder: Path, name: str) -> Path:
    """Find the folder of another configuration by nnU-Net's naming: TRAINER__PLANS__CONFIGURATION."""
    resolved = folder.resolve()
    found = resolved.with_name(f"{resolved.name.rpartition('__')[0]}__{name}")
    if not found.is_dir():
        raise CheckpointError(
            f"{folder} is the second stage of a cascade, which also needs the model of '{name}'; there is no "
            f"{found}. Give its folder: --previous DIR."
        )
    return found


def _network(model: Model, fold: NnunetCheckpoint) -> UNet:
    network = unet(model.plan, model.inputs, levels=1)
    network.load_state_dict(nnunet_weights(network, fold.weights))
    return network.eval()
