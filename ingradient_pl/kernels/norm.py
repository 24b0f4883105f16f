"""Instance norm, an optional addition and leaky ReLU as one operation on channels-last volumes."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.kernels.availability import usable
from ingradient_pl.kernels.operators import define, on_device_of

NAME = "norm"
EPSILON = 1e-5
PARTS = 1
"""Parts of an image where nothing is computed, on the meta device."""


def fits(features: Tensor) -> bool:
    """Whether the fused kernels can take such features: on CUDA with Triton, in 16 or 32 bits.

    Args:
        features: Shape (batch, channel, z, y, x).
    """
    return usable(NAME, features)


def instance_norm(
    features: Float[Tensor, "batch channel z y x"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    slope: float,
    *,
    shortcut: Float[Tensor, "batch channel z y x"] | None = None,
    absorbed: Float[Tensor, " channel"] | None = None,
) -> Float[Tensor, "batch channel z y x"]:
    """Normalise each channel of each image, add a shortcut and bend negative values.

    Two kernels there and two back; kept for the way back are the features alone. The answer is laid out
    channels-last, and statistics are in 32 bits.

    Args:
        features: On CUDA, fp32, fp16 or bf16; in another layout than channels-last they are copied first.
        weight: Spread of each channel afterwards.
        bias: Its mean.
        slope: Of negative values; 1 leaves them.
        shortcut: Is added before they are bent.
        absorbed: Bias of the convolution before that was not added, because the norm would take it off: it
            gets the gradient it has, zero.
    """
    normal: Tensor = _FusedNorm.apply(features, weight, bias, slope, shortcut, absorbed)  # type: ignore[no-untyped-call]
    return normal


def instance_norm_twin(
    features: Float[Tensor, "batch channel z y x"],
    weight: Float[Tensor, " channel"],
    bias: Float[Tensor, " channel"],
    slope: float,
    *,
    shortcut: Float[Tensor, "batch channel z y x"] | None = None,
) -> Float[Tensor, "batch channel z y x"]:
    """Compute the same as :func:`instance_norm` by torch's operators, on any device.

    Args:
        features: Before the norm.
        weight: Of each channel.
        bias: Of each channel.
        slope: Of what is negative; 1 leaves it, which is no activation.
        shortcut: Added before the activation; None adds nothing.
    """
    # F.instance_norm is this with a check that refuses a single voxel
    settings = True, 0.0, EPSILON, torch.backends.cudnn.enabled
    normal = torch.instance_norm(features, weight, bias, None, None, *settings)
    normal = normal if shortcut is None else normal + shortcut
    return normal if slope == 1 else F.leaky_relu(normal, slope, inplace=True)


class _FusedNorm(torch.autograd.Function):
    @override
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        slope: float,
        shortcut: Tensor | None,
        absorbed: Tensor | None,
    ) -> Tensor:
        shortcut = None if shortcut is None else shortcut.to(features.dtype)
        moments = torch.ops.ingradient.norm_moments(features)
        normal, statistics = torch.ops.ingradient.norm_apply(
            features, moments, weight, bias, shortcut, slope, EPSILON
        )
        ctx.save_for_backward(features, statistics, weight, bias, shortcut)
        ctx.slope, ctx.absorbs = slope, absorbed is not None
        answer: Tensor = normal
        return answer

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        features, statistics, weight, bias, shortcut = ctx.saved_tensors
        gradient, slope = gradients[0], ctx.slope
        sums, by_shortcut = torch.ops.ingradient.norm_backward_sums(
            gradient, features, statistics, weight, bias, shortcut, slope
        )
        if shortcut is not None:
            gradient, slope = by_shortcut, 1.0  # bent already
        by_features, by_affine = torch.ops.ingradient.norm_backward_apply(
            gradient, features, statistics, sums, weight, bias, slope
        )
        by_weight, by_bias, nothing = by_affine.to(weight.dtype).unbind()
        added = None if shortcut is None else by_shortcut
        return by_features, by_weight, by_bias, None, added, nothing if ctx.absorbs else None


def _room_for_moments(features: Tensor, parts: int) -> Tensor:
    return features.new_empty((features.shape[0], parts, 2, features.shape[1]), dtype=torch.float32)


def _room_for_normal(features: Tensor) -> tuple[Tensor, Tensor]:
    images, channels = features.shape[:2]
    return _volume(features), features.new_empty((images, 2, channels), dtype=torch.float32)


def _volume(features: Tensor) -> Tensor:
    """Give room for a channels-last volume, also where it has a single channel."""
    images, channels, *edges = features.shape
    return features.new_empty((images, *edges, channels)).movedim(-1, 1)


def _moments_meta(features: Tensor) -> Tensor:
    return _room_for_moments(features, PARTS)


def _apply_meta(features: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _room_for_normal(features)


def _backward_sums_meta(
    gradient: Tensor,
    features: Tensor,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    shortcut: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor]:
    by_shortcut = features.new_empty(0) if shortcut is None else _volume(features)
    return _room_for_moments(features, PARTS), by_shortcut


def _backward_apply_meta(gradient: Tensor, features: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return _volume(features), features.new_empty((3, features.shape[1]), dtype=torch.float32)


def side_by_side(volume: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Give a volume whose channels lie side by side, and how far apart images and voxels lie.

    What lies so already is not copied, also where it is part of the channels of a larger volume.

    Args:
        volume: Shape (batch, channel, z, y, x).
    """
    channels, *edges = volume.shape[1:]
    batch, channel, *steps = volume.stride()
    row = next((step for edge, step in zip(edges[::-1], steps[::-1], strict=True) if edge > 1), channels)
    wanted, size = [], row
    for edge in edges[::-1]:
        wanted.append(size)
        size *= edge
    lies = all(edge == 1 or a == b for edge, a, b in zip(edges[::-1], steps[::-1], wanted, strict=True))
    if not lies or (channel != 1 and channels > 1) or row < channels:
        volume = _volume(volume).copy_(volume)
        return volume, (channels * volume.shape[2:].numel(), channels)
    return volume, (batch, row)


