"""Ranges of the config's numbers, read from the comments in ``conf/``: what people are told is what holds."""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.spec import TARGET

CONF = "ingradient_pl.conf"
KEY = re.compile(r"^(\s*)(?:- )?([\w@/]+):(.*)$")
COMMENT = re.compile(r"(?:^|\s+)#\s+")
UNSET = re.compile(r"^# (?=\w+: \S+\s+# )")
BELOW = 20 * " "
NUMBER = r"(-?\d+(?:\.\d+)?)"
BETWEEN = re.compile(rf"\bin ([\[(]){NUMBER}, {NUMBER}([\])])")
BEYOND = re.compile(rf"\b(from|above) {NUMBER}\b")
USUAL = "usually"
"""What stands behind it is a range that may be left, but seldom is on purpose."""


class KeyRange(NamedTuple):
    """Which numbers a key takes: finite ones between two bounds.

    Args:
        words: As the comment says it, such as ``in [0, 1)``.
        least: Lower bound.
        most: Upper bound, infinite where there is none.
        open_below: Whether the lower bound itself is left out.
        open_above: Whether the upper bound itself is left out.
    """

    words: str
    least: float
    most: float
    open_below: bool = False
    open_above: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether a number lies inside; NaN and infinite ones lie in none.

        Args:
            value: Of the key.
        """
        below = value > self.least if self.open_below else value >= self.least
        above = value < self.most if self.open_above else value <= self.most
        return below and above and math.isfinite(value)


class KeyComment(NamedTuple):
    """What a comment says of a key.

    Args:
        text: The comment.
        allowed: Numbers that the key takes; None where nothing is said.
        usual: Numbers beyond which it is asked whether they are meant; None where nothing is said.
    """

    text: str
    allowed: KeyRange | None
    usual: KeyRange | None


def read_range(text: str) -> KeyRange | None:
    """Read the first range that a text states: ``in [0, 1)``, ``from 0`` or ``above 0``.

    Args:
        text: Of a comment.

    >>> read_range("share of the run, in [0, 1)")
    KeyRange(words='in [0, 1)', least=0.0, most=1.0, open_below=False, open_above=True)
    >>> read_range("learning rate, above 0").least, read_range("voxels") is None
    (0.0, True)
    """
    between, beyond = BETWEEN.search(text), BEYOND.search(text)
    if between and not (beyond and beyond.start() < between.start()):
        left, least, most, right = between.groups()
        return KeyRange(between[0], float(least), float(most), left == "(", right == ")")
    return None if beyond is None else KeyRange(beyond[0], float(beyond[2]), math.inf, beyond[1] == "above")


def join_lines(lines: Sequence[str]) -> list[str]:
    """Give lines of YAML, with a comment that goes on below put behind its key.

    A key that is not set, but could be, is a line of its own: ``# key: default  # what it means``.

    Args:
        lines: Of a file.
    """
    joined = list[str]()
    for line in lines:
        goes_on = line.startswith(BELOW) and line.lstrip().startswith("#") and joined
        if goes_on and COMMENT.search(joined[-1]):
            joined[-1] += " " + line.lstrip().lstrip("# ")
        else:
            joined.append(UNSET.sub("", line))
    return joined


@lru_cache(maxsize=1)
def key_comments() -> dict[tuple[str, str, str], KeyComment]:
    """Give what ``conf/`` says of each argument, by package and name of its class, and its own name."""
    return {
        (*class_key(target), key): KeyComment(text, read_range(text.partition(USUAL)[0]), _usual(text))
        for file in sorted(Path(str(resources.files(CONF))).rglob("*.yaml"))
        for target, key, text in _read_arguments(file.read_text(encoding="utf-8").splitlines())
    }


def class_key(target: str) -> tuple[str, str]:
    """Give package and name of a class: what lies between has more than one spelling.

    Args:
        target: Its dotted name.
    """
    return target.partition(".")[0], target.rpartition(".")[2]


def _usual(text: str) -> KeyRange | None:
    return read_range(text.partition(USUAL)[2])


def _read_arguments(lines: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Give target, key and comment of each argument in a file."""
    targets: dict[int, str] = {}
    for line in join_lines(lines):
        match = KEY.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        depth = len(match[1]) + (2 if line.lstrip().startswith("- ") else 0)
        targets = {at: target for at, target in targets.items() if at <= depth}
        value, comment = (*COMMENT.split(match[3].strip(), maxsplit=1), "")[:2]
        if match[2] == TARGET:
            targets[depth] = value
        elif depth in targets and comment:
            yield targets[depth], match[2], comment
