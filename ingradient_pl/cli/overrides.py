"""What is typed behind ``ingradient-train`` -> overrides that Hydra reads as they were meant, and flags."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString
from hydra.errors import HydraException

from ingradient_pl.cli.retired_keys import refuse_retired
from ingradient_pl.messages import UsageError
from ingradient_pl.spec import TRUSTED

PATHS = (
    *("store", "source", "data.store", "data.split.file", "resume", "init_from", "init_mapping"),
    *("data.extra", "data.previous"),
)
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
TRAINER = "trainer."
"""Keys of Lightning's Trainer: any of its arguments, whether the config names it or not."""
SEARCHED = "hydra.searchpath"
DIRECTION = "hydra.sweeper.direction"
ENDINGS = (".yaml", ".yml")
SWITCHES = (
    *("-m", "--multirun", "-r", "--run", "-h", "--help", "--hydra-help", "--version", "--resolve"),
    *("-sc", "--shell-completion"),
)
VALUED = (
    *("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"),
    *("-cd", "--config-dir", "-i", "--info", "--experimental-rerun"),
)
SWEPT = ("-m", "--multirun")
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
AUTO = "auto"
"""``resume=auto``: go on with the run in the folder, or start it."""


def quote(text: str) -> str:
    """Write a text so that Hydra reads it as it is.

    >>> quote('Meier, A (alt)')
    '"Meier, A (alt)"'

    Raises:
        ValueError: If it holds ``${``, which Hydra would take for a reference.
    """
    if "${" in text:
        raise ValueError(f"{text}: Hydra takes '${{' in a name for a reference. Rename the folder or file.")
    return QuotedString(text, Quote.double).with_quotes()


def read_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide a command line into overrides and Hydra's own flags, each flag followed by its value.

    >>> read_arguments(["store=store", "-m", "--cfg", "job", "seed=0,1"])
    (['store=store', 'seed=0,1'], ['-m', '--cfg', 'job'])
    """
    overrides, flags = list[str](), list[str]()
    waiting = False
    for argument in arguments:
        if waiting and (flags[-1] not in ("-i", "--info") or "=" not in argument):
            flags.append(argument)
            waiting = False
        elif argument in SWITCHES or argument.split("=")[0] in VALUED:
            flags.append(argument)
            waiting = argument in VALUED
        else:
            overrides.append(argument)
            waiting = False
    return overrides, flags


def is_sweep(flags: Sequence[str]) -> bool:
    """Whether flags ask for a sweep."""
    return any(flag in SWEPT for flag in flags)


def find(overrides: Sequence[str], name: str) -> str | None:
    """Give the value that was typed for a key last; None where there is none.

    >>> find(["seed=1", "resume=run", "seed=2"], "seed")
    '2'
    """
    found = [value for key, _, value in map(_parts, overrides) if key == name]
    return found[-1] if found else None


def without(overrides: Sequence[str], *names: str) -> list[str]:
    """Leave out what was typed for some keys."""
    return [override for override in overrides if _parts(override)[0] not in names]


def parse_trust(overrides: Sequence[str]) -> list[str]:
    """Give the packages beside ours that ``trust=[PACKAGE,...]`` names on the command line.

    >>> parse_trust(["seed=1", "trust=[mine,monai.networks]"])
    ['mine', 'monai.networks']

    Raises:
        UsageError: If it is not such a list.
    """
    told = find(overrides, "trust") or ""
    names = [name.strip(" '\"") for name in told.strip(" []").split(",")]
    wrong = [name for name in names if name and not NAME.fullmatch(name)]
    if wrong:
        raise UsageError(f"trust= takes names of packages, such as trust=[my_package]; got '{wrong[0]}'.")
    return [name for name in names if name]


def _parts(override: str) -> tuple[str, str, str]:
    """Give key, prefix (``+`` or ``++``) and value of an override."""
    name, _, value = override.partition("=")
    key = name.lstrip("+")
    return key, name[: len(name) - len(key)], value


def quote_paths(overrides: Sequence[str], *, swept: bool = False) -> list[str]:
    """Quote what keys that take paths were told, and make those that exist absolute.

    A run can then be resumed from any folder, and no name of a folder is taken for Hydra's grammar. Keys of
    the trainer get the ``++`` that Hydra wants for those which the config does not name.

    Args:
        overrides: As typed.
        swept: Whether commas divide the values of a sweep.

    >>> quote_paths(["store=Projekt (alt)", "seed=1"])
    ['store="Projekt (alt)"', 'seed=1']
    """
    out = []
    for override in overrides:
        key, prefix, value = _parts(override)
        if key in PATHS or key in FOLDERS:
            written = write_paths(value, _absolute if key in PATHS else str, swept=swept)
            override = f"{prefix}{key}={written}"
        elif key.startswith(TRAINER) and not prefix:
            override = f"++{override}"
        out.append(override)
    return out


def with_direction(overrides: Sequence[str]) -> list[str]:
    """Have a sweeper that looks for the lowest value by itself look for the highest: it is a score.

    >>> with_direction(["hydra/sweeper=optuna"])
    ['hydra/sweeper=optuna', 'hydra.sweeper.direction=maximize']
    """
    told = find(overrides, DIRECTION)
    if find(overrides, "hydra/sweeper") != "optuna" or told is not None:
        return list(overrides)
    return [*overrides, f"{DIRECTION}=maximize"]


def write_paths(value: str, change: Callable[[str], str] = str, *, swept: bool = False) -> str:
    """Write a path, a list or a sweep of paths so that Hydra reads them as they are.

    Args:
        value: As typed, with Hydra's quotes or without.
        change: Applied to each path.
        swept: Whether commas divide the values of a sweep.
    """
    if value in ("", "null", "???", AUTO) or ("${" in value and not Path(value).exists()):
        return value
    meant = read_paths(value, swept=swept)
    written = ",".join(quote(change(path)) for path in meant)
    return f"[{written}]" if is_list(value) else written


def read_paths(value: str, *, swept: bool = False) -> list[str]:
    """Give the paths that a text names, as they are on the disk.

    A text that names something on the disk is that path, whatever is in it. Else Hydra's quotes, lists and
    ``choice(...)`` are read, and in a sweep commas divide.

    >>> read_paths('"lr=0.1"'), read_paths("a,b", swept=True), read_paths("a,b")
    (['lr=0.1'], ['a', 'b'], ['a,b'])
    """
    if Path(value).exists():
        return [value]
    if value.startswith(("'", '"', "[", "choice(")):
        parsed = _parse_texts(value)
        if parsed is not None:
            return parsed
        if value[0] in "'\"" and value[-1] == value[0]:  # Lightning quotes, but does not escape
            return [value[1:-1]]
    pieces = _existing_pieces(value.split(","))
    if len(pieces) > 1 and (swept or all(Path(piece).exists() for piece in pieces)):
        return pieces
    return [value]


def is_list(value: str) -> bool:
    """Whether a text is a list in Hydra's brackets, and no folder of that name."""
    return value.startswith("[") and not Path(value).exists()


