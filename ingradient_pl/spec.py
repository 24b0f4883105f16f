"""Objects as plain values and back: ``{"_target_": "package.Class", ...arguments}``, the grammar Hydra reads.

A checkpoint and a plan hold recipes, so that they can be opened without running anything they contain.
"""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

TARGET = "_target_"
TRUSTED = ("ingradient_pl",)


def to_spec(value: Any) -> Any:
    """Turn an object into plain values from which :func:`build` makes its equal.

    A dataclass becomes its fields under its own name; anything else may carry an attribute ``recipe``;
    lists, mappings and plain values are passed on.

    Raises:
        TypeError: If the value is none of these.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_spec(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_spec(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: to_spec(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {TARGET: _path(type(value)), **fields}
    own = getattr(value, "spec", None)
    if isinstance(own, Mapping):
        return to_spec(own)
    raise TypeError(
        f"{type(value).__name__} cannot be written down as plain values. Make it a dataclass, or give it an "
        f"attribute 'recipe': a dictionary with '{TARGET}' and its constructor's arguments."
    )


def build(plain: Any, trusted: Sequence[str] = TRUSTED) -> Any:
    """Make the object that ``plain`` describes, its parts first.

    Only classes are called, and only those of packages the caller trusts: a file chooses among what is
    trusted, it cannot bring or run anything else.

    Args:
        plain: A recipe; plain values are passed on, sequences as tuples of what their entries make.
        trusted: Packages (top-level names or dotted prefixes) whose classes may be named.

    Raises:
        ValueError: If a target is outside the trusted packages, does not exist or is no class.
    """
    if isinstance(plain, Mapping):
        entries = {key: build(entry, trusted) for key, entry in plain.items() if key != TARGET}
        return _trusted_class(plain[TARGET], trusted)(**entries) if TARGET in plain else entries
    if isinstance(plain, (list, tuple)):
        return tuple(build(entry, trusted) for entry in plain)
    return plain


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _trusted_class(target: str, trusted: Sequence[str]) -> type:
    if not any(str(target).startswith(f"{package}.") for package in trusted):
        raise ValueError(
            f"'{target}' is not in a trusted package ({', '.join(trusted)}), so it is not loaded. "
            "If you know the file and its author, name the package as trusted."
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'{target}' cannot be found: {error}. Is the package installed?") from error
    if not isinstance(found, type) or _path(found).split(".")[0] != module.split(".")[0]:
        raise ValueError(f"'{target}' is no class of its package, and only classes are built from a file.")
    return found
