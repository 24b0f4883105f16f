"""The tensor of a trained network that plays the role of one of a new network, made to fit it."""

from typing import NamedTuple

from torch import Tensor

from ingradient_pl.finetuning.adapt import (
    FIRST_KERNEL_AXIS,
    adapt_channels,
    adapt_kernel,
    adapt_outputs,
    adapt_rows,
    adapt_upsampling,
    pair_names,
    with_axes,
)
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.networks.unet import UNet
from ingradient_pl.phrases import join_times
from ingradient_pl.task import Task

STEM, FIRST = "stem.", "encoder.0.0."
"""The first convolution of a residual and of a plain UNet."""
SIGMOID, SOFTMAX = "a label's row less the background's", "labels beside a background of zeros"
"""What becomes of the rows of heads where labels overlap here and not in the source, and the reverse."""


class Match(NamedTuple):
    """What a tensor starts from.

    Args:
        value: Its weights; None where it stays as it was initialised.
        how: What was adapted, or why nothing was taken; empty where it is the source's as it was.
        taken: How many parameters come from the source.
        source: Name of the source's tensor; empty where there is none.
    """

    value: Tensor | None
    how: str = ""
    taken: int = 0
    source: str = ""


def match_by_name(name: str, fresh: Tensor, source: Source) -> Match:
    """Take the tensor of the same name where its shape is the same: of other networks no more is known.

    Args:
        name: Of a tensor of the new network.
        fresh: As it was initialised.
        source: Where the weights come from.
    """
    if name not in source.weights:
        reason = "the source has no tensor of this name" if source.network is not None else source.missing
        return Match(None, reason)
    weight = source.weights[name]
    if weight.shape != fresh.shape:
        return Match(None, f"{_shape(weight)} in the source", source=name)
    return Match(weight, taken=fresh.numel(), source=name)


