"""Weights that stay as they are: for the whole run, or until the rest has settled."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import cast

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from ingradient_pl.lightning.run_log import tell
from ingradient_pl.messages import UsageError
from ingradient_pl.phrases import name_some


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
        network = cast(nn.Module, pl_module.network)
        self.frozen = find_frozen(network, self.patterns)
        self._set(network, trains=False)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        until = "the whole run" if self.epochs is None else f"{self.epochs} epochs"
        tell(
            f"{len(self.frozen)} tensors of the network are frozen for {until} ({', '.join(self.patterns)})."
        )
        self._thaw(trainer, pl_module)  # an epoch that a run goes on within is not announced

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._thaw(trainer, pl_module)

    def _thaw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let all weights train once their epochs are over."""
        if self.epochs is None or trainer.current_epoch < self.epochs or not self.frozen:
            return
        self._set(cast(nn.Module, pl_module.network), trains=True)
        tell(f"From epoch {trainer.current_epoch} on all weights train.")
        self.frozen = []
        record_again = getattr(pl_module, "record_again", None)
        if record_again is not None:
            record_again()

    def _set(self, network: nn.Module, *, trains: bool) -> None:
        for name in self.frozen:
            network.get_parameter(name).requires_grad = trains


class FreezeShared(Freeze):
    """The same where several processes train and weights thaw: gradients are exchanged, and dropped unused.

    Processes agree before the first step on the weights whose gradients they exchange, so frozen ones get
    theirs as well; no clipping and no optimiser sees them.
    """

    @override
    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        network = cast(nn.Module, pl_module.network)
        for name in self.frozen:
            network.get_parameter(name).grad = None

    @override
    def _set(self, network: nn.Module, *, trains: bool) -> None:
        """Leave them as they are: their gradients are dropped instead."""


def make_freeze(patterns: Sequence[str], epochs: int | None, *, several: bool) -> list[Freeze]:
    """Give the callback that freezes what patterns describe; none where there are none.

    Args:
        patterns: Names of parameters of the network, with ``*`` and ``?``.
        epochs: After how many they train as well; None: never.
        several: Whether several processes train.

    Raises:
        UsageError: If epochs are given and nothing freezes.
    """
    if not patterns and epochs is not None:
        raise UsageError(
            "module.freeze_epochs does nothing without module.freeze: give both, or leave it out."
        )
    if not patterns:
        return []
    kind = FreezeShared if several and epochs is not None else Freeze
    return [kind(patterns, epochs)]


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
                f"{name_some(names)}; '*' stands for any text: encoder.*"
            )
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(found) == len(names):
        raise UsageError(f"module.freeze={list(patterns)} freezes the whole network: nothing would train.")
    return found
