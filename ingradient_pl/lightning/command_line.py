"""LightningCLI over this package's module and data: fit, validate and test by one config file."""

from pytorch_lightning.cli import LightningCLI

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule


def run_lightning_cli() -> None:
    """Run what the process's own command line says: a subcommand of LightningCLI and its options."""
    LightningCLI(
        SegmentationModule,
        SegmentationData,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
    )
