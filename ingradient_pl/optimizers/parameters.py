"""Parameters that still know which network they are of, and how fast each may learn."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

RATE = "rate"
"""Entry of an optimiser's group: the share of the optimiser's learning rates that it steps with."""


class Parameters(Iterable[Any]):
    """The parameters of a network, for any optimiser to iterate over, or to ask for their network.

    An optimiser of torch's sees parameters, or groups of them where deep stages learn more slowly; one that
    steps some kinds of layers differently looks at the network and needs no setting for it.

    Args:
        network: Whose parameters. With a decay it tells in a method ``depths`` how many stages lie between
            each of them, by name, and the output.
        layer_decay: Factor in (0, 1] by which a stage learns more slowly than the one after it; 1 for all
            alike.

    Raises:
        ValueError: If the decay is out of range, or the network does not tell depths.
    """

    def __init__(self, network: nn.Module, layer_decay: float = 1.0) -> None:
        if not 0 < layer_decay <= 1:
            raise ValueError(f"layer_decay is a factor in (0, 1]; got {layer_decay}. 1 lets all learn alike.")
        if layer_decay < 1 and not hasattr(network, "depths"):
            raise ValueError(
                f"layer_decay={layer_decay} slows stages by their depth, which a {type(network).__name__} "
                "does not tell: it has no method depths(). Set layer_decay=1."
            )
        self.network, self.layer_decay = network, layer_decay

    @override
    def __iter__(self) -> Iterator[Any]:
        if self.layer_decay == 1:
            yield from self.network.parameters()
            return
        groups: dict[float, list[nn.Parameter]] = {}
        rates = self.rates()
        for name, parameter in self.network.named_parameters():
            groups.setdefault(rates[name], []).append(parameter)
        yield from ({"params": parameters, RATE: rate} for rate, parameters in groups.items())

    def rates(self) -> dict[str, float]:
        """Give the share of the learning rate of each parameter, by name; empty where all learn alike."""
        if self.layer_decay == 1:
            return {}
        depths: dict[str, int] = self.network.depths()  # type: ignore[operator]
        return {name: self.layer_decay**depth for name, depth in depths.items()}


def scale_rates(optimizer: Optimizer) -> None:
    """Give each group of an optimiser its share of the learning rates; call it once, before a schedule.

    Args:
        optimizer: Made of :class:`Parameters`.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group.get(RATE, 1.0)
