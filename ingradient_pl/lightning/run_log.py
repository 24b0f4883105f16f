"""The log of a run: what it says goes to standard output, once for all ranks, and into its folder."""

import logging
import sys
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only
from typing_extensions import override

from ingradient_pl.messages import LOGGER, say

RANK: Any = rank_zero_only
"""Lightning keeps the rank of this process as an attribute of the function."""


class LogFile(logging.FileHandler):
    """A log that a disk may refuse for a while: no run ends for that, nor is there a traceback for each line.

    Args:
        file: As of the handler that it is.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8")
        self.refused: OSError | None = None

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.refused = error
        else:
            super().handleError(record)

    @override
    def close(self) -> None:
        try:
            super().close()
        except OSError as error:  # of what was kept for later
            self.refused = error


def tell(text: str) -> None:
    """Say something on the first rank.

    Args:
        text: A whole sentence.
    """
    if RANK.rank == 0:
        say(text)


def open_log(file: Path) -> LogFile:
    """Write down with the time of day all that is said from now on, behind what the file holds.

    Args:
        file: Made where it does not exist; else lines are added.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handler = LogFile(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOGGER.addHandler(handler)
    return handler


def close_log(log: LogFile, *, failed: bool = False) -> None:
    """Close what :func:`open_log` opened, and say it where lines are lacking.

    Args:
        log: As :func:`open_log` gave it.
        failed: Whether the run failed, which tells of the disk itself.
    """
    LOGGER.removeHandler(log)
    log.close()
    if log.refused is not None and not failed:
        LOGGER.warning("%s lacks lines: %s.", log.baseFilename, log.refused.strerror)


def write_down(log: LogFile, text: str) -> None:
    """Write something into a log alone.

    Args:
        log: As :func:`open_log` gave it.
        text: Of one line.
    """
    log.emit(logging.LogRecord(LOGGER.name, logging.INFO, __file__, 0, text, None, None))
