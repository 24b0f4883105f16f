"""``ingradient fit | validate | test``: the same classes under LightningCLI."""

from collections.abc import Sequence

from pytorch_lightning.cli import LightningCLI

from ingradient_pl.cli.failures import plain_errors
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule


def main(arguments: Sequence[str]) -> None:
    """Run one of LightningCLI's subcommands, which reads the line itself; ``--help`` is its own."""
    with plain_errors(f"ingradient {arguments[0]}"):
        LightningCLI(
            SegmentationModule,
            SegmentationData,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            auto_configure_optimizers=False,
        )
