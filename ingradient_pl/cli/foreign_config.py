"""The config of a run that is resumed, read as a stranger's file: it builds what training builds, no more.

A config is a program: Hydra calls what its targets name, and OmegaConf works out what stands in ``${...}``.
Whoever writes one may do so; whoever resumes a run that came from elsewhere has not read it.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ingradient_pl.cli.group_options import shipped_targets
from ingradient_pl.cli.overrides import NAME
from ingradient_pl.lightning.targets import is_safe
from ingradient_pl.plain_values import PlainValueError, entries, is_worked_out, read_yaml
from ingradient_pl.spec import TARGET

OUTPUT = "${hydra:runtime.output_dir}"
WRITERS = ("callbacks", "logger", "trainer")
"""Groups whose paths are written to."""

SENDERS = {
    "aim.pytorch_lightning.AimLogger",
    *(f"pytorch_lightning.loggers.{name}Logger" for name in ("Wandb", "MLFlow", "Comet")),
}
"""Loggers that send to an address, or into an account, that the config names."""

NAMED = re.compile(r"[\w./@-]+")
PLACE = re.compile(r"(dir|path|directory|folder|location|repo|uri)$|\._args_\.")
"""Entries that name a folder; what is relative there lies below the working directory."""

NOT_OF_A_RUN = ("defaults", "hydra")


def read_foreign_config(file: Path, run: Path, trusted: Sequence[str], told: Sequence[str] = ()) -> str:
    """Read the config of a run, and refuse what could do anything but train in its folder.

    Args:
        file: The config that the run left.
        run: Its folder, below which all that it writes must lie.
        trusted: Packages beside ours whose classes it may name.
        told: What the command line says: an entry that it says anew is the user's own, and is not looked at.

    Returns:
        The config as YAML.

    Raises:
        ValueError: If an entry names what is not trusted, works out anything but other entries, or writes
            elsewhere; the message gives the entry and the cure. Nothing was run.
    """
    try:
        plain = read_yaml(file)
    except PlainValueError as error:
        raise ValueError(f"{file} is not the config of a run: {error}.") from error
    if not isinstance(plain, dict) or any(name in plain for name in NOT_OF_A_RUN):
        raise ValueError(
            f"{file} is not the config of a run: it must be a mapping without {' or '.join(NOT_OF_A_RUN)}."
        )
    own = [key for key, _, value in map(_divide, told) if "{" not in value]  # a mapping would be merged
    _check_entries(file, plain, trusted, own)
    _check_paths(file, run, _resolve_references(file, run, plain), own)
    return OmegaConf.to_yaml(OmegaConf.create(plain))


def check_foreign_overrides(file: Path, sweep: Path, line: Sequence[str], trusted: Sequence[str]) -> None:
    """Refuse what a sweep was told, and could do anything but train in its folder.

    Args:
        file: Where it stands.
        sweep: The sweep's folder, below which all that it writes must lie.
        line: Overrides.
        trusted: Packages beside ours whose classes they may name.

    Raises:
        ValueError: If an override is no such; the message gives it and the cure. Nothing was run.
    """
    for override in line:
        key, value = _read_override(file, override)
        if key.startswith("hydra") or key in ("trust", "defaults") or not NAMED.fullmatch(key):
            raise ValueError(
                f"{file}: {override[:200]!r} is more than a setting of training. If you know what it "
                "does, say it anew beside resume=SWEEP."
            )
        if any(".." in Path(text).parts for _, text in entries({"": value}) if isinstance(text, str)):
            raise ValueError(f"{file}: {override[:200]!r} leads out of a folder. Name it without '..'.")
        plain: dict[str, Any] = {}
        _put(plain, key.partition("@")[2] or key, value)
        _check_entries(file, plain, trusted, ())
        _check_paths(file, sweep, plain, ())


def _read_override(file: Path, override: str) -> tuple[str, Any]:
    """Give key and value as Hydra reads them, the values of a sweep as a list."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ValueError(
            f"{file}: {override[:200]!r} is not an override ({' '.join(str(error).split())[:100]})"
        ) from error
    group = parsed.key_or_group if parsed.package is None else f"{parsed.key_or_group}@{parsed.package}"
    return group, _plain(parsed._value)


