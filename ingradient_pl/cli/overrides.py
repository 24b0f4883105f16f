"""What is typed behind ``ingradient-train`` -> overrides that Hydra reads as they were meant, and flags."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Quote, QuotedString
from hydra.errors import HydraException

from ingradient_pl.cli.group_options import settle_groups
from ingradient_pl.messages import UsageError

PATHS = (
    *("store", "source", "data.store", "data.split.file", "resume", "init_from", "init_mapping"),
    *("data.extra", "data.previous"),
)
FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
TRAINER = "trainer."
"""Keys of Lightning's Trainer: any of its arguments, whether the config names it or not."""
DIRECTION = "hydra.sweeper.direction"
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
BLANK = " \"'"
"""What may stand around a path that is empty."""

AUTO = "auto"
"""``resume=auto``: go on with the run in the folder, or start it."""


def quote(text: str) -> str:
    """Write a text so that Hydra reads it as it is.

    Args:
        text: Of any characters, blanks and quotes included.

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

    Args:
        arguments: As typed, without the program's name.

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


def check_form(overrides: Sequence[str], command: str) -> None:
    """Refuse what is not ``KEY=VALUE`` (or ``~KEY``), and a path that is named and empty.

    An empty path is what a shell makes of a variable that is not set: it stands for nothing anybody meant.

    Args:
        overrides: As typed.
        command: As users call it, for the message.

    Raises:
        UsageError: If one is another.
    """
    for override in overrides:
        key, prefix, value = split_override(override)
        if override.startswith("-"):
            name = override.lstrip("-").partition("=")[0].replace("-", "_")
            raise UsageError(
                f"'{override}' is not KEY=VALUE: keys of {command} are written without dashes, "
                f"{name}=VALUE. {command} --help shows them."
            )
        if "=" not in override and not override.startswith("~"):
            raise UsageError(f"'{override}' is not KEY=VALUE. {command} --help shows the keys.")
        if key in (*PATHS, *FOLDERS, "plan") and not value.strip(BLANK):
            raise UsageError(
                f"'{override}' names no path: give one, or leave {prefix}{key}= out. (Was it a variable of "
                "the shell that is not set?)"
            )


def is_sweep(flags: Sequence[str]) -> bool:
    """Whether flags ask for a sweep.

    Args:
        flags: Hydra's own, as :func:`read_arguments` gives them.
    """
    return any(flag in SWEPT for flag in flags)


def find(overrides: Sequence[str], name: str) -> str | None:
    """Give the value that was typed for a key last; None where there is none.

    Args:
        overrides: As typed.
        name: Of the key, whole and dotted.

    >>> find(["seed=1", "resume=run", "seed=2"], "seed")
    '2'
    """
    found = [value for key, _, value in map(split_override, overrides) if key == name]
    return found[-1] if found else None


def without(overrides: Sequence[str], *names: str) -> list[str]:
    """Leave out what was typed for some keys.

    Args:
        overrides: As typed.
        *names: Of the keys, whole and dotted.
    """
    return [override for override in overrides if split_override(override)[0] not in names]


def parse_trust(overrides: Sequence[str]) -> list[str]:
    """Give the packages beside ours that ``trust=[PACKAGE,...]`` names on the command line.

    Args:
        overrides: As typed.

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


def split_override(override: str) -> tuple[str, str, str]:
    """Give key, prefix (``+`` or ``++``) and value of an override.

    Args:
        override: As typed.
    """
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
    for override in settle_groups(overrides):
        key, prefix, value = split_override(override)
        if key in PATHS or key in FOLDERS:
            written = write_paths(value, _absolute if key in PATHS else str, swept=swept)
            override = f"{prefix}{key}={written}"
        elif key.startswith(TRAINER) and not prefix:
            override = f"++{override}"
        out.append(override)
    return out


def with_direction(overrides: Sequence[str]) -> list[str]:
    """Have a sweeper that looks for the lowest value by itself look for the highest: it is a score.

    Args:
        overrides: As typed.

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

    Args:
        value: As typed, behind the ``=``.
        swept: Whether commas divide values of a sweep.

    >>> read_paths('"lr=0.1"'), read_paths("a,b", swept=True), read_paths("a,b")
    (['lr=0.1'], ['a', 'b'], ['a,b'])
    """
    if Path(value).exists():
        return [value]
    if value.startswith(("'", '"', "[", "choice(")):
        parsed = parse_texts(value)
        if parsed is not None:
            return parsed
        if value[0] in "'\"" and value[-1] == value[0]:  # Lightning quotes, but does not escape
            return [value[1:-1]]
    inner = (
        value[1:-1] if value.startswith("[") and value.endswith("]") else value
    )  # (b) is not of its grammar
    pieces = _existing_pieces(inner.split(","))
    if len(pieces) > 1 and (swept or all(Path(piece).exists() for piece in pieces)):
        return pieces
    return [value]


def is_list(value: str) -> bool:
    """Whether a text is a list in Hydra's brackets, and no folder of that name.

    Args:
        value: As typed, behind the ``=``.
    """
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


def parse_texts(value: str) -> list[str] | None:
    """Read texts by Hydra's own grammar; None where they do not follow it.

    Args:
        value: As typed, behind the ``=``.
    """
    try:
        found: Any = (
            OverridesParser.create().parse_override(f"x={value}")._value
        )  # the quotes are in no other
    except HydraException:
        return None
    entries = found.list if isinstance(found, ChoiceSweep) else found if isinstance(found, list) else [found]
    return [entry.text if isinstance(entry, QuotedString) else str(entry) for entry in entries]


def _absolute(path: str) -> str:
    there = Path(path)
    if not there.exists():
        return path
    return str(there.resolve() if ".." in there.parts else there.absolute())
