"""A loss that weighs voxels: the weights are a further volume of each case."""

import torch
from torch.nn import functional


class WeightedCrossEntropy(torch.nn.Module):
    """Cross entropy of the finest level, each voxel counted by its weight."""

    ignore, regions = None, None

    def forward(self, pyramid, label, extra):
        """Take logits (batch, output, z, y, x), a list, the label and the weights (batch, z, y, x)."""
        entropy = functional.cross_entropy(pyramid[0].float(), label.long(), reduction="none")
        return (extra * entropy).sum() / extra.sum().clamp_min(1e-6)
