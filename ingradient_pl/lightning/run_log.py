"""The log of a run: what it says goes to standard output, once for all ranks, and into its folder."""

import logging
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from ingradient_pl.messages import LOGGER, say

RANK: Any = rank_zero_only
"""Lightning keeps the rank of this process as an attribute of the function."""


def tell(text: str) -> None:
    """Say something on the first rank.

    Args:
        text: A whole sentence.
    """
    if RANK.rank == 0:
        say(text)


def open_log(file: Path) -> logging.Handler:
    """Write down with the time of day all that is said from now on, behind what the file holds.

    Args:
        file: Made where it does not exist; else lines are added.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOGGER.addHandler(handler)
    return handler


def close_log(handler: logging.Handler) -> None:
    """Close what :func:`open_log` opened.

    Args:
        handler: As :func:`open_log` gave it.
    """
    LOGGER.removeHandler(handler)
    handler.close()


def write_down(handler: logging.Handler, text: str) -> None:
    """Write something into a log alone.

    Args:
        handler: As :func:`open_log` gave it.
        text: Of one line.
    """
    handler.emit(logging.LogRecord(LOGGER.name, logging.INFO, __file__, 0, text, None, None))
