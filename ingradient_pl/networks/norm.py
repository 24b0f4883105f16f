"""Instance norm and the leaky ReLU after it, as one step."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

EPSILON = 1e-5
SLOPE = 1e-2


class InstanceNorm(nn.Module):
    """Bring each channel of each image to a learnt mean and spread, then bend negative values.

    Args:
        width: Feature maps.
        bent: Whether a leaky ReLU of slope 0.01 follows.

    Source: Ulyanov et al. 2016, https://arxiv.org/abs/1607.08022.
    """

    def __init__(self, width: int, *, bent: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.bent = bent

    @override
    def forward(self, features: Float[Tensor, "batch width z y x"]) -> Float[Tensor, "batch width z y x"]:
        normal = F.instance_norm(features, None, None, self.weight, self.bias, eps=EPSILON)
        return F.leaky_relu(normal, SLOPE, inplace=True) if self.bent else normal
