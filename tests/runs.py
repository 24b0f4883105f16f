"""A composed config and a command run in this process, for tests of many files."""

import sys
import tempfile
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig

from ingradient_pl.cli import main as entry
from ingradient_pl.cli import train as train_entry
from ingradient_pl.cli.plan_overrides import with_plans


def composed(overrides, folder):
    """The config as a run sees it."""
    plans = Path(tempfile.mkdtemp(dir=folder))
    with initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        config = compose(
            "train",
            [*with_plans(list(overrides), plans), f"hydra.runtime.output_dir={folder}"],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(config)
    return config


def outcome(monkeypatch, capsys, command, *arguments):
    """Exit code, standard output and standard error of a command run in this process."""
    program, run = (
        ("ingradient-train", train_entry.main) if command == "train" else ("ingradient", entry.main)
    )
    line = [program, *([] if command == "train" else [command]), *map(str, arguments)]
    monkeypatch.setattr(sys, "argv", line)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    code = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code or 0
    printed = capsys.readouterr()
    return code, printed.out, printed.err
