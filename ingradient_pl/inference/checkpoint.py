"""Checkpoints: all that prediction needs in one file, which nothing it contains can turn into a program."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from torch import nn

import ingradient_pl
from ingradient_pl.inference.calibration import Calibration
from ingradient_pl.inference.checkpoint_file import OTHERS, OURS, PREVIOUS, write_content
from ingradient_pl.inference.checkpoint_file import CheckpointError as CheckpointError
from ingradient_pl.inference.checkpoint_file import read_content as read_content
from ingradient_pl.inference.checkpoint_network import build_network
from ingradient_pl.inference.model import NOTHING, combine, join_folds
from ingradient_pl.inference.model import Model as Model
from ingradient_pl.inference.postprocess import Steps, build_steps
from ingradient_pl.phrases import one_line
from ingradient_pl.plain_values import check_plain
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import OWN_TARGET, build_plan
from ingradient_pl.spec import TARGET, TRUSTED, build, check_types, to_spec
from ingradient_pl.task import Task

FORMAT = 2
POSTPROCESS = "postprocess"
"""Entry of the steps that follow each prediction."""
ALONE = 1
"""Format of what averages no other model and brings no post-processing: earlier versions read it."""


def read(paths: Path | Sequence[Path], trusted: Sequence[str] = TRUSTED) -> Model:
    """Open one checkpoint, or several whose answers shall be averaged.

    Args:
        paths: Files that training, :func:`write` or ``import-nnunet`` wrote.
        trusted: Packages whose classes a file may name; add the one your own network lives in.

    Raises:
        CheckpointError: If a file is not a checkpoint of this version, or the files do not fit together.
    """
    files = [paths] if isinstance(paths, (str, PathLike)) else list(paths)
    if not files:
        raise CheckpointError("No checkpoint was given: name at least one file.")
    return join_folds([build_model(read_content(Path(file)), str(file), trusted) for file in files])


def read_description(
    networks: nn.Module | Sequence[nn.Module],
    plan: Plan,
    task: Task,
    validation: Sequence[str] = (),
    mirror: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Give what a checkpoint holds beside its weights, as plain values.

    A network that cannot be written down (it has no recipe) is left out, and :func:`read` says so: training
    need not stop for it.

    Args:
        networks: One network, or one for each fold.
        plan: Their plan.
        task: Their task.
        validation: Names of the validation cases.
        mirror: Axes that training mirrored; None means all along which the patch is more than a voxel long.
    """
    folds = [networks] if isinstance(networks, nn.Module) else list(networks)
    try:
        network = to_spec(folds[0])
    except TypeError:
        network = None
    own = {
        "format": ALONE,
        "version": ingradient_pl.__version__,
        "network": network,
        "networks": len(folds),
        "plan": to_spec(plan),
        "task": to_spec(task),
        "validation": list(validation),
        "mirror": _mirror_axes(plan) if mirror is None else list(mirror),
    }
    return {OURS: own}


def write(
    path: Path,
    networks: nn.Module | Sequence[nn.Module],
    plan: Plan,
    task: Task,
    mirror: Sequence[int] | None = None,
    previous: Model | None = None,
) -> None:
    """Write a slim checkpoint: weights, plan and task, without the state of a training run.

    The file appears complete or not at all.

    Args:
        path: Where to.
        networks: One network, or one for each fold; each has an attribute ``recipe``.
        plan: Their plan.
        task: Their task.
        mirror: Axes that training mirrored; None means all along which the patch is more than a voxel long.
        previous: In a cascade, the stage before; it is written into the same file.
    """
    folds = [networks] if isinstance(networks, nn.Module) else list(networks)
    mirrored = _mirror_axes(plan) if mirror is None else mirror
    write_model(path, Model(folds, plan, task, str(path), tuple(mirrored)).after(previous))


def write_model(path: Path, model: Model, told: Mapping[str, object] | None = None) -> None:
    """Write a model with all that belongs to it as one slim checkpoint, complete or not at all.

    Args:
        path: Where to.
        model: Its networks each have an attribute ``recipe``.
        told: What it tells besides, such as where it came from: plain values by name.
    """
    content = describe_stage(model)
    content[OURS] |= told or {}
    write_content(Path(path), content)


