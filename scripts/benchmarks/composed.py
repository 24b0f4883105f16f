"""The config of a training run, composed in this process as ``ingradient-train`` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig

from ingradient_pl.cli.plan_overrides import with_plans


def composed(overrides: Sequence[str], work: Path) -> Any:
    """Compose a run that leaves its files in ``work``; overrides may name plans by their files."""
    (work / "plans").mkdir()
    with initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        runtime = f"hydra.runtime.output_dir={work / 'run'}"
        told = with_plans(list(overrides), work / "plans")
        config = compose("train", [*told, runtime], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    return config
