"""Parameters that still know which network they are of."""

from collections.abc import Iterable, Iterator

from torch import nn
from typing_extensions import override


class Parameters(Iterable[nn.Parameter]):
    """The parameters of a network, for any optimiser to iterate over, or to ask for their network.

    An optimiser of torch's sees parameters; one that steps some kinds of layers differently looks at the
    network and needs no setting for it.

    Args:
        network: Whose parameters.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @override
    def __iter__(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()
