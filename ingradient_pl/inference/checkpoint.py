"""Checkpoints: all that prediction needs in one file, which nothing it contains can turn into a program."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

import ingradient_pl
from ingradient_pl.inference.checkpoint_file import OURS, PREVIOUS, first_lines, write_content
from ingradient_pl.inference.checkpoint_file import CheckpointError as CheckpointError
from ingradient_pl.inference.checkpoint_file import read_content as read_content
from ingradient_pl.inference.checkpoint_network import build_network
from ingradient_pl.plain_values import check_plain
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import OWN_TARGET, build_plan
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import TARGET, TRUSTED, build, check_types, to_spec
from ingradient_pl.task import Task

FORMAT = 1
AGREED = (
    *("channels", "outputs", "spacing", "patch", "normalisation", "transpose", "orientation"),
    *("separate_z_above", "low_pass_above", "previous_stage"),
)
"""What the plans of checkpoints that predict together must have in common."""


class Model(NamedTuple):
    """Trained networks with all that is needed to use them.

    Args:
        networks: One for each fold; their answers are averaged.
        plan: How cases are brought to the network.
        task: What its outputs mean.
        origin: Where it was read from.
        mirror: Axes (0, 1, 2 for z, y, x of the network) that training mirrored, so that prediction may.
        validation: Names of the validation cases, by whichever of the networks.
        previous: In a cascade, the model whose segmentation these networks see beside the image; it is used
            first, and may itself have one before it.
    """

    networks: list[nn.Module]
    plan: Plan
    task: Task
    origin: str
    mirror: tuple[int, ...]
    validation: tuple[str, ...] = ()
    previous: "Model | None" = None

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def inputs(self) -> int:
        """Channels that the networks take: the image's and, in a cascade, one for each foreground label."""
        seen = 0 if self.plan.previous_stage is None else len(self.task.foreground_values)
        return self.plan.channels + seen

    def after(self, previous: "Model | None") -> "Model":
        """Put it behind the stage whose segmentation it sees, or behind none where it sees the image alone.

        Args:
            previous: The first stage; None where there is none.

        Raises:
            CheckpointError: If it needs another stage, or the two see cases differently.
        """
        wanted = self.plan.previous_stage
        if (wanted is None) != (previous is None):
            need = f"the segmentation of '{wanted}'" if wanted else "the image alone"
            other = "was given none" if previous is None else f"was given that of {previous.origin}"
            raise CheckpointError(
                f"{self.origin} takes {need}, but {other}. Bring both stages along together."
            )
        if previous is not None:
            for name, one, two in _shared_settings(self, previous):
                if one != two:
                    raise CheckpointError(
                        f"{previous.origin} is not a first stage for {self.origin}: its {name} is {two}, "
                        f"that of the second stage {one}. Take the one it was trained with."
                    )
        return self._replace(previous=previous)


