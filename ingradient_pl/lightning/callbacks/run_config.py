"""A resumed run's config: what it was told this time takes the old one's place once it trains."""

from pathlib import Path

import pytorch_lightning as pl
from typing_extensions import override

CONFIG = Path(".hydra")
TOLD = CONFIG / "resumed"
"""Where the config of a run that is resumed waits until it trains."""


class RunConfig(pl.Callback):
    """Once a resumed run trains, what it was told becomes its config; what failed before leaves none."""

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        told = Path(trainer.default_root_dir) / TOLD
        if trainer.is_global_zero and told.is_dir():
            for file in told.iterdir():
                file.replace(told.parent / file.name)
            told.rmdir()