def _existing_pieces(pieces: list[str]) -> list[str]:
    """Join what commas divided where the whole is something on the disk."""
    out = []
    while pieces:
        ends = range(len(pieces), 0, -1)
        end = next((end for end in ends if Path(",".join(pieces[:end])).exists()), 1)
        out.append(",".join(pieces[:end]))
        pieces = pieces[end:]
    return out


def _parse_texts(value: str) -> list[str] | None:
    """Read texts by Hydra's own grammar; None where they do not follow it."""
    try:
        found: Any = (
            OverridesParser.create().parse_override(f"x={value}")._value
        )  # the quotes are in no other
    except HydraException:
        return None
    entries = found.list if isinstance(found, ChoiceSweep) else found if isinstance(found, list) else [found]
    return [entry.text if isinstance(entry, QuotedString) else str(entry) for entry in entries]


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if Path(path).exists() else path


def with_plans(overrides: Sequence[str], folder: Path) -> list[str]:
    """Name plans as :func:`name_plans` does, and let Hydra find the copies in ``folder``."""
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
        name = _option(file.stem)
        names.append(name if name not in names else f"{name}_{i}")
        copy_plan(file, folder / "plan" / f"{names[-1]}.yaml", (*TRUSTED, *parse_trust(overrides)))
    return [*without(overrides, "plan"), f"plan={','.join(names)}"]


def _plans(overrides: Sequence[str]) -> list[str]:
    """Give the files that were named as plans; none where options of a group were."""
    found = find(overrides, "plan")
    names = [] if found in (None, "", "null") else read_paths(str(found), swept=True)
    return names if all(Path(name).suffix in ENDINGS for name in names) else []


def copy_plan(file: Path, copy: Path, trusted: Sequence[str] = TRUSTED) -> None:
    """Write what a plan holds as a config of plain values, or say what is wrong with it."""
    from ingradient_pl.planning.plan_yaml import (
        as_config,
        read_plan,
    )  # it brings torch along, which takes seconds

    if not file.exists():
        raise FileNotFoundError(f"No plan at {file}. Write one: ingradient plan --store DIR --output {file}")
    copy.write_text(as_config(read_plan(file, trusted), str(file)), encoding="utf-8")


def _option(stem: str) -> str:
    """Make a name that Hydra takes for an option of a group.

    >>> _option("2d"), _option("mein Plan"), _option("null")
    ('plan_2d', 'mein_Plan', 'plan_null')
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", stem)
    return name if re.match("[A-Za-z_](?!ull$|rue$|alse$|nf$|an$)", name) else f"plan_{name}"


def with_searched(overrides: Sequence[str], folder: Path) -> list[str]:
    """Let Hydra look for configs in ``folder`` first, and then where it was told to."""
    own = f"file://{folder.absolute()}"
    places = [own, *(place for place in searched_places(overrides) if place != own)]
    written = ",".join(quote(place) for place in places)
    return [*without(overrides, SEARCHED), f"{SEARCHED}=[{written}]"]


def searched_places(overrides: Sequence[str]) -> list[str]:
    """Give the places where Hydra was told to look for configs."""
    told = find(overrides, SEARCHED)
    return [] if told is None else (_parse_texts(told) or told.strip("[]").split(","))
