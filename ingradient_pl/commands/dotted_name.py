"""Classes and functions of other packages by their dotted name, as ``my_package.MyRule``."""

import importlib
from collections.abc import Iterable
from typing import Any

from ingradient_pl.messages import UsageError, nearest


def import_name(name: str, wanted: str, known: Iterable[str] = ()) -> Any:
    """Import what a dotted name names, from an installed package or from the working directory.

    Args:
        name: Package, modules and class: ``my_package.MyRule``.
        wanted: What it should be, for messages: ``a spacing rule``.
        known: Short names that are taken in its place, for messages.

    Raises:
        UsageError: If there is no such module, or nothing of that name in it.
    """
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UsageError(
            f"'{name}' does not name {wanted}: write package and class, as my_package.MyClass."
            f"{nearest(name, known)}"
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"'{name}' does not name {wanted}: {error}. Start the command in the folder that holds "
            f"{module.partition('.')[0]}.py, or install the package."
        ) from error
    except AttributeError as error:
        raise UsageError(f"'{name}' does not name {wanted}: {error}.") from error


def make(name: str, wanted: str, known: Iterable[str] = (), /, **settings: Any) -> Any:
    """Call the class of a dotted name with settings; a function is given back as it is.

    Args:
        name: Package, modules and class.
        wanted: What it should be, for messages.
        known: As of :func:`import_name`.
        settings: Arguments of the class.

    Raises:
        UsageError: If it is not there, or does not take these settings.
    """
    found = import_name(name, wanted, known)
    if not isinstance(found, type):
        return found
    try:
        return found(**settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be made: {error}.") from error
