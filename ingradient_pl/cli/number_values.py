"""Numbers of a config: where a class or function says it takes a number, nothing else is handed to it."""

import dataclasses
import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from ingradient_pl.lightning.check_ranges import check_ranges
from ingradient_pl.lightning.targets import locate
from ingradient_pl.messages import UsageError
from ingradient_pl.spec import TARGET, read_annotations

NUMBERS = int, float
BESIDE = bool, types.NoneType, Tensor
"""What may stand beside a number in an annotation that is still taken for one."""


def check_numbers(config: DictConfig) -> None:
    """Refuse texts, lists, NaN and missing values where what is built takes a number, and one out of range.

    Args:
        config: Of a training run; what it refers to by ``${...}`` is looked up.

    Raises:
        UsageError: If an entry is no number, or out of the range that ``conf/`` states; its key, the value
            and what is wanted are named.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    for place, node in _nodes(plain):
        for key, hint in read_annotations(locate(node[TARGET])).items():
            name = f"{place}.{key}".lstrip(".")
            if key in node:
                _check_value(name, _value(config, name, node[key]), hint)
        values = {key: _value(config, f"{place}.{key}".lstrip("."), one) for key, one in node.items()}
        check_ranges(place, values)


def _check_value(name: str, value: Any, hint: Any) -> None:
    """Refuse what is no number where a number is taken, and a number where none is."""
    wanted, kinds = _number(hint), _kinds(hint)
    more = " or null" if types.NoneType in kinds else ""
    if wanted and not _fits(value, wanted):
        kind = "a number" if float in wanted else "a whole number"
        raise UsageError(f"{name} must be {kind}{more}, got {value!r}.")
    if type(value) in NUMBERS and all(_takes_no_number(kind) for kind in kinds):
        objects = (
            f"described by a {TARGET}" if any(map(dataclasses.is_dataclass, kinds)) else "a list or mapping"
        )
        kind = "true, false" if bool in kinds else objects
        raise UsageError(f"{name} must be {kind}{more}, got {value!r}.")


def _kinds(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _takes_no_number(kind: Any) -> bool:
    """Whether a kind is a switch, nothing, a dataclass or a list: something that no number stands for."""
    lists = typing.get_origin(kind) in (list, tuple, Sequence, Mapping)
    return lists or kind in (bool, types.NoneType) or dataclasses.is_dataclass(kind)


def _nodes(node: Any, place: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give all that is built, with where it stands."""
    if isinstance(node, Mapping):
        if isinstance(node.get(TARGET), str):
            yield place, node
        for key, entry in node.items():
            yield from _nodes(entry, f"{place}.{key}".lstrip("."))


def _number(hint: Any) -> tuple[Any, ...]:
    """Give the types of an annotation that takes numbers and nothing but; empty for any other."""
    kinds = _kinds(hint)
    only = all(kind in (*NUMBERS, *BESIDE) for kind in kinds)
    return kinds if only and any(kind in NUMBERS for kind in kinds) else ()


def _value(config: DictConfig, name: str, value: Any) -> Any:
    """Look up what an entry refers to; what only a part of the run knows is left as it is written."""
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return OmegaConf.select(config, name)
    except Exception:  # noqa: BLE001 - resolvers fail in their own ways, and say so where they are built
        return value


def _fits(value: Any, kinds: tuple[Any, ...]) -> bool:
    if isinstance(value, str):
        return "${" in value
    if value is None or isinstance(value, bool):
        return type(value) in kinds
    if isinstance(value, Mapping):  # something that is built first
        return True
    if isinstance(value, float):
        return not math.isnan(value) and float in kinds
    return isinstance(value, int) and abs(value) <= sys.maxsize
