"""A resumed run's config: what it was told this time takes the old one's place once it trains."""

from pathlib import Path

import pytorch_lightning as pl
import yaml
from typing_extensions import override

from ingradient_pl.files import replace_file
from ingradient_pl.lightning.run_files import LAST, OVERRIDES, REQUEUED, TOLD
from ingradient_pl.messages import LOGGER
from ingradient_pl.plain_values import PlainValueError, read_yaml
from ingradient_pl.scratch import clear_scratch
from ingradient_pl.untouched import keep_noted


class RunConfig(pl.Callback):
    """Once a resumed run trains, what it was told becomes its config; what failed before leaves none."""

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        clear_scratch()  # the other ranks have composed their config by now
        keep_noted()
        told = Path(trainer.default_root_dir) / TOLD
        if trainer.is_global_zero and told.is_dir():
            keep_config(told)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = Path(trainer.default_root_dir)
        last = run / LAST
        for file in run.glob(REQUEUED) if trainer.is_global_zero and last.is_file() else ():
            if file.stat().st_mtime < last.stat().st_mtime:
                file.unlink(missing_ok=True)


def keep_config(told: Path) -> None:
    """Put a waiting config in its place; of the overrides, the earlier ones stay as well.

    Args:
        told: Folder of the waiting config, inside the folder that it replaces.
    """
    before = _overrides(told.parent / OVERRIDES.name)
    for file in told.iterdir():
        file.replace(told.parent / file.name)
    told.rmdir()
    now = [entry for entry in _overrides(told.parent / OVERRIDES.name) if not entry.startswith("resume=")]
    joined = [*before, *(entry for entry in now if entry not in before)]
    replace_file(told.parent / OVERRIDES.name, yaml.safe_dump(joined, allow_unicode=True).encode())


def _overrides(file: Path) -> list[str]:
    try:
        found = read_yaml(file) if file.is_file() else []
    except PlainValueError as error:
        LOGGER.warning("%s cannot be read (%s): what this run was told before is not kept.", file, error)
        return []
    return [str(entry) for entry in found] if isinstance(found, list) else []
