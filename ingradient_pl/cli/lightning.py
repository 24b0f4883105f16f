"""``ingradient fit | validate | test``: the same classes under LightningCLI."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import yaml

from ingradient_pl.cli.failures import plain_errors, stop_in_one_line
from ingradient_pl.cli.lightning_config import default_config
from ingradient_pl.cli.lightning_faults import explain_refused
from ingradient_pl.inference import checkpoint
from ingradient_pl.lightning.command_line import run_lightning_cli
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.scratch import scratch_folder

OWN = ("--config", "-c", "-h", "--help", "--model.help", "--data.help")
"""Options with which defaults have nothing to do."""
KEY = re.compile(r"(?<![\w-])[a-z][\w.@]*=\S")
KEYS = (
    "(KEY=VALUE is a key of ingradient-train. LightningCLI takes it as --KEY VALUE or in its config: epochs "
    "as trainer.max_epochs, module as model, resume as ckpt_path, a group GROUP@PLACE=NAME as class_path and "
    "init_args at PLACE.)"
)
FOLDER, PLAN, CHECKPOINT = "--trainer.default_root_dir", "--data.plan", "--ckpt_path"


def main(arguments: Sequence[str]) -> None:
    """Run one of LightningCLI's subcommands; ``fit`` without a config trains by the fast recipe.

    Args:
        arguments: The subcommand, and what is typed behind it.
    """
    command = f"ingradient {arguments[0]}"
    with (
        plain_errors(command),
        stop_in_one_line(command, starting=False),
        _explain_keys(),
        scratch_folder() as folder,
    ):
        run_lightning_cli(with_defaults(arguments, folder), explain_refused)


@contextmanager
def _explain_keys() -> Iterator[None]:
    """Add to what is told as keys of ``ingradient-train`` where those are in a config of LightningCLI."""
    try:
        yield
    except ValueError as error:
        if KEY.search(str(error)):
            error.args = (f"{error} {KEYS}",)
        raise


def with_defaults(arguments: Sequence[str], folder: Path) -> list[str]:
    """Give what is not named: the config of the fast recipe to ``fit``, a checkpoint's plan to the others.

    Args:
        arguments: The subcommand, and what is typed behind it.
        folder: For the files.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
    """
    command, *rest = arguments
    if any(entry.partition("=")[0] in OWN for entry in rest):
        return list(arguments)
    if command != "fit":
        weights = Path(_find_option(rest, CHECKPOINT, ""))
        if not weights.is_file() or _find_option(rest, PLAN, ""):
            return list(arguments)
        write_plan(folder / "plan.yaml", checkpoint.read(weights).plan)
        return [command, *rest, PLAN, str(folder / "plan.yaml")]
    file = folder / "fit.yaml"
    file.write_text(
        yaml.safe_dump(
            default_config(_find_option(rest, FOLDER, "fit_run")), sort_keys=False, allow_unicode=True
        ),
        encoding="utf-8",
    )
    return [command, "--config", str(file), *rest]


def _find_option(options: Sequence[str], wanted: str, otherwise: str) -> str:
    """Give the value of an option as it was typed."""
    for option, after in zip_longest(options, options[1:], fillvalue=""):
        name, given, value = option.partition("=")
        if name == wanted:
            return value if given else after
    return otherwise
