"""The help of a command: what it does, its options in short, an example; in colours on a terminal."""

import os
import re
import sys
from argparse import SUPPRESS, Action
from collections.abc import Iterable
from typing import Any

from jsonargparse import DefaultHelpFormatter
from typing_extensions import override

EXAMPLES = {
    "phantoms": "--output DATASET --cases 6",
    "prepare": "--source DATASET --store STORE",
    "show": "STORE --output pictures",
    "plan": "STORE --output plan.yaml --memory_gb 10",
    "predict": "--checkpoint RUN/checkpoints/last.ckpt --source scans --output segmentations",
    "calibrate": "--checkpoint RUN/checkpoints/last.ckpt --source STORE --output calibrated.ckpt",
    "evaluate": "--predictions segmentations --labels DATASET/labelsTs --surface",
    "compare": "--first before/summary.json --second after/summary.json",
    "postprocess": "--predictions segmentations --labels DATASET/labelsTr --learn --output steps.yaml",
    "export": "--checkpoint RUN/checkpoints/last.ckpt --output exported --format onnx",
    "import-nnunet": "--model nnUNetTrainer__nnUNetPlans__3d_fullres --output model.ckpt",
    "export-nnunet": "--checkpoint RUN/checkpoints/last.ckpt --output nnunet_model",
    "report": "RUN --output report.html",
    "info": "RUN --json",
    "doctor": "--json",
    "lightning-config": "--store STORE --plan plan.yaml --output fit.yaml",
}
"""What may stand behind each command."""

PARSER = {
    "help": "Show this help and exit.",
    "config": "YAML file with options; those on the command line count more.",
    "print_config": "Print the options as YAML, for --config, and exit.",
}
"""Options that every command has."""

LONGEST = 40
"""Letters of a default that is shown."""

BOLD, CYAN, GREEN, PLAIN = "\033[1m", "\033[36m", "\033[32m", "\033[0m"


def describe_example(command: str) -> str:
    """Give the line that stands below the options of a command.

    Args:
        command: Its name.
    """
    return f"example:\n  ingradient {command} {EXAMPLES[command]}" if command in EXAMPLES else ""


LIGHTNING = {
    "fit": (
        "Train a network; without --config by the fast recipe, planned for the store.",
        "--data.store STORE --data.planner.memory_gb 8 --trainer.max_epochs 4",
    ),
    "validate": (
        "Score a checkpoint on patches of the cases that validate.",
        "--config RUN/tensorboard/config.yaml --ckpt_path RUN/checkpoints/last.ckpt",
    ),
    "test": (
        "Score a checkpoint on patches of the cases of split 'test', or else of those that validate.",
        "--config RUN/tensorboard/config.yaml --ckpt_path RUN/checkpoints/last.ckpt",
    ),
}
"""What each command of LightningCLI does, and an example."""


def describe_lightning(command: str) -> str:
    """Give the help of a command of LightningCLI in short.

    Args:
        command: ``fit``, ``validate`` or ``test``.
    """
    does, example = LIGHTNING[command]
    text = f"""usage: ingradient {command} [--config FILE] [--PLACE.KEY VALUE ...]

{does}
LightningCLI runs it. Keys of the places data, model and trainer stand on the line or in a YAML file.

options:
  -h, --help         Show this help and exit.
  --help-all         Show every key, what it means and what it is otherwise: 1,700 lines.
  --print_config     Print a config that runs, and exit.
  --config FILE      YAML file with keys; fit keeps its own in RUN/tensorboard/config.yaml.
  --ckpt_path FILE   Checkpoint to go on from, or to score.
  --data.store DIR   Folder written by `ingradient prepare`.
  --trainer.default_root_dir RUN
                     Folder for checkpoints, logs and pictures; fit_run if not given.

example:
  ingradient {command} {example}"""
    return paint_on_terminal(text)


class CommandHelp(DefaultHelpFormatter):
    """Tells of an option what it means, whether it must be given and what it is otherwise."""

    @override
    def _get_help_string(self, action: Action) -> str:
        said = PARSER.get(action.dest, action.help or "")
        if action.required:
            return f"{said} (required)"
        if isinstance(action.default, bool):
            return f"{said} (default: {str(action.default).lower()})"
        short = action.default not in (None, SUPPRESS) and len(str(action.default)) <= LONGEST
        return f"{said} (default: %(default)s)" if short and action.dest not in PARSER else said

    @override
    def _format_action_invocation(self, action: Action) -> str:
        text = super()._format_action_invocation(action)
        return re.sub(r", --\w+\+ \w+$", "", text)  # what adds to a list is said by several words as well

    @override
    def _format_usage(self, usage: str | None, actions: Iterable[Action], *args: Any, **kwargs: Any) -> str:
        needed = [f"{one.option_strings[-1]} {one.dest.upper()}" for one in actions if one.required]
        return f"usage: {' '.join([self._prog, *needed, '[options]'])}\n\n"

    @override
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("example:") else super()._fill_text(text, width, indent)

    @override
    def format_help(self) -> str:
        return paint_on_terminal(super().format_help())


def paint_on_terminal(text: str) -> str:
    """Give a help text with colours where it is read on a terminal, and nobody set ``NO_COLOR``.

    Args:
        text: Without.
    """
    return paint(text) if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def paint(text: str) -> str:
    """Give a help text with colours: headings bold, options cyan, the example green.

    Args:
        text: Without.
    """
    text = re.sub(r"(?m)^(usage:|\w[\w ]*:$)", rf"{BOLD}\1{PLAIN}", text)
    text = re.sub(r"(?m)^(  )(-\S+(?: \S+)*)", rf"\1{CYAN}\2{PLAIN}", text)  # two blanks end it
    return re.sub(r"(?m)^(  )(ingradient .*)$", rf"\1{GREEN}\2{PLAIN}", text)
