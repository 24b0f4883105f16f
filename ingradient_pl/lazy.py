"""Names that a package offers, imported when they are first used (PEP 562)."""

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

ROOT = __name__.partition(".")[0]


def attach(
    package: str, modules: Mapping[str, str], retired: Mapping[str, str] | None = None
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__all__``, ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Its ``__name__``.
        modules: Name to the module that defines it, below ``ingradient_pl``.
        retired: Name of before to what stands in its place.

    Returns:
        The three, in this order.
    """
    former = retired or {}

    def get_attribute(name: str) -> Any:
        if name in modules:
            value = getattr(importlib.import_module(f"{ROOT}.{modules[name]}"), name)
            return vars(sys.modules[package]).setdefault(name, value)
        raise AttributeError(_explain(package, name, list(modules), former), name=name)

    def list_names() -> list[str]:
        own = {name for name in vars(sys.modules[package]) if name.startswith("__")}
        return sorted({*own, *modules})

    return sorted(modules), get_attribute, list_names


def _explain(package: str, name: str, names: list[str], retired: Mapping[str, str]) -> str:
    said = f"{package} has no '{name}'"
    if name in retired:
        return f"{said}: it is now '{retired[name]}'."
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"{said}. Did you mean '{lower[near[0]]}'?"
    return f"{said}; it has {', '.join(sorted(names))}."
