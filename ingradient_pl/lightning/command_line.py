"""LightningCLI over this package's module and data: fit, validate and test by one config file."""

import inspect
import shlex
import warnings
from argparse import Action
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, NoReturn, get_args

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

from ingradient_pl.inference.checkpoint_file import check_address, load
from ingradient_pl.lightning.callbacks.epoch_log import DICE
from ingradient_pl.lightning.check_ranges import check_ranges
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.quiet import without_advice
from ingradient_pl.lightning.run_files import find_checkpoints, find_state
from ingradient_pl.lightning.training import describe_stop, print_end, stop_plainly
from ingradient_pl.machine import explain_missing_device
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan import Plan
from ingradient_pl.spec import TARGET

KEYWORDS = ("best", "last", "hpc")
"""What Lightning takes for a checkpoint of the run itself."""

Explain = Callable[[str, Sequence[Action]], str]
"""Says plainly what a parser refuses: its own message, and the options that it has."""


class PlainCheckpoints(LightningCLI):
    """LightningCLI that opens checkpoints from files only, and never runs what they hold."""

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        # so that no config repeats a plan's fields, and none goes against the data's plan
        parser.link_arguments("data", "model.plan", compute_fn=_plan_of, apply_on="instantiate")

    @override
    def _parse_ckpt_path(self) -> None:
        path = self.config.get(str(self.config.get("subcommand")), {}).get("ckpt_path")
        if path and path not in KEYWORDS:
            check_address(path)
            load(path, mmap=True)  # or refused now
        # Lightning would put the settings that the file holds in the place of those of config and line

    @override
    def before_instantiate_classes(self) -> None:
        told = self.config[self.config["subcommand"]].as_dict()
        if self.config["subcommand"] != "fit" and told.get("ckpt_path") is None:
            raise UsageError(
                f"{self.config['subcommand']} scores a checkpoint, and none was named: the network would be "
                "an untrained one. --ckpt_path FILE, such as fit_run/checkpoints/last.ckpt"
            )
        own = {"model": SegmentationModule, "data": SegmentationData, "trainer": Trainer}
        for place, kind in own.items():
            made = {"class_path": f"{kind.__module__}.{kind.__name__}", "init_args": told.get(place) or {}}
            for name, node in _nodes(made, place):
                check_ranges(name, node)

    @override
    def _run_subcommand(self, subcommand: str) -> None:
        with stop_plainly(self.trainer, lambda: self._describe_stop(subcommand)):
            super()._run_subcommand(subcommand)

    def _describe_stop(self, subcommand: str) -> str:
        """Say what was stopped, and of a run how it goes on."""
        if subcommand != "fit":
            return "stopped before its end, as it was told to. It writes nothing: start it again."
        state = find_state(Path(self.trainer.default_root_dir))
        return describe_stop(self.trainer, f"the same line with --ckpt_path {shlex.quote(str(state))}")

    def before_fit(self) -> None:
        """Refuse to write over the checkpoints of an earlier run, unless it is what is gone on with.

        Raises:
            FileExistsError: If a folder for checkpoints holds some.
        """
        told = self.config["fit"].get("ckpt_path")
        for callback in self.trainer.checkpoint_callbacks:
            folder = getattr(callback, "dirpath", None)
            found = find_checkpoints(Path(folder)) if folder else []
            inside = told and (
                told in KEYWORDS or Path(told).absolute().is_relative_to(Path(folder or "").absolute())
            )
            if found and not inside:
                raise FileExistsError(
                    f"{folder} holds a run already ({found[0].name}). Go on with it: "
                    f"--ckpt_path {found[-1]}; or choose another folder."
                )

    def after_fit(self) -> None:
        """Say where the model is and how whole cases are scored, as ``ingradient-train`` does."""
        print_end(self.trainer, DICE, self.datamodule)

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        told = super()._prepare_subcommand_kwargs(subcommand)
        return {**told, "weights_only": True} if "weights_only" in told else told


def keep_counts() -> None:
    """Have Lightning's parser take 1 for one batch, not for 1.0, which means all of them.

    Which of ``int`` and ``float`` it tries first is what another library's hint said: ``typing`` keeps the
    first of two unions that it calls equal, for ``Optional`` of both.
    """
    hints = inspect.unwrap(Trainer.__init__).__annotations__
    for name, hint in hints.items():
        kinds = get_args(hint)
        if int in kinds and float in kinds:
            hints[name] = reduce(or_, sorted(kinds, key=lambda kind: {int: 0, float: 1}.get(kind, 2)))


def _nodes(described: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give all that a config of LightningCLI builds, as a config of Hydra's describes it."""
    inside = dict(enumerate(described)) if isinstance(described, list) else described
    if isinstance(inside, Mapping) and "class_path" in inside:
        target, inside = inside["class_path"], inside.get("init_args") or {}
        yield place, {TARGET: target, **inside}
    for key, entry in inside.items() if isinstance(inside, Mapping) else ():
        yield from _nodes(entry, f"{place}.{key}")


def _plan_of(data: SegmentationData) -> Plan:
    return data.plan


def plain_parser(explain: Explain) -> type[LightningArgumentParser]:
    """Give a parser that says what it refuses in a line, without the usage of all its options.

    Args:
        explain: What it says.
    """

    class PlainParser(LightningArgumentParser):
        @override
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            parser = getattr(ex, "subcommand_parser", None) or self
            raise UsageError(explain(message, parser._actions)) from ex

    return PlainParser


def run_lightning_cli(arguments: Sequence[str], explain: Explain) -> None:
    """Run a subcommand of LightningCLI.

    Args:
        arguments: Its name and options.
        explain: What is said of an option that the parser refuses.

    Raises:
        UsageError: If the line cannot be used.
        ValueError: If Lightning refuses the settings.
    """
    # It would take the line of the process, and ranks of a run are started by that: both are said on purpose
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    keep_counts()
    with without_advice():
        try:
            PlainCheckpoints(
                SegmentationModule,
                SegmentationData,
                seed_everything_default=0,
                save_config_kwargs={"overwrite": True},
                auto_configure_optimizers=False,
                parser_class=plain_parser(explain),
                args=list(arguments),
            )
        except MisconfigurationException as error:
            raise ValueError(explain_missing_device(str(error))) from error
