"""Objects as plain values and back: ``{"_target_": "package.Class", ...arguments}``, the grammar Hydra reads.

Checkpoints, plans and post-processing steps hold specs, so that they can be opened without running anything
they contain: a class must be of the kind that is wanted, and its arguments of the types it names, before it
is called.
"""

import dataclasses
import functools
import importlib
import types
import typing
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ingradient_pl.plain_values import check_plain

TARGET = "_target_"
TRUSTED = ("ingradient_pl",)


def to_spec(value: Any) -> Any:
    """Turn an object into plain values from which :func:`build` makes its equal.

    A dataclass becomes its fields under its own name; anything else may carry an attribute ``spec``;
    lists, mappings and plain values are passed on.

    Args:
        value: A dataclass, plain values, or an object with an attribute ``spec``.

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
        f"attribute 'spec': a dictionary with '{TARGET}' and its constructor's arguments."
    )


def build(plain: Any, trusted: Sequence[str] = TRUSTED, kind: type | tuple[type, ...] = object) -> Any:
    """Make the object that ``plain`` describes, its parts first.

    Only classes are called, only those of packages the caller trusts, and only those of the kind that is
    wanted: a file chooses among what is trusted, it cannot bring or run anything else.

    Args:
        plain: A spec; plain values are passed on, sequences as tuples of what their entries make.
        trusted: Packages (top-level names or dotted prefixes) whose classes may be named.
        kind: What each class must be derived from, parts included. Parts of a class of a package that the
            caller trusts beside ours may be any class of such a package.

    Raises:
        ValueError: If a target is outside the trusted packages, does not exist, is not a class of the kind
            wanted, or ``plain`` is out of bounds.
        TypeError: If an argument is of another type than the class says.
    """
    check_plain(plain)
    return _build(plain, tuple(trusted), kind)


def find_class(target: object, trusted: Sequence[str], kind: type | tuple[type, ...]) -> type:
    """Find a class by its dotted name; nothing but its module is run, and that only where it is trusted.

    Args:
        target: Its name, such as ``package.module.Class``.
        trusted: Packages (top-level names or dotted prefixes) that it may be of.
        kind: What it must be derived from.

    Raises:
        ValueError: If it is not of a trusted package, does not exist, or is not a class of that kind.
    """
    if not isinstance(target, str) or not any(target.startswith(f"{package}.") for package in trusted):
        raise ValueError(
            f"{str(target)[:200]!r} is not in a trusted package ({', '.join(trusted)}), so it is not loaded. "
            "If you know the file and its author, name the package as trusted."
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"'{target}' cannot be found: {error}. Is the package installed?") from error
    if not isinstance(found, type) or _path(found).split(".")[0] != module.split(".")[0]:
        raise ValueError(f"'{target}' is not a class of its package, and only classes are built from a file.")
    if not issubclass(found, kind):
        names = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"'{target}' is a class, but no {names}, which is what stands here.")  # noqa: TRY004 (of a file)
    return found


def check_types(kind: type, values: Mapping[str, Any]) -> None:
    """Refuse arguments of another type than a class says: ``"false"`` is not a switch, and 1 no text.

    Numbers of NumPy pass as numbers. Annotations beyond plain values and containers are not looked at.

    Args:
        kind: The class.
        values: Its arguments by name.

    Raises:
        TypeError: If one is of another type; the message names it.
    """
    hints = read_annotations(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(
                f"'{name}' of {kind.__name__} must be {_words(hints[name])}, got {value!r} "
                f"({type(value).__name__})."
            )


def _build(
    plain: Any, trusted: tuple[str, ...], kind: type | tuple[type, ...], *, theirs: bool = False
) -> Any:
    """Make what ``plain`` describes; ``theirs`` tells that it is a part of a class that is not ours."""
    if isinstance(plain, (list, tuple)):
        return tuple(_build(entry, trusted, kind, theirs=theirs) for entry in plain)
    if not isinstance(plain, Mapping):
        return plain
    if TARGET not in plain:
        return {key: _build(entry, trusted, kind, theirs=theirs) for key, entry in plain.items()}
    foreign = not str(plain[TARGET]).startswith(tuple(f"{package}." for package in TRUSTED))
    made = find_class(plain[TARGET], trusted, object if foreign and theirs else kind)
    entries = {
        key: _build(entry, trusted, kind, theirs=foreign) for key, entry in plain.items() if key != TARGET
    }
    check_types(made, entries)
    return made(**entries)


def read_annotations(made: Any) -> Mapping[str, Any]:
    """Give the annotation of each parameter; nothing where they cannot be read.

    Args:
        made: A class or a function.
    """
    try:
        return _read_hints(made)
    except (NameError, TypeError, AttributeError):  # names that only a type checker sees, or neither of both
        return {}


@functools.cache
def _read_hints(made: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(made.__init__ if isinstance(made, type) else made)  # type: ignore[misc]


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and hint in SIMPLE:
        return bool(SIMPLE[hint](value))
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(key, inner[0]) and _fits(entry, inner[1]) for key, entry in value.items()
        )
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return _fits_entries(value, inner)
    return True


def _fits_entries(value: Any, inner: tuple[Any, ...]) -> bool:
    """Look at each entry of a sequence; whether there are as many as wanted is for the class to say."""
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return False
    each = [one for one in inner if one is not ...]
    return all(_fits(entry, each[min(i, len(each) - 1)]) for i, entry in enumerate(value)) if each else True


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool) or str(getattr(value, "dtype", None)) == "bool"


SIMPLE: dict[Any, Any] = {
    bool: _is_switch,
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool),
    str: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
}
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def _words(hint: Any) -> str:
    if isinstance(hint, type) and hint in WORDS:
        return WORDS[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(one) for one in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence) and inner:
        return f"a list, each entry {_words(inner[0])}"
    return str(hint).removeprefix("typing.").replace("collections.abc.", "")


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
