"""Weights that stay as they are: for the whole run, or until the rest has settled."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import cast

import pytorch_lightning as pl
from torch import nn
from typing_extensions import override

from ingradient_pl.lightning.run_log import tell
from ingradient_pl.messages import UsageError

SHOWN = 5


class Freeze(pl.Callback):
    """Ask no gradient of some of the network's weights, so that no step changes them.

    Args:
        patterns: Names of parameters of the network, with ``*`` and ``?``: ``encoder.*``.
        epochs: After how many they train as well; None: never.

    Raises:
        UsageError: If the epochs are no positive number.
    """

    def __init__(self, patterns: Sequence[str], epochs: int | None = None) -> None:
        whole = isinstance(epochs, int) and not isinstance(epochs, bool)
        if epochs is not None and not (whole and epochs > 0):
            raise UsageError(f"module.freeze_epochs counts epochs, at least 1, or is null; got {epochs}.")
        self.patterns, self.epochs = tuple(patterns), epochs
        self.frozen: list[str] = []

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if self.epochs is not None and trainer.world_size > 1:
            raise UsageError(
                f"module.freeze_epochs={self.epochs} thaws weights while training, and the "
                f"{trainer.world_size} processes of this run have agreed by then on those they exchange. "
                "Train on one device, or "
                "freeze for the whole run: module.freeze_epochs=null."
            )
        network = cast(nn.Module, pl_module.network)
        self.frozen = find_frozen(network, self.patterns)
        for name in self.frozen:
            network.get_parameter(name).requires_grad = False

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        until = "the whole run" if self.epochs is None else f"{self.epochs} epochs"
        tell(
            f"{len(self.frozen)} tensors of the network are frozen for {until} ({', '.join(self.patterns)})."
        )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.epochs is None or trainer.current_epoch < self.epochs or not self.frozen:
            return
        network = cast(nn.Module, pl_module.network)
        for name in self.frozen:
            network.get_parameter(name).requires_grad = True
        tell(f"From epoch {trainer.current_epoch} on all weights train.")
        self.frozen = []


def find_frozen(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Give the names of the parameters that patterns describe.

    Args:
        network: Whose parameters.
        patterns: Names with ``*`` and ``?``.

    Raises:
        UsageError: If a pattern describes none, or all of them are described.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"module.freeze: '{pattern}' is the name of none of the network's parameters. They are "
                f"{', '.join(names[:SHOWN])}, ...; '*' stands for any text: encoder.*"
            )
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(found) == len(names):
        raise UsageError(f"module.freeze={list(patterns)} freezes the whole network: nothing would train.")
    return found
