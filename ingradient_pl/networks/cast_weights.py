"""Weights of convolutions in 16 bits, all in one launch there and one back."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

CAST = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
"""Layers that autocast computes in 16 bits."""


def call_with_cast_weights(network: nn.Module, dtype: torch.dtype, image: Tensor) -> Any:
    """Call a network with the weights of its convolutions and linear layers cast to ``dtype``.

    Autocast casts each when it is used, and each gradient back: two launches a layer. Values are the same.

    Args:
        network: Any; within autocast to ``dtype``, so that its images are cast too.
        dtype: 16 bits.
        image: Shape (batch, channel, z, y, x).
    """
    chosen = {
        f"{name}.weight" if name else "weight": module.weight
        for name, module in network.named_modules()
        if isinstance(module, CAST)
    }
    cast = _Cast.apply(dtype, *chosen.values())  # type: ignore[no-untyped-call]
    return functional_call(network, dict(zip(chosen, cast, strict=True)), (image,))


class _Cast(torch.autograd.Function):
    @override
    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.dtypes = [weight.dtype for weight in weights]
        cast = [torch.empty_like(weight, dtype=dtype) for weight in weights]
        torch._foreach_copy_(cast, weights)
        return tuple(cast)

    @override
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        pairs = zip(gradients, ctx.dtypes, strict=True)
        back = [None if one is None else torch.empty_like(one, dtype=dtype) for one, dtype in pairs]
        there = [(one, other) for one, other in zip(back, gradients, strict=True) if one is not None]
        if there:
            torch._foreach_copy_(
                [one for one, _ in there], [other for _, other in there if other is not None]
            )
        return None, *back
