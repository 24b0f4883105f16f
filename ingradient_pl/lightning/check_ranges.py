"""Numbers of a config, held to the ranges that ``conf/`` states: refused, or asked about if seldom meant."""

from collections.abc import Iterator, Mapping
from typing import Any

from ingradient_pl.lightning.key_ranges import KeyComment, KeyRange, class_key, key_comments
from ingradient_pl.messages import UsageError, say
from ingradient_pl.spec import TARGET

PERCENT = 100


def check_ranges(place: str, node: Mapping[str, Any]) -> None:
    """Refuse numbers out of the range that ``conf/`` states; ask about those that are seldom meant.

    Args:
        place: Of the node in the config.
        node: What is built: a target and its arguments, without references.

    Raises:
        UsageError: If a number, or one within a list, is out of range.
    """
    for key, value in node.items():
        comment = key_comments().get((*class_key(str(node[TARGET])), key))
        if comment is not None:
            for number in _numbers(value):
                _check(f"{place}.{key}".lstrip("."), number, comment)


def _check(name: str, number: float, comment: KeyComment) -> None:
    allowed, usual = comment.allowed, comment.usual
    if allowed is not None and not allowed.holds(number):
        share = allowed.most <= 1 < number <= PERCENT
        more = f" A percentage? Write {number / PERCENT:g}." if share else ""
        raise UsageError(f"{name} must lie {_bounds(allowed)}, got {number}.{more} ({name}: {comment.text})")
    if usual is not None and not usual.holds(number):
        say(f"Note: {name} is {number:g}, which is seldom meant: it usually lies {_bounds(usual)}.")


def _bounds(given: KeyRange) -> str:
    return f"{given.words} upwards" if given.words.startswith("from") else given.words


def _numbers(value: Any) -> Iterator[float]:
    """Give the numbers that a value is or holds; what is built has keys of its own."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, Mapping) and TARGET not in value:
        yield from _numbers(list(value.values()))
