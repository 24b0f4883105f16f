"""Weights to start from, with all that is known of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from ingradient_pl.datasets.split_records import Split
from ingradient_pl.finetuning.trained_on import TrainedOn
from ingradient_pl.planning.plan import Plan
from ingradient_pl.short_repr import short_repr
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import Normaliser

TOPOLOGY = ("widths", "strides", "kernels", "blocks", "decoder_blocks", "residual")
"""Entries of a plan that say which network it is."""


class SourcePlan(NamedTuple):
    """How a source saw its cases: what a plan for other data may take over.

    Args:
        topology: Entries of a plan that make its network.
        spacing: Voxels in mm along (z, y, x) of its network, an axis that was kept as None; None where it saw
            cases as they came.
        patch: In voxels.
        normalisation: Of each channel; None where the source does not tell what it needs.
        transpose: Axis ``i`` of its network is axis ``transpose[i]`` of a case.
        orientation: Patient directions of a case's axes, or ``stored``.
    """

    topology: Mapping[str, Any]
    spacing: tuple[float | None, ...] | None
    patch: tuple[int, ...]
    normalisation: Sequence[Normaliser | None]
    transpose: tuple[int, ...]
    orientation: str

    def __repr__(self) -> str:
        return short_repr(self)

    @classmethod
    def of(cls, plan: Plan) -> "SourcePlan":
        """Take it from a whole plan.

        Args:
            plan: Of a checkpoint or of a model of nnU-Net.
        """
        return cls(
            topology={name: getattr(plan, name) for name in TOPOLOGY},
            spacing=plan.spacing,
            patch=plan.patch,
            normalisation=tuple(plan.normalisation),
            transpose=plan.transpose,
            orientation=plan.orientation,
        )


class Source(NamedTuple):
    """Weights to start from, with what they mean and whom they know.

    Args:
        network: The trained network, or one of its shape; None where the file tells no network.
        weights: Its tensors: by our names where there is a network, else by those of the file; the mean over
            folds, where asked.
        task: What its channels and outputs mean; None where the file does not tell.
        origin: Where it was read from.
        inputs: Name of each input channel, empty where it has none; in a cascade, those of the previous stage
            come last. Empty as a whole where the file does not tell.
        split: Who trained and who validated; None where the file does not tell.
        trained: The cases that it was trained on, one entry a data set, its own source's included; empty
            where the file does not tell.
        images: Check sum of the image of each case of the split, by name; empty where the file does not tell.
        plan: How it saw its cases; None where the file does not tell.
        missing: Why a tensor that the new network has is not there.
        warnings: What the file says that may be meant otherwise.
        renamed: The file's name of each tensor, where tensors got our names only here.
    """

    network: nn.Module | None
    weights: Mapping[str, Tensor]
    task: Task | None
    origin: str
    inputs: tuple[str, ...]
    split: Split | None = None
    trained: tuple[TrainedOn, ...] = ()
    images: Mapping[str, str] = {}
    plan: SourcePlan | None = None
    missing: str = "the source has no such stage or block"
    warnings: tuple[str, ...] = ()
    renamed: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return short_repr(self)
