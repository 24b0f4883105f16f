"""Messages for people: summaries and remarks of the commands, on Python's logger ``ingradient_pl``.

What is done goes to standard output, what failed to standard error. A program that wants silence says
``logging.getLogger("ingradient_pl").setLevel("ERROR")``.
"""

import difflib
import logging
import re
import sys
import unicodedata
from collections.abc import Iterable

from typing_extensions import override

LARGEST_SEED = 2**32 - 1
"""NumPy's and torch's generators of random numbers both take it."""

LOGGER = logging.getLogger("ingradient_pl")


NUMBER = re.compile(r"[+-]?\d*\.?\d+")


class UsageError(ValueError):
    """Arguments that contradict each other or name what does not exist."""


def check_range(option: str, value: float | None, least: float, most: float) -> None:
    """Refuse a number that is out of its range; NaN is in none.

    Args:
        option: Of the command, without its dashes.
        value: What was given; None where nothing was.
        least: The smallest that will do.
        most: The largest.

    Raises:
        UsageError: If it is out of range.
    """
    if value is not None and not least <= value <= most:
        raise UsageError(f"--{option} must be from {least} to {most}; got {value}.")


class Console(logging.Handler):
    """Write to the standard streams as they are at that moment, so that notebooks and tests see it."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(printable(self.format(record)), file=stream)


def printable(text: str) -> str:
    r"""Give a text in which nothing is left that a terminal would obey: files may hold any letters.

    Args:
        text: Its line breaks stay.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(one if one == "\n" or one.isprintable() else repr(one)[1:-1] for one in text)


def find_control(name: str) -> str:
    """Give the first letter of a name that is a control character or breaks a line; empty without one.

    Args:
        name: Of a case, a label or a channel.
    """
    return next((one for one in name if unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp")), "")


def check_letters(what: str, names: Iterable[object]) -> None:
    """Refuse names that would break a line, or that a terminal would obey.

    Args:
        what: They are of: ``label``, say.
        names: What is no text is left to others.

    Raises:
        ValueError: If one holds a control character.
    """
    for name in names:
        if isinstance(name, str) and find_control(name):
            raise ValueError(
                f"The {what} {name!r} holds {find_control(name)!r}, a control character. Rename it."
            )


def as_cell(text: str) -> str:
    """Give a text as the cell of a table that spreadsheets read: what they would compute is quoted.

    Args:
        text: A name that somebody chose.

    >>> as_cell("=1+1"), as_cell("case_1"), as_cell("-1.5")
    ("'=1+1", 'case_1', '-1.5')
    """
    begins = text[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{text}" if begins and not NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """Give the text that :func:`as_cell` made a cell of.

    Args:
        cell: Of a table that this package wrote.

    >>> from_cell(as_cell("=1+1")), from_cell("'a'")
    ('=1+1', "'a'")
    """
    text = cell.removeprefix("'")
    return text if as_cell(text) == cell else cell


def say(text: object) -> None:
    """Tell what was done or found.

    Args:
        text: A whole sentence; it goes to the log at level INFO.
    """
    LOGGER.info("%s", text)


def say_failure(text: object) -> None:
    """Tell what could not be done; a command during which this was called ends with exit code 1.

    Args:
        text: What, why and what to do; it goes to the log at level ERROR.
    """
    LOGGER.error("%s", text)


def nearest(name: str, names: Iterable[str]) -> str:
    """Give ``Did you mean X?`` after a space, or nothing where no name is near; capitals do not count.

    Args:
        name: As typed.
        names: Those that exist.

    >>> nearest("recipee", ["recipe", "seed"])
    ' Did you mean recipe?'
    """
    spelt = {one.casefold(): one for one in names}
    found = difflib.get_close_matches(name.casefold(), list(spelt), 1, 0.6)
    return f" Did you mean {spelt[found[0]]}?" if found else ""


class FailureCounter(logging.Filter):
    """Count the failures that are said while it is attached.

    Attributes:
        failures: How many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failures = 0

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        self.failures += record.levelno >= logging.ERROR
        return True


if not LOGGER.handlers:
    LOGGER.addHandler(Console())
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
