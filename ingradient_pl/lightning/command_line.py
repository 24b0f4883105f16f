"""LightningCLI over this package's module and data: fit, validate and test by one config file."""

from typing import Any

from pytorch_lightning.cli import LightningCLI
from typing_extensions import override

from ingradient_pl.inference.checkpoint_file import check_address, load
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule

KEYWORDS = ("best", "last", "hpc")
"""What Lightning takes for a checkpoint of the run itself."""


class PlainCheckpoints(LightningCLI):
    """LightningCLI that opens checkpoints from files only, and never runs what they hold."""

    @override
    def _parse_ckpt_path(self) -> None:
        path = self.config.get(str(self.config.get("subcommand")), {}).get("ckpt_path")
        if path and path not in KEYWORDS:
            check_address(path)
            load(path, mmap=True)  # Lightning would open it now, and say what is wrong in sixty lines
        super()._parse_ckpt_path()

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        told = super()._prepare_subcommand_kwargs(subcommand)
        return {**told, "weights_only": True} if "weights_only" in told else told


def run_lightning_cli() -> None:
    """Run what the process's own command line says: a subcommand of LightningCLI and its options."""
    PlainCheckpoints(
        SegmentationModule,
        SegmentationData,
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        auto_configure_optimizers=False,
    )
