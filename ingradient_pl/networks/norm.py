"""Instance norm and the leaky ReLU after it, as one step."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.kernels import norm
from ingradient_pl.kernels.norm import EPSILON

SLOPE = 1e-2
VOXELS = (2, 3, 4)


class InstanceNorm(nn.Module):
    """Bring each channel of each image to a learnt mean and spread, then bend negative values.

    Args:
        width: Feature maps.
        activation: Whether a leaky ReLU of slope 0.01 follows.

    Source: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022.
    """

    def __init__(self, width: int, *, activation: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.slope = SLOPE if activation else 1.0

    @override
    def forward(
        self,
        features: Float[Tensor, "batch width z y x"],
        shortcut: Float[Tensor, "batch width z y x"] | None = None,
        absorbed: Float[Tensor, " width"] | None = None,
    ) -> Float[Tensor, "batch width z y x"]:
        """Normalise; where a ``shortcut`` is given, add it before the leaky ReLU, which then follows.

        ``absorbed`` is the bias of a convolution that left it out (:meth:`absorbs`): the norm would take it
        off again.
        """
        slope = self.slope if shortcut is None else SLOPE
        if self.absorbs(features):
            return norm.instance_norm(
                features, self.weight, self.bias, slope, shortcut=shortcut, absorbed=absorbed
            )
        by_hand = features.is_cpu and features.dtype == torch.float32 and not torch.compiler.is_compiling()
        if not by_hand:
            return norm.instance_norm_twin(features, self.weight, self.bias, slope, shortcut=shortcut)
        used_slope = slope if shortcut is None else 1.0
        normal: Tensor = _CpuNorm.apply(features, self.weight, self.bias, used_slope)  # type: ignore[no-untyped-call]
        return normal if shortcut is None else F.leaky_relu_(normal + shortcut, slope)

    def absorbs(self, features: Tensor) -> bool:
        """Whether norm and activation run as fused kernels, which take a convolution's bias off unread.

        Args:
            features: Shape (batch, channel, z, y, x).
        """
        return norm.fits(features)


class _CpuNorm(torch.autograd.Function):
    """Norm and bend for voxels whose channels lie side by side.

    ``F.instance_norm`` copies them apart first, and the gradient of ``F.group_norm`` (a group for each
    channel is the same norm) takes thrice the time of this one there: 24 ms against 7 for 16 channels. The
    mean is taken off before anything is squared: ``torch.native_group_norm`` squares first, and is wrong by
    2e-3 where a mean is ten times the spread, by 0.2 where it is a hundred times.
    """

    @override
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, slope: float) -> Tensor:
        centred = features - features.mean(VOXELS, keepdim=True)
        spread = torch.linalg.vector_norm(centred, dim=VOXELS, keepdim=True).square_()
        scale = spread.div_(features[0, 0].numel()).add_(EPSILON).rsqrt_()
        weight, bias = (one[:, None, None, None] for one in (weight, bias))
        normal = torch.addcmul(bias, centred, scale * weight)
        if slope != 1:
            F.leaky_relu_(normal, slope)
        ctx.slope = slope
        ctx.save_for_backward(centred, normal, scale, weight)
        return normal

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        centred, normal, scale, weight = ctx.saved_tensors
        (gradient,) = gradients
        if ctx.slope != 1:
            gradient = torch.ops.aten.leaky_relu_backward(gradient, normal, ctx.slope, True)
        by_bias = gradient.sum(VOXELS, keepdim=True)
        product = gradient * centred
        by_weight = product.sum(VOXELS, keepdim=True) * scale
        # The gradient less its mean and less what lies along the normalised features
        share = scale * weight / centred[0, 0].numel()
        offset, along = -share * by_bias, -share * scale * by_weight
        by_features = torch.addcmul(offset, centred, along, out=product).addcmul_(gradient, scale * weight)
        return by_features, by_weight.sum(0).flatten(), by_bias.sum(0).flatten(), None
