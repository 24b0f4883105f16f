"""Sums over the voxels of a level, and soft Dice with cross entropy of them, in one kernel each."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, distributed
from typing_extensions import override

from ingradient_pl.kernels.availability import usable
from ingradient_pl.kernels.operators import define, on_device_of

NAME = "dice_ce"
MOST_CLASSES = 256
SMALLEST = 1e-8
"""What nothing is divided by less than."""
PARTS = 1
"""Parts of an image where nothing is computed, on the meta device."""


class Settings(NamedTuple):
    """Of soft Dice and cross entropy.

    Args:
        ignore: Integer of voxels that do not count; None if all do.
        pooled: Whether Dice is taken over all images as if they were one.
        first: First class that Dice counts.
        smooth: Added above and below in Dice, in voxels.
        entropy: Weight of the cross entropy.
        dice: Weight of Dice.
    """

    ignore: int | None
    pooled: bool
    first: int
    smooth: float
    entropy: float
    dice: float


def fits(logits: Tensor) -> bool:
    """Whether the kernels can take such logits: on CUDA with Triton, in 16 or 32 bits, of few classes.

    Args:
        logits: Shape (batch, class, z, y, x).
    """
    return logits.shape[1] <= MOST_CLASSES and usable(NAME, logits)


def dice_ce(
    logits: Float[Tensor, "batch class z y x"],
    label: Integer[Tensor, "batch z y x"],
    weights: Float[Tensor, " class"] | None,
    settings: Settings,
    known: Bool[Tensor, "batch class"] | None = None,
    *,
    among_ranks: bool = False,
) -> Float[Tensor, ""]:
    """Cross entropy minus soft Dice of a level, each with its weight: two kernels there, one back.

    Args:
        logits: On CUDA, in any layout whose voxels are one axis; else they are copied.
        label: Integers of classes, or ``settings.ignore``; any strides.
        weights: Of a voxel in the cross entropy by its class; None weighs all alike.
        settings: Of both.
        known: Which classes each image's label tells apart. The others are one with the background, as
            ``losses.known_outputs.merge_unknown`` has it, and no Dice counts them; None where all are told.
        among_ranks: Whether what both divide by, and a pooled Dice, is counted on all ranks, so that the mean
            of the ranks' gradients is that of the whole batch. One sum over the ranks on the way there, none
            back: the loss has the same weight on all of them.
    """
    told = None if known is None else known.contiguous().view(torch.uint8)
    loss: Tensor = _DiceCE.apply(logits, label, weights, settings, told, among_ranks)  # type: ignore[no-untyped-call]
    return loss


def class_sums(
    logits: Float[Tensor, "batch class z y x"], label: Integer[Tensor, "batch z y x"], ignore: int | None
) -> Float[Tensor, "batch 4 class"]:
    """Overlap, predicted, true and log of each image and class, as ``losses.soft_counts`` defines them.

    Args:
        logits: On CUDA, as :func:`fits` asks.
        label: Classes from 0.
        ignore: Label whose voxels count nowhere; None where there is none.
    """
    found: Tensor = _ClassSums.apply(logits, label, ignore)  # type: ignore[no-untyped-call]
    return found


class _DiceCE(torch.autograd.Function):
    @override
    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        label: Tensor,
        weights: Tensor | None,
        settings: Settings,
        known: Tensor | None,
        among_ranks: bool,
    ) -> Tensor:
        sums = torch.ops.ingradient.class_sums(logits, label, known, settings.ignore)
        totals = _sum_over_ranks(sums, known) if among_ranks else None
        ranks = distributed.get_world_size() if among_ranks else 1
        numbers = settings.pooled, settings.first, settings.smooth, settings.entropy, settings.dice
        loss, slopes = torch.ops.ingradient.dice_ce_finish(sums, weights, known, totals, ranks, *numbers)
        ctx.save_for_backward(logits, label, known, slopes)
        ctx.ignore = settings.ignore
        answer: Tensor = loss
        return answer

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, label, known, slopes = ctx.saved_tensors
        slopes = slopes.expand(len(logits), -1, -1)
        given = logits, label, known, slopes, gradients[0], ctx.ignore
        return torch.ops.ingradient.class_sums_backward(*given), *(None,) * 5


class _ClassSums(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, ignore: int | None) -> Tensor:
        ctx.save_for_backward(logits, label)
        ctx.ignore = ignore
        sums: Tensor = torch.ops.ingradient.class_sums(logits, label, None, ignore).sum(1)
        return sums

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logits, label = ctx.saved_tensors
        slopes = gradients[0][:, (0, 1, 3)].contiguous()
        given = logits, label, None, slopes, None, ctx.ignore
        return torch.ops.ingradient.class_sums_backward(*given), None, None


def _sum_over_ranks(sums: Tensor, known: Tensor | None) -> Tensor:
    """Sum overlap, predicted, true and in how many images it is known, of each class over all images."""
    totals = sums.sum((0, 1))
    if known is not None:
        totals[3] = known.sum(0)  # the logarithms are each rank's own
    distributed.all_reduce(totals)
    return totals


def _voxels_as_one(logits: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
    """Give logits whose voxels follow each other at one step, and the steps of images, voxels and classes."""
    edges, steps = logits.shape[:1:-1], logits.stride()[:1:-1]
    step = next((step for edge, step in zip(edges, steps, strict=True) if edge > 1), 1)
    wanted = step
    for edge, found in zip(edges, steps, strict=True):
        if edge > 1 and found != wanted:
            logits = logits.contiguous()
            return logits, (logits.stride(0), 1, logits.stride(1))
        wanted *= edge
    return logits, (logits.stride(0), step, logits.stride(1))


def _sums(logits: Tensor, label: Tensor, known: Tensor | None, ignore: int | None) -> Tensor:
    from ingradient_pl.kernels import dice_ce_triton

    images, classes = logits.shape[:2]
    parts = dice_ce_triton.parts_of(images, label.shape[1:].numel(), classes)
    out = logits.new_empty((images, parts, 4, classes), dtype=torch.float32)
    with on_device_of(logits):
        dice_ce_triton.sums(_voxels_as_one(logits), label, known, ignore, out)
    return out


def _sums_meta(logits: Tensor, *_: object) -> Tensor:
    return logits.new_empty((logits.shape[0], PARTS, 4, logits.shape[1]), dtype=torch.float32)


def _finish(
    sums: Tensor,
    weights: Tensor | None,
    known: Tensor | None,
    totals: Tensor | None,
    ranks: int,
    pooled: bool,  # noqa: FBT001
    *settings: float,
) -> tuple[Tensor, Tensor]:
    from ingradient_pl.kernels import dice_ce_finish_triton

    out = _finish_meta(sums, weights, known, totals, ranks, pooled)
    first, smooth, entropy, dice = settings
    numbers = ranks, int(first), smooth, SMALLEST, entropy, dice
    with on_device_of(sums):
        dice_ce_finish_triton.finish(sums, weights, known, totals, numbers, pooled, out)
    return out


def _finish_meta(
    sums: Tensor,
    weights: Tensor | None,
    known: Tensor | None,
    totals: Tensor | None,
    ranks: int,
    pooled: bool,  # noqa: FBT001
    *_: object,
) -> tuple[Tensor, Tensor]:
    slopes = sums.new_empty((1 if pooled else sums.shape[0], 3, sums.shape[3]))
    return sums.new_empty(()), slopes


def _backward(
    logits: Tensor,
    label: Tensor,
    known: Tensor | None,
    slopes: Tensor,
    factor: Tensor | None,
    ignore: int | None,
) -> Tensor:
    from ingradient_pl.kernels import dice_ce_triton

    logits, strides = _voxels_as_one(logits)
    out = torch.empty_strided(logits.shape, logits.stride(), dtype=logits.dtype, device=logits.device)
    with on_device_of(logits):
        dice_ce_triton.backward((logits, strides), label, known, ignore, (slopes, factor), out)
    return out


def _backward_meta(logits: Tensor, *_: object) -> Tensor:
    return torch.empty_like(logits)


define("class_sums(Tensor logits, Tensor label, Tensor? known, int? ignore) -> Tensor", _sums, _sums_meta)
define(
    "dice_ce_finish(Tensor sums, Tensor? weights, Tensor? known, Tensor? totals, int ranks, bool pooled, "
    "int first, float smooth, float entropy, float dice) -> (Tensor, Tensor)",
    _finish,
    _finish_meta,
)
define(
    "class_sums_backward(Tensor logits, Tensor label, Tensor? known, Tensor slopes, Tensor? factor, "
    "int? ignore) -> Tensor",
    _backward,
    _backward_meta,
)
