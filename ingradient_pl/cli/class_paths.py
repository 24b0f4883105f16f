"""A composed config in LightningCLI's words: ``class_path`` and ``init_args`` instead of ``_target_``."""

from typing import Any

from hydra.utils import instantiate

HYDRA_ONLY = ("_target_", "_convert_", "_partial_", "_recursive_")
FIELDS_ONLY = ("plan", "draws", "split", "affine")
"""Arguments of one type: LightningCLI takes their fields, and no class path."""


def write_plain(plain: dict[str, Any]) -> dict[str, Any]:
    """Say what a composed config holds in LightningCLI's words.

    Args:
        plain: A config as plain values, references resolved.
    """
    trainer = {
        # what Hydra works out by a function is plain by now: LightningCLI would ask for a class
        key: instantiate(entry) if isinstance(entry, dict) else entry
        for key, entry in plain["trainer"].items()
        if key not in HYDRA_ONLY
    }
    callbacks, loggers = (
        [entry for entry in (plain[group] or {}).values() if entry is not None and "_target_" in entry]
        for group in ("callbacks", "logger")
    )
    written = {
        "seed_everything": plain["seed"],
        "trainer": {**trainer, "callbacks": _classes(callbacks), "logger": _classes(loggers) or False},
        "model": _fields(plain["module"]),
        "data": _fields(plain["data"]),
    }
    if plain["resume"] is not None:
        written["ckpt_path"] = plain["resume"]
    return written


def _fields(node: dict[str, Any]) -> dict[str, Any]:
    """Give a constructor's arguments; those of one type as fields, the others with their class."""
    return {
        name: _fields(entry) if name in FIELDS_ONLY and isinstance(entry, dict) else _classes(entry)
        for name, entry in node.items()
        if name not in HYDRA_ONLY
    }


def _classes(node: Any) -> Any:
    """Say ``class_path`` and ``init_args`` where Hydra says ``_target_`` and the arguments beside it."""
    if isinstance(node, list):
        return [_classes(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    if "_target_" in node:
        return {"class_path": node["_target_"], "init_args": _fields(node)}
    return {name: _classes(entry) for name, entry in node.items()}
