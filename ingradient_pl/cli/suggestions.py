"""What Hydra refuses, said with the nearest right name: keys, options, classes and their arguments."""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from typing import Any

from hydra.errors import HydraException, InstantiationException
from hydra.utils import get_object
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.group_options import shipped_targets
from ingradient_pl.cli.retired_keys import OPTIONS as RENAMED_OPTIONS
from ingradient_pl.cli.retired_keys import renamed_key, renamed_target
from ingradient_pl.machine import explain_missing_device
from ingradient_pl.messages import UsageError, nearest

UNKNOWN_KEY = re.compile(r"Could not override '([^'@]+)'|Key '([^']+)' is not in struct")
UNKNOWN_OPTION = re.compile(r"Could not find '([^']+)/([^'/]+)'")
OPTIONS = re.compile(r"^\t(\S+)$", re.MULTILINE)
UNKNOWN_TARGET = re.compile(r"Error (?:locating target|loading) '([^']+)'")
UNKNOWN_ARGUMENT = re.compile(
    r"Error in call to target '([^']+)'.*unexpected keyword argument '([^']+)'", re.DOTALL
)
MANY = 400
NESTED = {
    "network": "module.network",
    "loss": "module.loss",
    "optimizer": "module.optimizer",
    "scheduler": "module.scheduler",
    "draws": "data.draws",
    "augment": "data.augment",
}
"""Groups that stand inside another group, and where."""


def translate_error(error: Exception) -> Exception:
    """Give what a user is told in the place of an error of Hydra or OmegaConf; any other as it is.

    Args:
        error: That ended a command.
    """
    if isinstance(error, InstantiationException):
        cause = error.__cause__
        return cause if isinstance(cause, (ValueError, OSError)) else ValueError(explain_instantiation(error))
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return UsageError(explain_override(error))
    return error


def explain_override(error: Exception) -> str:
    """Say in one line what is wrong with an override, and which name is the nearest right one.

    Args:
        error: Of Hydra or OmegaConf.
    """
    said = " ".join(str(error).split())
    option = UNKNOWN_OPTION.search(str(error))
    if option:
        group, name = option[1].split("/")[-1], option[2]
        options = OPTIONS.findall(str(error))
        if f"{group}={name}" in RENAMED_OPTIONS:
            return f"There is no {group}={name}: it is now {RENAMED_OPTIONS[f'{group}={name}']}."
        return f"There is no {group}={name}; there are {', '.join(options)}.{nearest(name, options)}"
    key = UNKNOWN_KEY.search(str(error))
    if key:
        name = next(filter(None, key.groups()))
        if renamed_key(name) is not None:
            return f"There is no key or group '{name}': it is now {renamed_key(name)}."
        return f"There is no key or group '{name}'.{_nearest_key(name)} ({said})"
    return said


def explain_instantiation(error: Exception) -> str:
    """Say in one line why an object of the config cannot be made.

    Args:
        error: Of Hydra's ``instantiate``.
    """
    said = str(error)
    argument = UNKNOWN_ARGUMENT.search(said)
    if argument:
        target, name = argument.groups()
        return f"{target} has no argument '{name}'.{nearest(name, _arguments(target))}"
    target = UNKNOWN_TARGET.search(said)
    if target and renamed_target(target[1]) is not None:
        return f"There is no {target[1]}: it is now {renamed_target(target[1])}."
    if target:
        return f"There is no {target[1]}.{_nearest_target(target[1], error)}"
    return explain_missing_device(" ".join(str(error.__cause__ or error).split())[:MANY])


def _nearest_target(target: str, error: Exception) -> str:
    """Say which class may have been meant, or which package is missing."""
    near = nearest(target, _siblings(target))
    if near:
        return near
    first, _, rest = target.partition(".")
    last = target.rpartition(".")[2]
    shipped = sorted(name for name in shipped_targets() if name.rpartition(".")[2] == last)
    if shipped:
        return f" Did you mean {shipped[0]}?"
    if rest and importlib.util.find_spec(first) is None:
        return f" The package '{first}' is not installed, nor does it lie where the command is started."
    cause = " ".join(str(error.__cause__ or "").split())
    return f" ({cause[:MANY]})" if cause else " Write it with its module: my_package.my_module.MyClass"


def _nearest_key(name: str) -> str:
    from ingradient_pl.cli.run_folders import compose_config

    try:
        plain: Any = OmegaConf.to_container(compose_config([]), resolve=False)
    except HydraException:
        return ""
    keys = {key for key in _keys(plain) if not key.startswith("hydra.")}
    if name in NESTED:
        return f" Did you mean {name}@{NESTED[name]}?"
    return nearest(name, keys) or nearest(name.split(".")[-1], keys)


def _keys(node: Any, name: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        inner = f"{name}.{key}" if name else str(key)
        yield inner
        yield from _keys(value, inner)


def _arguments(target: str) -> list[str]:
    try:
        return list(inspect.signature(get_object(target)).parameters)
    except (HydraException, ValueError, TypeError, ImportError):
        return []


def _siblings(target: str) -> list[str]:
    """Give what the longest part of a dotted name that can be imported holds."""
    parts = target.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        return [f"{module.__name__}.{name}" for name in dir(module) if not name.startswith("_")]
    return []
