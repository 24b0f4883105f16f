"""Config groups on the command line: null where an option's name belongs, and experiments beside a plan."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ingradient_pl.messages import UsageError, say

if TYPE_CHECKING:
    from ingradient_pl.planning.plan import Plan

OPTIONAL = ("plan", "experiment", "debug")
"""Groups of which no option need be chosen: null is what they are without one."""

EMPTY = ("", "null", "none")
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
    folder = _folder(group)
    if not group.isidentifier() or (group not in OPTIONAL and not folder.is_dir()):
        return []
    return sorted(file.stem for file in folder.glob("*.yaml")) if folder.is_dir() else [SWITCH_OFF]


def _folder(group: str) -> Path:
    return Path(str(resources.files("ingradient_pl.conf"))) / group


def check_experiment(experiment: str | None, plan: "Plan", told: Sequence[str]) -> None:
    """Say which entries of a plan an experiment replaces; refuse one made for another number of dimensions.

    Args:
        experiment: Its name; None where there is none, and one that is not this package's is passed over.
        plan: As its file has it.
        told: Overrides as typed, which come after the experiment's.

    Raises:
        UsageError: If the experiment's patch has more voxels along an axis that the plan's network does not
            see, or the network could not be built.
    """
    file = _folder("experiment") / f"{experiment}.yaml"
    if experiment in (None, *EMPTY) or not file.is_file():
        return
    keys = [override.partition("=")[0].lstrip("+") for override in told]
    held: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    own = _read_plan_entries(held, file.parent)
    replaced = {
        name: entry
        for name, entry in own.items()
        if f"plan.{name}" not in keys and _plain(getattr(plan, name)) != entry
    }
    patch = replaced.get("patch")
    if patch is not None and any(mine == 1 < its for mine, its in zip(plan.patch, patch, strict=True)):
        raise UsageError(
            f"experiment={experiment} trains patches of {patch} voxels, and the plan is of two dimensions "
            f"({list(plan.patch)}): it would train another network than was planned. Leave out "
            f"experiment={experiment}, or give a plan of three dimensions."
        )
    if replaced:
        changes = ", ".join(
            f"{name} {_plain(getattr(plan, name))} -> {entry}" for name, entry in replaced.items()
        )
        say(f"experiment={experiment} replaces entries of the plan: {changes}.")


def _read_plan_entries(held: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Give what an experiment, and those that it is based on, say of the plan."""
    entries: dict[str, Any] = {}
    for base in held.get("defaults", ()):
        if isinstance(base, str) and (folder / f"{base}.yaml").is_file():
            entries |= _read_plan_entries(
                yaml.safe_load((folder / f"{base}.yaml").read_text("utf-8")), folder
            )
    return entries | dict(held.get("plan", {}))


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value
