"""Windows through a network: an earlier stage's segmentation as channels, the finest level of the answer."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ingradient_pl.transforms.stage_labels import StageLabels

NEVER = -1e3
"""A logit that is below any other, and small enough to be summed over windows in 16 bits."""


def spread(views: Float[Tensor, "view channel z y x"], labels: StageLabels) -> Float[Tensor, "view _ z y x"]:
    """Make of the last channel, which holds integers of labels, a channel of zeros and ones for each.

    Only windows are spread, so that no case is ever held once for each label.

    Args:
        views: Windows of the case, the earlier stage's segmentation as their last channel.
        labels: Those that become a channel each, in this order.

    >>> spread(torch.tensor([[0.5, 2.0]]).view(1, 2, 1, 1, 1), StageLabels((1, 2, 3))).flatten().tolist()
    [0.5, 0.0, 1.0, 0.0]
    """
    image, label = views[:, :-1], views[:, -1:]
    label = label.to(torch.int32) if labels.overlap else label
    channels = (labels.holds(label, value).to(views.dtype) for value in labels.values)
    return torch.cat([image, *channels], dim=1)


def finest(network: nn.Module, views: Tensor) -> Tensor:
    """Give the finest level of a network's answer, by the shortest way it offers.

    Args:
        network: Gives logits, or a pyramid of them, finest first; a method ``finest`` of its own is used.
        views: Shape (view, channel, z, y, x); the answer's is (view, output, z, y, x).
    """
    shortest = getattr(network, "finest", None)
    answer = network(views) if shortest is None else shortest(views)
    logits: Tensor = answer[0] if isinstance(answer, (list, tuple)) else answer
    return logits


class Finest(nn.Module):
    """A network's finest logits alone, which is all that prediction needs.

    Args:
        network: Gives logits, or a pyramid of them, finest first.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits of a batch of normalised patches.

        Args:
            image: Shape (batch, channel, z, y, x); the answer's is (batch, output, z, y, x).
        """
        return finest(self.network, image)


class WithoutOutputs(nn.Module):
    """A network that is not asked about some of its outputs: the finest logits, those of the others lowest.

    Args:
        network: Gives logits, or a pyramid of them, finest first.
        outputs: Numbers of the outputs that are left out.
    """

    def __init__(self, network: nn.Module, outputs: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("outputs", torch.tensor(list(outputs), dtype=torch.long), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Give the logits of a batch of normalised patches.

        Args:
            image: Shape (batch, channel, z, y, x); the answer's is (batch, output, z, y, x).
        """
        outputs: Tensor = self.outputs  # type: ignore[assignment]
        return finest(self.network, image).index_fill(1, outputs, NEVER)
