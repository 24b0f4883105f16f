"""Plain settings of a module, which its checkpoints keep as Lightning's hyper-parameters."""

from collections.abc import Callable, Mapping
from typing import Any

PLACE = "hyper_parameters"
"""Where Lightning keeps them in a checkpoint."""
FITS: dict[str, Callable[[Any], bool]] = {
    "interval": lambda value: value in ("step", "epoch"),
    "length_argument": lambda value: value is None or isinstance(value, str),
    "graph": lambda value: value == "auto" or isinstance(value, bool),
    "freeze": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "freeze_epochs": lambda value: value is None or (type(value) is int and value > 0),
    "layer_decay": lambda value: type(value) in (int, float) and 0 < value <= 1,
}
"""What each setting may be, in a file that may be a stranger's."""


def name_settings(module: Any) -> dict[str, Any]:
    """Give the settings of a module, as plain values.

    Args:
        module: A :class:`ingradient_pl.lightning.module.SegmentationModule`.
    """
    told = {name: getattr(module, name) for name in FITS if name != "freeze"}
    return {**told, "freeze": list(module.freeze_patterns)}


def choose_settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings that the module of a checkpoint had; what cannot be one is left out.

    Args:
        content: Of the checkpoint, which may be a stranger's.
    """
    held = content.get(PLACE)
    told = held if isinstance(held, Mapping) else {}
    return {name: told[name] for name, fits in FITS.items() if name in told and fits(told[name])}
