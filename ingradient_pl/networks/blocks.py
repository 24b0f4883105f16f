"""Convolution with its norm and nonlinearity, the residual block made of two, and the way up a level."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.networks.norm import InstanceNorm

Zyx = tuple[int, int, int]
POINT: Zyx = (1, 1, 1)


class Convolution(nn.Module):
    """Convolve, normalise each channel of each image, and bend negative values.

    Args:
        channels: Feature maps in.
        width: Feature maps out.
        kernel: Odd sizes in voxels; the output is as large as the input but for the stride.
        stride: Voxels from one output to the next.
        bias: Whether the convolution has one.
        activation: Whether a leaky ReLU follows the norm.
        dropout: Chance in [0, 1) that a feature map is dropped while training.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: Zyx,
        stride: Zyx = POINT,
        *,
        bias: bool = True,
        activation: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        z, y, x = kernel
        self.conv = nn.Conv3d(channels, width, kernel, stride, (z // 2, y // 2, x // 2), bias=bias)
        self.norm = InstanceNorm(width, activation=activation)
        self.dropout = dropout

    @override
    def forward(
        self,
        image: Float[Tensor, "batch channel z y x"],
        shortcut: Float[Tensor, "batch width _ _ _"] | None = None,
    ) -> Float[Tensor, "batch width _ _ _"]:
        """Convolve and normalise; a ``shortcut`` is added before the leaky ReLU, which then follows."""
        absorbed = self.conv.bias if self.norm.absorbs(image) else None
        if absorbed is None:
            features = self.conv(image)
        else:  # adding it would read and write the features once more, its gradient read them
            features = F.conv3d(image, self.conv.weight, None, self.conv.stride, self.conv.padding)
        if self.dropout:
            features = F.dropout3d(features, self.dropout, self.training)
        normal: Tensor = self.norm(features, shortcut, absorbed)
        return normal


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which pools where they stride and projects where they widen.

    Args:
        channels: Feature maps in.
        width: Feature maps out.
        kernel: Of both convolutions.
        stride: Of the first convolution.
        dropout: Of the first convolution.

    Source: He et al. 2019, Bag of Tricks (ResNet-D), https://arxiv.org/abs/1812.01187, as used in nnU-Net.
    """

    def __init__(self, channels: int, width: int, kernel: Zyx, stride: Zyx, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = Convolution(channels, width, kernel, stride, dropout=dropout)
        self.second = Convolution(width, width, kernel, activation=False)
        self.stride = stride
        self.project = (
            None if channels == width else Convolution(channels, width, POINT, bias=False, activation=False)
        )

    @override
    def forward(self, image: Float[Tensor, "batch channel z y x"]) -> Float[Tensor, "batch width _ _ _"]:
        shortcut = image if self.stride == POINT else F.avg_pool3d(image, self.stride, self.stride)
        if self.project is not None:
            shortcut = self.project(shortcut)
        features: Tensor = self.second(self.first(image), shortcut)
        return features


class Head(nn.Conv3d):
    """Logits of a voxel from its features: a convolution of one voxel.

    Where channels lie side by side it is a matrix, and faster as one: 3.5 ms instead of 8.9 there and back.
    """

    @override
    def forward(self, features: Float[Tensor, "batch width z y x"]) -> Float[Tensor, "batch output z y x"]:
        if features.is_cpu and features.is_contiguous(memory_format=torch.channels_last_3d):
            return F.linear(features.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
        return super().forward(features)
