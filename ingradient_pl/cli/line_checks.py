"""What training would refuse of a command line, told before its data are prepared and planned for."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.number_values import check_numbers
from ingradient_pl.cli.overrides import quote_paths, without
from ingradient_pl.cli.run_folders import compose_config
from ingradient_pl.cli.train_config import check_words
from ingradient_pl.datasets.split_records import Divisible
from ingradient_pl.datasets.splits import Fold

SPLIT = "data.split."
PLANNED = ("plan.", "plan@", "data.planner.")
"""What keys begin with that are there once a plan is."""


def check_line(overrides: Sequence[str], cases: Mapping[str, Divisible], *, swept: bool) -> None:
    """Refuse a line whose words or division training would refuse.

    Args:
        overrides: As typed, paths quoted.
        cases: All cases, prepared or not.
        swept: Whether commas divide the values of a sweep.

    Raises:
        UsageError: If a key has a value that it does not take.
        ValueError: If the cases cannot be divided so.
    """
    config = compose_without_plan(overrides, swept=swept)
    check_words(config)
    for fold in _read_swept(config, overrides):
        fold.split(cases)


def compose_without_plan(overrides: Sequence[str], *, swept: bool = False) -> DictConfig:
    """Compose the config of a run that is still to be planned, or even prepared, for.

    Args:
        overrides: As typed; what they say of a plan and of the data is left out.
        swept: Whether some of them have several values, which are left out as well.
    """
    rest = without(overrides, "plan", "source", "store", "data.planner")
    return compose_config(
        quote_paths([entry for entry in rest if not entry.lstrip("+~").startswith(PLANNED)]), swept=swept
    )


def read_fold(overrides: Sequence[str]) -> Fold:
    """Give the division that a line asks for.

    Args:
        overrides: As typed.

    Raises:
        UsageError: If a key has a value that it does not take.
    """
    config = compose_without_plan(overrides)
    check_words(config)
    return _make_fold(config)


def _read_swept(config: DictConfig, overrides: Sequence[str]) -> Iterator[Fold]:
    """Give the division of each run of a line.

    Args:
        config: Composed of the line, without the values of a sweep.
        overrides: The line. Values of ``data.split`` that a sweeper chooses by itself (``interval(...)``) are
            left out.

    Raises:
        UsageError: If a number of one is none, or out of its range.
    """
    own = [entry for entry in overrides if entry.lstrip("+").startswith(SPLIT)]
    parsed = OverridesParser.create().parse_overrides(own)
    swept = [one for one in parsed if one.is_choice_sweep() or one.is_range_sweep()]
    for values in product(*(list(one.sweep_string_iterator()) for one in swept)):
        for one, value in zip(swept, values, strict=True):
            OmegaConf.update(config, one.key_or_group, yaml.safe_load(value))
        yield _make_fold(config)


def _make_fold(config: DictConfig) -> Fold:
    described: Any = config.data.split
    check_numbers(OmegaConf.create({"data": {"split": OmegaConf.to_container(described)}}))
    fold: Fold = instantiate(described)
    return fold
