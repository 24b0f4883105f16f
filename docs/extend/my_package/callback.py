"""A callback: any of Lightning's."""

from pathlib import Path

from pytorch_lightning.callbacks import Callback


class EpochFile(Callback):
    """Write the number of epochs that are done into a file of the run.

    Args:
        name: Of the file.
    """

    def __init__(self, name="epochs.txt"):
        self.name = name

    def on_train_epoch_end(self, trainer, pl_module):
        """Write, on the first rank only."""
        if trainer.is_global_zero:
            Path(trainer.default_root_dir, self.name).write_text(f"{trainer.current_epoch + 1}\n")
