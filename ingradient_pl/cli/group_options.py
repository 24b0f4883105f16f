"""Config groups on the command line: what options there are, and null where an option's name belongs."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from ingradient_pl.messages import UsageError
from ingradient_pl.spec import TARGET

OPTIONAL = ("plan", "experiment", "debug")
"""Groups of which no option need be chosen: null is what they are without one."""

EMPTY = ("", "null", "none")
NAMED = re.compile(rf"{TARGET}: ([\w.]+)")
SWITCH_OFF = "none"
"""The option that switches a group off, where a group has it."""


def settle_groups(overrides: Sequence[str]) -> list[str]:
    """Refuse null, or nothing, where a group wants an option; leave it out where that is what it means.

    Args:
        overrides: As typed.

    Raises:
        UsageError: If a group that always has an option is told none, or is taken away.

    >>> settle_groups(["experiment=null", "seed=1"])
    ['seed=1']
    """
    kept = []
    for override in overrides:
        key, _, value = override.partition("=")
        group = key.lstrip("+~").partition("@")[0]
        options, word = group_options(group), value.strip("'\"").lower()
        if not options or word in options or not (key.startswith("~") or word in EMPTY):
            kept.append(override)
        elif group not in OPTIONAL:
            raise _no_option(override, key.lstrip("+~"), options)
    return kept


def _no_option(override: str, key: str, options: Sequence[str]) -> UsageError:
    off = f" To switch it off: {key}={SWITCH_OFF}" if SWITCH_OFF in options else ""
    return UsageError(f"{override} chooses no option, and a run needs one: {', '.join(options)}.{off}")


def group_options(group: str) -> list[str]:
    """Give the options of a group that this package has; none where there is no such group.

    Args:
        group: Its name, without the place it stands at.
    """
    folder = group_folder(group)
    if not group.isidentifier() or (group not in OPTIONAL and not folder.is_dir()):
        return []
    return sorted(file.stem for file in folder.glob("*.yaml")) if folder.is_dir() else [SWITCH_OFF]


@cache
def shipped_targets() -> frozenset[str]:
    """Give the classes and functions that the options of this package name."""
    files = group_folder("").rglob("*.yaml")
    return frozenset(name for file in files for name in NAMED.findall(file.read_text(encoding="utf-8")))


def group_folder(group: str) -> Path:
    """Give the folder of a group's options in this package.

    Args:
        group: Its name; there need be no such group.
    """
    return Path(str(resources.files("ingradient_pl.conf"))) / group
