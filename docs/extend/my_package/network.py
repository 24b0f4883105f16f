"""A network: any ``nn.Module`` from images (batch, channel, z, y, x) to logits (batch, output, z, y, x)."""

from torch import nn


class TwoConvolutions(nn.Sequential):
    """The smallest network that learns anything.

    Args:
        channels: Channels of the image.
        outputs: Logits per voxel.
        width: Feature maps.
    """

    def __init__(self, channels, outputs, width=4):
        super().__init__(
            nn.Conv3d(channels, width, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv3d(width, outputs, 1),
        )