def _plain(value: Any) -> Any:
    """Give the plain values that a parsed override is made of; ranges are numbers, and nothing to look at."""
    if isinstance(value, ChoiceSweep):
        return [_plain(one) for one in value.list]
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, QuotedString):
        return value.text
    return value if value is None or isinstance(value, (str, int, float)) else "..."


def _put(plain: dict[str, Any], key: str, value: Any) -> None:
    *parts, last = key.replace("/", ".").split(".")
    for part in parts:
        plain = plain.setdefault(part, {})
    plain[last] = value


def _check_entries(file: Path, plain: Mapping[str, Any], trusted: Sequence[str], own: Sequence[str]) -> None:
    for name, value in entries(plain):
        if _is_said(name, own):
            continue
        _check_text(file, name, value)
        parts = name.split(".")
        if TARGET in parts:  # in a sweep it may be several
            _check_target(file, name, value, trusted)
        if "target" in parts:
            _check_network(file, name, value, trusted)


def _divide(override: str) -> tuple[str, str, str]:
    return override.lstrip("+~").partition("=")


def _is_said(name: str, own: Sequence[str]) -> bool:
    return any(name == said or name.startswith(f"{said}.") for said in own)


def _check_text(file: Path, name: str, value: Any) -> None:
    if isinstance(value, str) and is_worked_out(value):
        raise ValueError(
            f"{file}: '{name}' is {value[:200]!r}, which is worked out when it is read, and could run "
            f"or fetch something. Say it anew where you know it: {name}=VALUE"
        )


def _check_target(file: Path, name: str, value: Any, trusted: Sequence[str]) -> None:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"{file}: '{name}' is {value!r}, which is not a name of a class.")
    if value in shipped_targets() - SENDERS or _is_of(value, trusted) or is_safe(value):
        return
    if value in SENDERS:
        group, *_, option, _ = name.split(".")
        raise ValueError(
            f"{file}: '{name}' is '{value}', which may send what it is told to whom that file names. If you "
            f"know this run, say it anew: {group}={option}, or go on without: {group}=default"
        )
    package = value.partition(".")[0]
    raise ValueError(
        f"{file}: '{name}' is '{value}', which is not among what training builds, so it is not called. If "
        f"you know this run and its author, resume it with trust=[{package}]."
    )


def _is_of(target: str, packages: Sequence[str]) -> bool:
    return any(target.startswith(f"{package}.") for package in packages)


def _check_network(file: Path, name: str, value: Any, trusted: Sequence[str]) -> None:
    """Hold the class that a network of another package is made of to the packages that are trusted."""
    if not _is_of(str(value), trusted):
        package = str(value).partition(".")[0]
        raise ValueError(
            f"{file}: '{name}' is '{value}', which is not of a trusted package, so it is not called. If you "
            f"know this run and its author, resume it with trust=[{package}]."
        )


def _check_paths(file: Path, run: Path, plain: Mapping[str, Any], own: Sequence[str]) -> None:
    """Refuse to write anywhere but below the run's folder."""
    for name, value in entries(plain):
        group = name.partition(".")[0]
        if group not in WRITERS or not isinstance(value, str) or _is_said(name, own):
            continue
        if _leaves(value, run, Path.cwd() if PLACE.search(name) else run):
            raise ValueError(
                f"{file}: '{name}' is '{value}', outside the run's folder {run}, where it would write. If "
                f"that is meant, say it anew: {name}='{value}'"
            )


def _leaves(value: str, run: Path, here: Path) -> bool:
    """Whether a path leads out of a run's folder, where ``here`` is what it is relative to."""
    if "://" in value or value.startswith("~") or "\0" in value:
        return True
    own, place = (Path(os.path.realpath(path)) for path in (run, here / value))
    return not place.is_relative_to(own)


def _resolve_references(file: Path, run: Path, plain: Mapping[str, Any]) -> Any:
    """Give the config with every entry that refers to another replaced by it."""

    def settle(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: settle(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [settle(entry) for entry in value]
        text = value.replace(OUTPUT, str(run).replace("${", "\\${")) if isinstance(value, str) else value
        return re.sub(r"\$\{(hydra|now):[^${}]*\}", "x", text) if isinstance(text, str) else text

    try:
        return OmegaConf.to_container(OmegaConf.create(settle(plain)), resolve=True)
    except OmegaConfBaseException as error:
        raise ValueError(f"{file} is not the config of a run: {' '.join(str(error).split())}") from error