def describe_stage(model: Model) -> dict[str, Any]:
    """Give all that a checkpoint holds of a model; under names of their own the same of those it needs.

    Args:
        model: With its networks.
    """
    weights = {
        f"{_prefix(fold)}{name}": value
        for fold, network in enumerate(model.networks)
        for name, value in network.state_dict().items()
    }
    described = read_description(model.networks, model.plan, model.task, model.validation, model.mirror)
    described[OURS]["calibration"] = model.calibration._asdict()
    if model.others or model.postprocess.steps:
        described[OURS] |= {"format": FORMAT, POSTPROCESS: to_spec(model.postprocess.steps)}
    before = {} if model.previous is None else {PREVIOUS: describe_stage(model.previous)}
    beside = {OTHERS: [describe_stage(other) for other in model.others]} if model.others else {}
    return {"state_dict": weights, **described, **before, **beside}


def _prefix(fold: int) -> str:
    return f"network_{fold}." if fold else "network."


def _mirror_axes(plan: Plan) -> list[int]:
    return [axis for axis, voxels in enumerate(plan.patch) if voxels > 1]


class _Description:
    """Types of what a checkpoint tells beside plan and task, for :func:`check_types`."""

    def __init__(  # noqa: PLR0913 - one for each entry
        self,
        format: int,
        version: str,
        network: Mapping[str, object] | None,
        networks: int,
        plan: Mapping[str, object],
        task: Mapping[str, object],
        validation: Sequence[str],
        mirror: Sequence[Literal[0, 1, 2]],
        calibration: Mapping[str, float],
        run: Mapping[str, object],
        postprocess: Sequence[Mapping[str, object]],
    ) -> None: ...


def build_model(found: Mapping[str, Any], path: str, trusted: Sequence[str] = TRUSTED) -> Model:
    """Build the model of a checkpoint that is open.

    Args:
        found: What :func:`ingradient_pl.inference.checkpoint_file.read_content` gave.
        path: Of the file, for messages.
        trusted: Packages whose classes it may name.

    Raises:
        CheckpointError: If it is not a checkpoint of this version, or was put together wrongly.
    """
    own = found[OURS]
    _check_format(path, own)
    before = build_model(found[PREVIOUS], f"{path} (stage before)", trusted) if PREVIOUS in found else None
    try:
        check_plain(own)
        check_types(_Description, own)
        plan = build_plan({**own["plan"], TARGET: OWN_TARGET}, "its plan", trusted)
        task = build({**own["task"], TARGET: f"{Task.__module__}.{Task.__qualname__}"}, kind=Task)
        weights, folds = found["state_dict"], range(own.get("networks", 1))
        calibration = Calibration.of(own.get("calibration", {}))
        networks = [build_network(own["network"], weights, _prefix(fold), trusted) for fold in folds]
        if not networks:
            raise ValueError(f"it says that it holds {own['networks']} networks")
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be used: {one_line(error)}") from error
    if (plan.channels, plan.outputs) != (len(task.channels), task.outputs):
        raise CheckpointError(
            f"{path}: its plan has {plan.channels} channels and {plan.outputs} outputs, but its task has "
            f"channels {list(task.channels)} and needs {task.outputs} outputs. It was put together wrongly: "
            "write it anew from the training run."
        )
    mirror, validation = own.get("mirror", _mirror_axes(plan)), own.get("validation", ())
    alone = Model(networks, plan, task, path, tuple(mirror), tuple(validation), calibration=calibration)
    model = alone.after(before)
    return _with_others(model, found, path, trusted)


def _with_others(model: Model, found: Mapping[str, Any], path: str, trusted: Sequence[str]) -> Model:
    """Give a model the others that it is averaged with, and its post-processing."""
    others = [build_model(other, f"{path} (another plan)", trusted) for other in found.get(OTHERS, ())]
    told = found[OURS].get(POSTPROCESS)
    steps = NOTHING if told is None else Steps(build_steps(told, f"{path}: its post-processing", trusted))
    return combine([model, *others], steps)._replace(origin=path)


def _check_format(path: str, own: Mapping[str, Any]) -> None:
    found, version = own.get("format"), own.get("version", "of unknown version")
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found}, written by ingradient_pl {version}; this is "
            f"{ingradient_pl.__version__}, which reads up to format {FORMAT}. Update ingradient_pl."
        )
