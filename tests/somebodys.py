"""Stands for a package of somebody else that holds a network (it knows nothing of ours) and a normaliser."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ingradient_pl.transforms.normalise import Normaliser


class Net(nn.Sequential):
    """Two convolutions."""

    def __init__(self, channels: int, outputs: int, width: int = 4) -> None:
        super().__init__(
            nn.Conv3d(channels, width, 3, padding=1),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.Conv3d(width, outputs, 1),
        )


@dataclass(frozen=True)
class Halved(Normaliser):
    """Intensities divided by two."""


class AskingLoss(nn.Module):
    """Cross entropy that is given the further volume of each case, and remembers its largest number."""

    ignore, regions = None, None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.zeros(()))

    def forward(self, pyramid: list[Tensor], label: Tensor, extra: Tensor) -> Tensor:
        self.largest = torch.maximum(self.largest, extra.max())
        return functional.cross_entropy(pyramid[0], label.long())
