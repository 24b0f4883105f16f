"""Experiments beside a plan: which of its entries they replace, and whether they may."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ingradient_pl.cli.failures import is_first_rank
from ingradient_pl.cli.group_options import EMPTY, group_folder
from ingradient_pl.messages import UsageError, say

if TYPE_CHECKING:
    from ingradient_pl.planning.plan import Plan


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
    file = group_folder("experiment") / f"{experiment}.yaml"
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
    if replaced and is_first_rank():
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
