"""What goes into a training step, and what a network gives, in the form that a loss takes."""

from collections.abc import Sequence

import torch

from ingradient_pl.transforms.patch import Batch


def as_pyramid(given: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Give logits, bare or a list of them, as a list of levels, finest first; refuse anything else.

    Args:
        given: What the network gave, each of shape (batch, output, z, y, x).

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(given, torch.Tensor):
        return [given]
    if not isinstance(given, (list, tuple)) or not all(isinstance(level, torch.Tensor) for level in given):
        raise ValueError(
            f"The network gives a {type(given).__name__}, where logits or a list of them, finest level "
            "first, are wanted. ingradient_pl.networks.external_network brings dictionaries and stacks into "
            "a list."
        )
    return list(given)


def step_inputs(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Give what a step takes: image and label, and which outputs are known where that is not all.

    Args:
        batch: Image (batch, channel, z, y, x) and label (batch, z, y, x).
    """
    known = () if batch.known is None else (batch.known,)
    return batch.image, batch.label, *known
