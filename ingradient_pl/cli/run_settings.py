"""What a run was told before and is told now: whether the two are the same run."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ingradient_pl.cli.overrides import split_override
from ingradient_pl.lightning.run_files import CONFIG

LENGTH = (
    *("epochs", "trainer", "logger", "callbacks", "maximise", "resume", "trust"),
    *("data.workers", "data.resident", "data.resident_share"),
)
"""Keys that may be other when a run goes on: how long, on what, and what is watched."""
SHOWN = 5


def read_settings(overrides: Sequence[str], but: Sequence[str]) -> dict[str, str]:
    """Give what overrides say by key.

    Args:
        overrides: As typed.
        but: What keys that are left out begin with.

    >>> read_settings(["epochs=4", "trainer=cpu", "hydra/launcher=joblib"], ("trainer", "hydra"))
    {'epochs': '4'}
    """
    found = map(split_override, overrides)
    return {key: value for key, _, value in found if not key.startswith(tuple(but))}


def differences(run: Path, config: DictConfig, ignored: Sequence[str] = LENGTH) -> list[str]:
    """Say which settings of a run's folder differ from a config, ``KEY: there, here``.

    Args:
        run: Folder of the run.
        config: What would be trained now.
        ignored: Keys at the top that do not count.
    """
    before, now = (
        {
            key: value
            for key, value in _leaves(OmegaConf.to_container(one, resolve=False))
            if not any(f"{key}.".startswith(f"{one}.") for one in (*ignored, "hydra"))
        }
        for one in (OmegaConf.load(run / CONFIG), config)
    )
    keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return [f"{key}: {before.get(key)} there, {now.get(key)} here" for key in keys]


def same_settings(run: Path, config: DictConfig, ignored: Sequence[str] = LENGTH) -> bool:
    """Whether a folder holds the run that a config describes.

    Args:
        run: The folder.
        config: Of the run that shall be there.
        ignored: Keys that may differ, with all below them.
    """
    return (run / CONFIG).is_file() and not differences(run, config, ignored)


def first_differences(found: Sequence[str]) -> str:
    """Give the first of many differences.

    Args:
        found: As :func:`differences` gave them.
    """
    return "; ".join(found[:SHOWN]) + ("; ..." if len(found) > SHOWN else "")


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, node
