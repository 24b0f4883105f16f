"""Weights and an optimiser's state, to be returned to in place."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Snapshot:
    """Weights, buffers and an optimiser's state, to return to in place.

    Args:
        network: Whose weights and buffers are copied.
        optimizer: Whose state is copied.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer) -> None:
        self.network, self.optimizer = network, optimizer
        tensors = [*network.parameters(), *network.buffers()]
        self.tensors = [(one.detach(), one.detach().clone()) for one in tensors]
        self.weights = len(list(network.parameters()))
        self.state = {
            param: {
                key: value.clone() if isinstance(value, Tensor) else value for key, value in state.items()
            }
            for param, state in optimizer.state.items()
        }

    def restore(self) -> None:
        """Bring all back to what was copied; state that came later is zeroed."""
        for target, held in self.tensors:
            target.copy_(held)
        for param, state in self.optimizer.state.items():
            before = self.state.get(param, {})
            for key, value in state.items():
                if isinstance(value, Tensor):
                    known = before.get(key)
                    value.zero_() if known is None else value.copy_(torch.as_tensor(known))

    def changes(self) -> list[Tensor]:
        """How far each weight is from where it was; each answer has the shape of its weight."""
        pairs = self.tensors[: self.weights]
        return list(torch._foreach_sub([now for now, _ in pairs], [held for _, held in pairs]))
