"""Plans named by their files on the command line: copied to where Hydra finds them as options."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingradient_pl.cli.experiments import check_experiment
from ingradient_pl.cli.overrides import find, parse_trust, read_paths, without
from ingradient_pl.cli.retired_keys import refuse_retired
from ingradient_pl.cli.search_path import with_searched
from ingradient_pl.spec import TRUSTED

if TYPE_CHECKING:
    from ingradient_pl.planning.plan import Plan

NAMED = re.compile(r"(?!(null|true|false|inf|nan)$)(\d+(?![eE])[A-Za-z]|[A-Za-z_])", re.IGNORECASE)
"""What is neither a number nor a word of Hydra's."""
ENDINGS = (".yaml", ".yml")


def with_plans(overrides: Sequence[str], folder: Path) -> list[str]:
    """Name plans as :func:`name_plans` does, and let Hydra find the copies in ``folder``.

    Args:
        overrides: As typed.
        folder: Where copies of plans are put.
    """
    named = name_plans(overrides, folder)
    return with_searched(named, folder) if (folder / "plan").is_dir() else named


def name_plans(overrides: Sequence[str], folder: Path) -> list[str]:
    """Make each ``plan=FILE.yaml[,FILE.yaml]`` an option of the config group ``plan``.

    Plans are copied into ``folder``, for Hydra's search path: so any key of a plan can be overridden or
    swept, and child processes of the run find it too.

    Args:
        overrides: As typed.
        folder: Where the copies go; it has to be there as long as somebody composes the config.

    Raises:
        FileNotFoundError: If a plan does not exist.
        ValueError: If one is not a plan.
        UsageError: If a key is overridden that has another name now.
    """
    refuse_retired(overrides)
    files = [Path(name) for name in _plans(overrides)]
    if not files:
        return list(overrides)
    (folder / "plan").mkdir(parents=True, exist_ok=True)
    names = list[str]()
    for i, file in enumerate(files):
        name = option_name(file.stem)
        names.append(name if name not in names else f"{name}_{i}")
        made = copy_plan(file, folder / "plan" / f"{names[-1]}.yaml", (*TRUSTED, *parse_trust(overrides)))
        check_experiment(find(overrides, "experiment"), made, overrides)
    return [*without(overrides, "plan"), f"plan={','.join(names)}"]


def _plans(overrides: Sequence[str]) -> list[str]:
    """Give the files that were named as plans; none where options of a group were."""
    found = find(overrides, "plan")
    names = [] if found in (None, "", "null") else read_paths(str(found), swept=True)
    return names if all(Path(name).suffix in ENDINGS for name in names) else []


def copy_plan(file: Path, copy: Path, trusted: Sequence[str] = TRUSTED) -> "Plan":
    """Write what a plan holds as a config of plain values, or say what is wrong with it.

    Args:
        file: The plan.
        copy: The config to write.
        trusted: Packages whose normalisers it may name.
    """
    from ingradient_pl.planning.plan_yaml import as_config, read_plan  # with NumPy, which no help needs

    if not file.exists():
        typed = shlex.quote(str(file))
        raise FileNotFoundError(f"No plan at {file}. Write one: ingradient plan --store DIR --output {typed}")
    plan = read_plan(file, trusted)
    copy.write_text(as_config(plan, str(file)), encoding="utf-8")
    return plan


def option_name(stem: str) -> str:
    """Make a name that Hydra takes for an option of a group, and does not read as a number.

    Args:
        stem: Of a plan's file.

    >>> option_name("2d"), option_name("mein Plan"), option_name("null"), option_name("1e5")
    ('2d', 'mein_Plan', 'plan_null', 'plan_1e5')
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", stem)
    return name if NAMED.match(name) else f"plan_{name}"