def _moments(features: Tensor) -> Tensor:
    from ingradient_pl.kernels import norm_triton

    images, channels = features.shape[:2]
    out = _room_for_moments(features, norm_triton.parts_of(images, features.shape[2:].numel(), channels))
    with on_device_of(features):
        norm_triton.moments(*side_by_side(features), out)
    return out


def _apply(
    features: Tensor,
    moments: Tensor,
    weight: Tensor,
    bias: Tensor,
    shortcut: Tensor | None,
    slope: float,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    from ingradient_pl.kernels import norm_triton

    out = _room_for_normal(features)
    added = None if shortcut is None else side_by_side(shortcut)
    with on_device_of(features):
        settings = slope, epsilon
        norm_triton.apply(side_by_side(features), moments, (weight, bias), added, settings, out)
    return out


def _backward_sums(
    gradient: Tensor,
    features: Tensor,
    statistics: Tensor,
    weight: Tensor,
    bias: Tensor,
    shortcut: Tensor | None,
    slope: float,
) -> tuple[Tensor, Tensor]:
    from ingradient_pl.kernels import norm_backward_triton, norm_triton

    images, channels = features.shape[:2]
    sums = _room_for_moments(features, norm_triton.parts_of(images, features.shape[2:].numel(), channels))
    added = None if shortcut is None else side_by_side(shortcut)
    by_shortcut = features.new_empty(0) if shortcut is None else _volume(features)
    with on_device_of(features):
        pull, volume = side_by_side(gradient), side_by_side(features)
        norm_backward_triton.backward_sums(
            pull, volume, statistics, (weight, bias), added, slope, (sums, by_shortcut)
        )
    return sums, by_shortcut


def _backward_apply(
    gradient: Tensor,
    features: Tensor,
    statistics: Tensor,
    sums: Tensor,
    weight: Tensor,
    bias: Tensor,
    slope: float,
) -> tuple[Tensor, Tensor]:
    from ingradient_pl.kernels import norm_backward_triton

    out = _backward_apply_meta(gradient, features)
    with on_device_of(features):
        pull, volume = side_by_side(gradient), side_by_side(features)
        norm_backward_triton.backward_apply(pull, volume, statistics, sums, (weight, bias), slope, out)
    return out


define("norm_moments(Tensor features) -> Tensor", _moments, _moments_meta)
define(
    "norm_apply(Tensor features, Tensor moments, Tensor weight, Tensor bias, Tensor? shortcut, float slope, "
    "float epsilon) -> (Tensor, Tensor)",
    _apply,
    _apply_meta,
)
define(
    "norm_backward_sums(Tensor gradient, Tensor features, Tensor statistics, Tensor weight, Tensor bias, "
    "Tensor? shortcut, float slope) -> (Tensor, Tensor)",
    _backward_sums,
    _backward_sums_meta,
)
define(
    "norm_backward_apply(Tensor gradient, Tensor features, Tensor statistics, Tensor sums, Tensor weight, "
    "Tensor bias, float slope) -> (Tensor, Tensor)",
    _backward_apply,
    _backward_apply_meta,
)