def read(paths: Path | Sequence[Path], trusted: Sequence[str] = TRUSTED) -> Model:
    """Open one checkpoint, or several whose answers shall be averaged.

    Args:
        paths: Files that training, :func:`write` or ``import-nnunet`` wrote.
        trusted: Packages whose classes a file may name; add the one your own network lives in.

    Raises:
        CheckpointError: If a file is not a checkpoint of this version, or the files do not fit together.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not files:
        raise CheckpointError("No checkpoint was given: name at least one file.")
    return _join_folds([_model(read_content(Path(file)), str(file), trusted) for file in files])


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
        "format": FORMAT,
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
    model = Model(folds, plan, task, str(path), tuple(mirrored)).after(previous)
    write_content(Path(path), describe_stage(model))


def describe_stage(model: Model) -> dict[str, Any]:
    """Give all that a checkpoint holds of a model, and under 'previous' the same of the stage before it.

    Args:
        model: With its networks.
    """
    weights = {
        f"{_prefix(fold)}{name}": value
        for fold, network in enumerate(model.networks)
        for name, value in network.state_dict().items()
    }
    described = read_description(model.networks, model.plan, model.task, model.validation, model.mirror)
    before = {} if model.previous is None else {PREVIOUS: describe_stage(model.previous)}
    return {"state_dict": weights, **described, **before}


def _prefix(fold: int) -> str:
    return f"network_{fold}." if fold else "network."


def _mirror_axes(plan: Plan) -> list[int]:
    return [axis for axis, voxels in enumerate(plan.patch) if voxels > 1]


class _Description:
    """Types of what a checkpoint tells beside plan and task, for :func:`check_types`."""

    def __init__(
        self,
        format: int,
        version: str,
        network: Mapping[str, object] | None,
        networks: int,
        plan: Mapping[str, object],
        task: Mapping[str, object],
        validation: Sequence[str],
        mirror: Sequence[Literal[0, 1, 2]],
    ) -> None: ...


def _model(found: Mapping[str, Any], path: str, trusted: Sequence[str]) -> Model:
    own = found[OURS]
    _check_format(path, own)
    before = _model(found[PREVIOUS], f"{path} (stage before)", trusted) if PREVIOUS in found else None
    try:
        check_plain(own)
        check_types(_Description, own)
        plan = build_plan({**own["plan"], TARGET: OWN_TARGET}, "its plan", trusted)
        task = build({**own["task"], TARGET: f"{Task.__module__}.{Task.__qualname__}"}, kind=Task)
        weights, folds = found["state_dict"], range(own.get("networks", 1))
        networks = [build_network(own["network"], weights, _prefix(fold), trusted) for fold in folds]
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be used: {first_lines(error)}") from error
    if (plan.channels, plan.outputs) != (len(task.channels), task.outputs):
        raise CheckpointError(
            f"{path}: its plan has {plan.channels} channels and {plan.outputs} outputs, but its task has "
            f"channels {list(task.channels)} and needs {task.outputs} outputs. It was put together wrongly: "
            "write it anew from the training run."
        )
    mirror, validation = own.get("mirror", _mirror_axes(plan)), own.get("validation", ())
    return Model(networks, plan, task, path, tuple(mirror), tuple(validation)).after(before)


def _check_format(path: str, own: Mapping[str, Any]) -> None:
    found, version = own.get("format"), own.get("version", "of unknown version")
    if not isinstance(found, int) or found > FORMAT:
        raise CheckpointError(
            f"{path} has format {found}, written by ingradient_pl {version}; this is "
            f"{ingradient_pl.__version__}, which reads up to format {FORMAT}. Update ingradient_pl."
        )


def _join_folds(models: Sequence[Model]) -> Model:
    """Average models of one plan; in a cascade, those before them as well."""
    for model in models[1:]:
        _check_alike(models[0], model)
    before = [model.previous for model in models if model.previous is not None]
    return models[0]._replace(
        networks=_each_once([network for model in models for network in model.networks]),
        origin=", ".join(model.origin for model in models),
        mirror=tuple(axis for axis in models[0].mirror if all(axis in model.mirror for model in models)),
        # what one kept from its training another trained on: all must have kept it
        validation=tuple(sorted(set.intersection(*(set(model.validation) for model in models)))),
        previous=_join_folds(before) if before else None,
    )


def _each_once(networks: Sequence[nn.Module]) -> list[nn.Module]:
    """Leave out networks whose weights came before: folds of a cascade may all bring the same first stage."""
    kept: list[nn.Module] = []
    for network in networks:
        if not any(_same(network, other) for other in kept):
            kept.append(network)
    return kept


def _same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        value.shape == second[name].shape and torch.equal(value, second[name])
        for name, value in first.items()
    )


def _shared_settings(model: Model, previous: Model) -> list[tuple[str, Any, Any]]:
    """Give what models that go together must see alike: its name, of the one, of the other."""
    return [
        ("orientation", model.plan.orientation, previous.plan.orientation),
        ("channels", list(model.task.channels), list(previous.task.channels)),
        ("labels", dict(model.task.labels), dict(previous.task.labels)),
        ("regions_class_order", model.task.regions_class_order, previous.task.regions_class_order),
    ]


def _check_alike(first: Model, other: Model) -> None:
    for name in AGREED:
        one, two = getattr(first.plan, name), getattr(other.plan, name)
        if one != two:
            raise CheckpointError(
                f"{other.origin} cannot predict together with {first.origin}: '{name}' of its plan is {two}, "
                f"of the other {one}. Average checkpoints of one plan only (its folds)."
            )
    for name, one, two in _shared_settings(first, other):
        if one != two:
            raise CheckpointError(
                f"{other.origin} cannot predict together with {first.origin}: its {name} is {two}, of the "
                f"other {one}."
            )
