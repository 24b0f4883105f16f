"""Names that a package offers, imported when they are first used (PEP 562)."""

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

IMPORT = re.compile(r"^    from (\S+) import (\w+) as \2\b", re.MULTILINE)
"""Of a name that a package offers; not carried out at run time."""


def attach(
    package: str, retired: Mapping[str, str] | None = None
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__all__``, ``__getattr__`` and ``__dir__`` of a package: of what it imports for type checkers.

    Args:
        package: Its ``__name__``.
        retired: Name of before to what stands in its place.

    Returns:
        The three, in this order.
    """
    modules, former = _read_names(package), retired or {}

    def get_attribute(name: str) -> Any:
        if name in modules:
            value = getattr(importlib.import_module(modules[name]), name)
            return vars(sys.modules[package]).setdefault(name, value)
        raise AttributeError(_explain(package, name, list(modules), former), name=name)

    def list_names() -> list[str]:
        own = {name for name in vars(sys.modules[package]) if name.startswith("__")}
        return sorted({*own, *modules})

    return sorted(modules), get_attribute, list_names


def _read_names(package: str) -> dict[str, str]:
    """Read the names that a package's source imports below ``if TYPE_CHECKING``, and the module of each."""
    there: Any = sys.modules[package]
    source = there.__loader__.get_data(there.__file__).decode()
    return {name: module for module, name in IMPORT.findall(source)}


def _explain(package: str, name: str, names: list[str], retired: Mapping[str, str]) -> str:
    said = f"{package} has no '{name}'"
    if name in retired:
        return f"{said}: it is now '{retired[name]}'."
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if near:
        return f"{said}. Did you mean '{lower[near[0]]}'?"
    return f"{said}; it has {', '.join(sorted(names))}."