class UNetMatcher:
    """Pair the tensors of two UNets by role: encoder stage, way up, decoder stage and head, finest first.

    Args:
        network: The new one.
        source: Of which network is a UNet, or weights that have the names of ours.
        task: What the new network's channels and outputs mean.
    """

    def __init__(self, network: UNet, source: Source, task: Task) -> None:
        trained = source.network if isinstance(source.network, UNet) else network
        self.residual = (bool(network.spec["residual"]), bool(trained.spec["residual"]))
        self.strides = (network.spec["strides"], trained.spec["strides"])
        self.weights, self.inputs, self.known = source.weights, source.inputs, source.task
        self.missing, self.task = source.missing, task

    def match(self, name: str, fresh: Tensor) -> Match:
        """Give what a tensor starts from.

        Args:
            name: Of the tensor.
            fresh: As it was initialised.
        """
        theirs = find_counterpart(name, *self.residual)
        if theirs is None:
            here, there = (("residual" if one else "plain") for one in self.residual)
            return Match(None, f"the encoder is {here}, the source's {there}")
        if theirs not in self.weights:
            return Match(None, self.missing)
        weight, told = self._kernel(name, with_axes(self.weights[theirs].to(fresh), fresh), fresh)
        if name.startswith("heads."):
            return self._head(theirs, weight, told, fresh)
        first = name in (f"{STEM}conv.weight", f"{FIRST}conv.weight") and self._is_first(name)
        if first and weight.ndim == fresh.ndim:
            weight, told = self._channels(weight, told)
        if weight.shape != fresh.shape:
            return self._other(theirs, weight, fresh)
        told = [*told, *self._stride(name)]
        return Match(weight, "; ".join(told), fresh.numel(), theirs)

    def _is_first(self, name: str) -> bool:
        return name.startswith(STEM) == self.residual[0]

    def _kernel(self, name: str, weight: Tensor, fresh: Tensor) -> tuple[Tensor, list[str]]:
        here, there = fresh.shape[FIRST_KERNEL_AXIS:], weight.shape[FIRST_KERNEL_AXIS:]
        odd = all(one % 2 == other % 2 for one, other in zip(here, there, strict=False))
        if here == there or weight.ndim != fresh.ndim or not (odd or name.startswith("ups.")):
            return weight, []
        adapt = adapt_upsampling if name.startswith("ups.") else adapt_kernel
        return adapt(weight, here), [f"kernel {join_times(there)} to {join_times(here)}"]

    def _channels(self, weight: Tensor, told: list[str]) -> tuple[Tensor, list[str]]:
        if not any(self.inputs):
            return self._unnamed_channels(weight, told)
        found = pair_names(self.task.channels, self.inputs)
        if found == list(range(len(self.inputs))):
            return weight, told
        absent = [name for name, place in zip(self.task.channels, found, strict=True) if place is None]
        dropped = [name for place, name in enumerate(self.inputs) if place not in found]
        told = [*told, *([f"channel {', '.join(absent)}: mean of the source's"] if absent else [])]
        told += [f"channel {', '.join(dropped)} dropped"] if dropped else []
        return adapt_channels(weight, found), told if absent or dropped else [*told, "channels reordered"]

    def _unnamed_channels(self, weight: Tensor, told: list[str]) -> tuple[Tensor, list[str]]:
        """Choose channels of a source that names none: in order where there are as many, else their mean."""
        here, there = len(self.task.channels), weight.shape[1]
        if here == there:
            return weight, told if there == 1 else [*told, "channels in order: the source names none"]
        return (
            adapt_channels(weight, [None] * here),
            [*told, f"{here} channels: each the mean of the source's {there}, which have no names"],
        )

    def _other(self, theirs: str, weight: Tensor, fresh: Tensor) -> Match:
        """Say what does not fit: the width, or a kernel of even size, which has no centre."""
        shape = _shape(self.weights[theirs])
        width = weight.shape[:FIRST_KERNEL_AXIS] != fresh.shape[:FIRST_KERNEL_AXIS]
        reason = "another width" if width else f"its kernel cannot become {_shape(fresh)}"
        return Match(None, f"{shape} in the source: {reason}", source=theirs)

    def _head(self, theirs: str, weight: Tensor, told: list[str], fresh: Tensor) -> Match:
        """Match a head row by row, where outputs of both are labels, or regions of both."""
        if weight.shape[1:] != fresh.shape[1:]:
            return self._other(theirs, weight, fresh)
        if self.known is None:
            if weight.shape != fresh.shape:
                return Match(None, f"{len(weight)} outputs in the source, which names none", source=theirs)
            how = "; ".join([*told, "outputs in order: the source names none"])
            return Match(weight, how, fresh.numel(), theirs)
        names, known = output_names(self.task), output_names(self.known)
        if self.known.has_regions != self.task.has_regions:
            if self.known.overlap is None and self.task.overlap is None:
                here, there = (
                    ("regions" if one.has_regions else "labels") for one in (self.task, self.known)
                )
                return Match(None, f"outputs are {here}, the source's {there}", source=theirs)
            weight = adapt_outputs(weight, masks=self.task.has_regions)
            told = [*told, SIGMOID if self.task.has_regions else SOFTMAX]
            known = known[1:] if self.task.has_regions else [names[0], *known]
        found = pair_names(names, known)
        absent = [name for name, place in zip(names, found, strict=True) if place is None]
        if len(absent) == len(names):
            return Match(None, "the source has none of the labels", source=theirs)
        same = found == list(range(len(weight)))
        told = [*told, *([f"label {', '.join(absent)} fresh"] if absent else [])]
        told += [] if same or absent else ["labels chosen by name"]
        taken = (len(names) - len(absent)) * (fresh.numel() // len(names))
        return Match(adapt_rows(weight, found, fresh), "; ".join(told), taken, theirs)

    def _stride(self, name: str) -> list[str]:
        """Say where a stage strides otherwise than it did: its weights fit, what they see is other."""
        part, number, block, *_ = [*name.split("."), "", ""]
        if part != "encoder" or block != "0" or not name.endswith("conv.weight") or ".second." in name:
            return []
        here, there = (strides[int(number)] for strides in self.strides)
        return [] if here == there else [f"stride {join_times(there)} to {join_times(here)}"]


def find_counterpart(name: str, residual: bool, trained_residual: bool) -> str | None:  # noqa: FBT001
    """Give the name of the tensor that plays the role of another in a UNet of the other kind, or of the same.

    Stages count from the finest, so that coarse stages may be there or not; a residual encoder's stem is a
    plain encoder's first convolution. Blocks of the two kinds do not compute alike.

    >>> find_counterpart("stem.conv.weight", True, False)
    'encoder.0.0.conv.weight'
    >>> find_counterpart("encoder.1.0.conv.bias", False, True) is None
    True

    Args:
        name: Of a tensor of the new network.
        residual: Whether the new network's encoder is residual.
        trained_residual: Whether the source's is.

    Returns:
        The name in the source; None where it has no such part.
    """
    if residual == trained_residual:
        return name
    mine, theirs = (STEM, FIRST) if residual else (FIRST, STEM)
    if name.startswith(mine):
        return theirs + name.removeprefix(mine)
    return None if name.startswith("encoder.") else name


def output_names(task: Task) -> list[str]:
    """Name the outputs of a task; the background has one name, whatever the data set calls it.

    Args:
        task: Whose labels or regions the network has outputs for.
    """
    names = task.output_names
    return names if task.has_regions else ["background", *names[1:]]


def _shape(weight: Tensor) -> str:
    return join_times(weight.shape)
