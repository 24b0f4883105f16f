"""What a config may build: the class that a target names is looked at before anything is called."""

import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ingradient_pl.draws.oversampling import Oversampling
from ingradient_pl.planning.plan import Plan
from ingradient_pl.spec import TARGET
from ingradient_pl.transforms.intensity_base import Intensity
from ingradient_pl.transforms.normalise import Normaliser

KINDS: dict[str, type] = {
    "data": pl.LightningDataModule,
    "module": pl.LightningModule,
    "module.network": nn.Module,
    "module.loss": nn.Module,
    "module.optimizer": Optimizer,
    "module.scheduler": LRScheduler,
    "trainer": pl.Trainer,
    "callbacks.*": pl.Callback,
    "logger.*": Logger,
}
"""By place in the config of a training run."""

SAFE: dict[str, tuple[type, ...]] = {
    "ingradient_pl": (
        *(nn.Module, Optimizer, LRScheduler, pl.Callback),
        *(Plan, Normaliser, Oversampling, Intensity),
    ),
    "torch.nn": (nn.Module,),
    "torch.optim": (Optimizer, LRScheduler),
    "pytorch_lightning.callbacks": (pl.Callback,),
}
"""Classes that a stranger's config may build beside those that the shipped one names, by package.

Loggers of Lightning are not among them, but for the two that are shipped: the others send what they are told
to an address that the config names.
"""


def check_kinds(config: Mapping[str, Any]) -> None:
    """Refuse a config in which something else stands where a network, a loss, a callback, ... is built.

    Args:
        config: Of a training run, as plain values.

    Raises:
        ValueError: If the name of a target is that of something else; nothing was called.
    """
    for place, kind in KINDS.items():
        for name, node in _nodes(config, place):
            check_kind(name, node.get(TARGET), kind)


def check_kind(place: str, target: object, kind: type) -> None:
    """Refuse a target that is not a class of a kind, nor a function that says that it returns one.

    Args:
        place: Where it stands in the config.
        target: Its dotted name; what cannot be found is left to whoever builds it.
        kind: The class it must be derived from.

    Raises:
        ValueError: If it is something else.
    """
    found = locate(target)
    made = found if isinstance(found, type) else _return_class(found)
    if found is not None and not (isinstance(made, type) and issubclass(made, kind)):
        raise ValueError(
            f"{place} is made by '{target}', which is no {kind.__module__.split('.')[0]} {kind.__name__}: it "
            "was not called. Name a class derived from it, or a function annotated to return one."
        )


def is_safe(target: str) -> bool:
    """Whether a target is a class that a stranger's config may build; no other package is imported for it.

    Args:
        target: What ``_target_`` says.
    """
    for package, kinds in SAFE.items():
        if target.startswith(f"{package}."):
            found = locate(target)
            return (
                isinstance(found, type) and issubclass(found, kinds) and found.__module__.startswith(package)
            )
    return False


def locate(target: object) -> Any:
    """Give what a dotted name stands for, importing its module; None where there is no such thing.

    Args:
        target: What ``_target_`` says, of any type.
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        return None
    parts = target.split(".")
    for count in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for name in parts[count:]:
            found = getattr(found, name, None)
        return found
    return None


def _return_class(function: Any) -> object:
    """Give the class that a function says it returns."""
    if not inspect.isroutine(function):
        return None
    try:
        return typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None


def _nodes(config: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the nodes with a target at a place, where ``*`` stands for each entry, with their names."""
    found: list[tuple[str, Any]] = [("", config)]
    for part in place.split("."):
        found = [
            (f"{name}.{key}".lstrip("."), node[key])
            for name, node in found
            if isinstance(node, Mapping)
            for key in (node if part == "*" else [part])
            if key in node
        ]
    return ((name, node) for name, node in found if isinstance(node, Mapping) and TARGET in node)
