"""Traced memory: what any network keeps for its backward pass, found out without computing it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.geometry import AXES
from ingradient_pl.planning.memory import Architecture, Memory

GIGABYTE = 1e9
MIXED = torch.bfloat16
LOSS_BYTES = 8
"""Bytes that a loss keeps for each logit: its softmax and its gradient in 32 bits."""

Zyx = tuple[int, ...]
Network = Callable[[int, int, Zyx], nn.Module]


class MemoryFootprint(NamedTuple):
    """What training a network on one patch takes.

    Args:
        weights: Numbers that it learns.
        kept: Bytes that wait for the backward pass.
        largest: Bytes of the largest tensor among them.
        logits: Numbers in its outputs, all levels.
    """

    weights: int
    kept: int
    largest: int
    logits: int


@dataclass(frozen=True)
class TracedMemory(Memory):
    """Judge a network that is not ours by running it on tensors that have a shape and no content.

    Assumed are mixed precision, an optimiser that keeps one number a weight (SGD with momentum), and a loss
    that keeps each logit twice. What the network does in its backward pass beyond two tensors of the largest
    kind is not seen. Not yet compared with a GPU of ours; for pairs of the largest cubes that nnU-Net's
    presets hold it says 7.2, 9.0, 22.1 and 33.0 GB, where 7.7, 9.1, 22.7 and 36.6 were published as means
    over data sets (Isensee et al. 2024, https://arxiv.org/abs/2404.09556).

    Args:
        network: Called with (channels, outputs, patch) it makes the network; patch is (z, y, x) voxels.
        weight_bytes: Bytes for each weight: itself, its gradient, the optimiser's number and its half
            precision copy; 18 for Adam, which keeps one more.
        reserved_gb: Memory that is not ours to plan: CUDA itself and the work space of its convolutions.
        multiple: What each axis of a patch is rounded up to, where the network asks for it (32 for many);
            axes of one voxel stay.

    Raises:
        ValueError: If a number is negative, or ``multiple`` not positive.
    """

    network: Network
    weight_bytes: float = 14.0
    reserved_gb: float = 2.0
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.weight_bytes < 0 or self.reserved_gb < 0 or self.multiple < 1:
            raise ValueError(
                "TracedMemory needs weight_bytes >= 0, reserved_gb >= 0 and multiple >= 1; got "
                f"{self.weight_bytes}, {self.reserved_gb} and {self.multiple}."
            )

    @override
    def patch(self, patch: Zyx) -> Zyx:
        return tuple(-(-size // self.multiple) * self.multiple if size > 1 else size for size in patch)

    @override
    def patches(self, architecture: Architecture, gigabytes: float) -> float:
        found = self._footprint(architecture)
        free = (gigabytes - self.reserved_gb) * GIGABYTE - found.weights * self.weight_bytes
        return max(0.0, free) / _patch_bytes(found)

    @override
    def notes(self, architecture: Architecture) -> dict[str, object]:
        found = self._footprint(architecture)
        return {
            "memory_judged_by": "tracing the network in 16 bits",
            "weights": found.weights,
            "bytes_per_weight": self.weight_bytes,
            "gb_per_patch": _patch_bytes(found) / GIGABYTE,
            "reserved_gb": self.reserved_gb,
        }

    def _footprint(self, architecture: Architecture) -> MemoryFootprint:
        patch = self.patch(architecture.topology.within(AXES).patch)
        return _cached_footprint(self.network, architecture.channels, architecture.outputs, patch)


def trace_footprint(network: nn.Module, channels: int, patch: Zyx) -> MemoryFootprint:
    """Run a network forward on the meta device, in 16 bits and training mode, and count what it keeps.

    Args:
        network: Its weights may be on the meta device already; else they are left there.
        channels: Of the image.
        patch: Voxels of the image, (z, y, x).

    Raises:
        ValueError: If the network cannot be run so: it refuses the patch, or looks at values.
    """
    network = network.to("meta", dtype=MIXED).train()
    weights = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    own = {_identity(one) for one in (*network.parameters(), *network.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(saved: Tensor) -> Tensor:
        if _identity(saved) not in own:
            kept[_identity(saved)] = saved.untyped_storage()
        return saved

    image = torch.empty((1, channels, *patch), device="meta", dtype=MIXED)
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            outputs = network(image)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError) as error:
        raise ValueError(
            f"{type(network).__name__} cannot be traced on a patch of {patch} voxels: "
            f"{' '.join(str(error).split())[:300]}. If it refuses the patch, give 'multiple', the voxels it "
            "asks multiples of; if it looks at values, write patch and batch size into the plan by hand."
        ) from error
    sizes = [storage.nbytes() for storage in kept.values()]
    return MemoryFootprint(
        weights, sum(sizes), max(sizes, default=0), sum(one.numel() for one in _tensors(outputs))
    )


@functools.lru_cache(maxsize=256)
def _cached_footprint(network: Network, channels: int, outputs: int, patch: Zyx) -> MemoryFootprint:
    return trace_footprint(_build(network, channels, outputs, patch), channels, patch)


def _build(network: Network, channels: int, outputs: int, patch: Zyx) -> nn.Module:
    """Make the network without memory for its weights, or with, where its constructor computes with them."""
    try:
        with torch.device("meta"):
            return network(channels, outputs, patch)
    except (RuntimeError, NotImplementedError):
        return network(channels, outputs, patch)


def _patch_bytes(found: MemoryFootprint) -> float:
    return found.kept + 2 * found.largest + LOSS_BYTES * found.logits


def _identity(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _tensors(outputs: Any) -> list[Tensor]:
    if isinstance(outputs, Tensor):
        return [outputs]
    entries = outputs.values() if isinstance(outputs, dict) else outputs
    return [tensor for entry in entries for tensor in _tensors(entry)]
