"""A model: trained networks with all that is needed to use them, and which models go together."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from ingradient_pl.inference.calibration import Calibration
from ingradient_pl.inference.checkpoint_file import CheckpointError
from ingradient_pl.inference.postprocess import Steps
from ingradient_pl.planning.plan import Plan
from ingradient_pl.short_repr import short_repr
from ingradient_pl.task import Task
from ingradient_pl.transforms.stage_labels import StageLabels

NOTHING = Steps()
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
        others: Models of other plans; their probabilities and those of these networks are averaged.
        postprocess: What is done to each finished segmentation.
        calibration: How their confidence is corrected.
    """

    networks: list[nn.Module]
    plan: Plan
    task: Task
    origin: str
    mirror: tuple[int, ...]
    validation: tuple[str, ...] = ()
    previous: "Model | None" = None
    others: "tuple[Model, ...]" = ()
    postprocess: Steps = NOTHING
    calibration: Calibration = Calibration()

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def inputs(self) -> int:
        """Channels that the networks take: the image's and, in a cascade, one for each foreground label."""
        seen = 0 if self.plan.previous_stage is None else len(StageLabels.of(self.task).values)
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
            try:
                StageLabels.of(self.task)
            except ValueError as error:
                raise CheckpointError(f"{self.origin}: {error}") from error
            for name, one, two in _shared_settings(self, previous):
                if one != two:
                    raise CheckpointError(
                        f"{previous.origin} is not a first stage for {self.origin}: its {name} is {two}, "
                        f"that of the second stage {one}. Take the one it was trained with."
                    )
        return self._replace(previous=previous)


def combine(models: Sequence[Model], postprocess: Steps = NOTHING) -> Model:
    """Make one model of several, of different plans for one task: their probabilities are averaged.

    Args:
        models: Each of its own plan.
        postprocess: What is done to each segmentation of all of them together.

    Raises:
        CheckpointError: If they are for different channels, labels or orientations.
    """
    first, *others = models
    for other in others:
        _check_seen_alike(first, other)
    kept = set.intersection(*(set(model.validation) for model in models))
    return first._replace(
        others=tuple(others),
        origin=", ".join(model.origin for model in models),
        validation=tuple(sorted(kept)),
        postprocess=postprocess,
    )


def join_folds(models: Sequence[Model]) -> Model:
    """Average models of one plan; in a cascade, those before them as well.

    Args:
        models: One for each fold, or several.

    Raises:
        CheckpointError: If they are of different plans or tasks.
    """
    for model in models[1:]:
        _check_alike(models[0], model)
    if len(models) > 1 and any(model.others or model.postprocess.steps for model in models):
        joined = next(model for model in models if model.others or model.postprocess.steps)
        raise CheckpointError(
            f"{joined.origin} averages its networks itself and brings its own post-processing: predict with "
            "it alone, or with the checkpoints that it was made from."
        )
    before = [model.previous for model in models if model.previous is not None]
    return models[0]._replace(
        networks=_each_once([network for model in models for network in model.networks]),
        origin=", ".join(model.origin for model in models),
        mirror=tuple(axis for axis in models[0].mirror if all(axis in model.mirror for model in models)),
        calibration=Calibration.join([model.calibration for model in models]),
        # what one kept from its training another trained on: all must have kept it
        validation=tuple(sorted(set.intersection(*(set(model.validation) for model in models)))),
        previous=join_folds(before) if before else None,
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
        ("labels", _list_labels(model.task), _list_labels(previous.task)),
        ("regions_class_order", model.task.regions_class_order, previous.task.regions_class_order),
    ]


def _list_labels(task: Task) -> dict[str, Any] | list[str]:
    """Give labels and their integers; of labels that overlap names alone: integers are a store's own."""
    return dict(task.labels) if task.overlap is None else list(task.foreground)


def _check_alike(first: Model, other: Model) -> None:
    for name in AGREED:
        one, two = getattr(first.plan, name), getattr(other.plan, name)
        if one != two:
            raise CheckpointError(
                f"{other.origin} cannot predict together with {first.origin}: '{name}' of its plan is {two}, "
                f"of the other {one}. Average checkpoints of one plan only (its folds)."
            )
    _check_seen_alike(first, other)


def _check_seen_alike(first: Model, other: Model) -> None:
    for name, one, two in _shared_settings(first, other):
        if one != two:
            raise CheckpointError(
                f"{other.origin} cannot predict together with {first.origin}: its {name} is {two}, of the "
                f"other {one}."
            )
