"""The help of ``ingradient-train`` from its config: Hydra would read all options of all groups first."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ingradient_pl.cli.command_help import paint_on_terminal
from ingradient_pl.cli.group_options import group_options

CONF = "ingradient_pl.conf"
GROUPS = "$APP_CONFIG_GROUPS"
"""Stands in the text where Hydra puts the groups."""


def describe_training() -> str:
    """Give the help of ``ingradient-train``: ``hydra.help`` of its config, and the options of each group."""
    conf = Path(str(resources.files(CONF)))
    told: dict[str, Any] = yaml.safe_load((conf / "train.yaml").read_text(encoding="utf-8"))["hydra"]["help"]
    groups = {folder.name: group_options(folder.name) for folder in sorted(conf.iterdir()) if folder.is_dir()}
    lines = [f"{group}: {', '.join(options)}\n" for group, options in groups.items() if options]
    text: str = told["template"].replace(GROUPS, "".join(lines))
    for part in ("header", "footer"):
        text = text.replace(f"${{hydra.help.{part}}}", told[part])
    return paint_on_terminal(text)
