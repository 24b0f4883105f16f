"""Memory for what passes by, taken again and again under a few names."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


class BufferPool:
    """Memory for what passes by, taken again and again under a few names.

    Fresh memory for each class of each row costs a processor more than what is reckoned in it: the system
    gives every page of it anew (measured: as long again at the least, three times as long at worst).

    Args:
        device: Where the memory is taken.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.held: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Float[Tensor, "*shape"]:
        """Give memory of ``shape``, with whatever was left there; the last taken under the name is lost.

        Args:
            name: Of the piece of memory.
            *shape: Sizes of the tensor wanted.
        """
        count = math.prod(shape)
        if name not in self.held or self.held[name].numel() < count:
            self.held[name] = torch.empty(count, device=self.device)
        return self.held[name][:count].view(shape)

    def copy(self, name: str, of: Float[Tensor, "*_"]) -> Float[Tensor, "*_"]:
        """Copy a tensor there, its values side by side and in single precision.

        Args:
            name: Of the piece of memory.
            of: What is copied; it may lie on another device.
        """
        return self.take(name, *of.shape).copy_(of)
