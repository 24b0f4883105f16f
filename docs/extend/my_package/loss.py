"""A loss: any ``nn.Module`` that takes the logits of every level, finest first, and the label."""

from torch import nn


class FinestCrossEntropy(nn.Module):
    """Cross entropy of the finest level alone.

    Args:
        ignore: Integer of voxels that nobody annotated; None if there are none.
    """

    regions = None  # each voxel has one label

    def __init__(self, ignore=None):
        super().__init__()
        self.ignore = ignore
        self.loss = nn.CrossEntropyLoss(ignore_index=-100 if ignore is None else ignore)

    def forward(self, pyramid, label):
        """Take logits (batch, output, z, y, x), a list, and an integer label (batch, z, y, x)."""
        return self.loss(pyramid[0], label.long())  # labels come as uint8
