"""Stands for a package of somebody else that holds a network (it knows nothing of ours) and a normaliser."""

from dataclasses import dataclass

from torch import nn

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
