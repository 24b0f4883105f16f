"""Phrases of messages: a count with its noun, a shape, the first of many."""

from collections.abc import Collection, Iterable, Sequence
from itertools import islice


def join_times(numbers: Iterable[float]) -> str:
    """Write a shape or a spacing, as ``40×56×40``.

    Args:
        numbers: One for each axis.

    >>> join_times((40, 56, 40)), join_times((1.5, 1, 1))
    ('40×56×40', '1.5×1×1')
    """
    return "×".join(f"{number:g}" for number in numbers)


def say_count(number: int, noun: str) -> str:
    """Write a number with its noun in the right form.

    Args:
        number: How many there are.
        noun: In the singular; its plural must end in a bare ``s``.

    >>> say_count(1, "case"), say_count(20, "case")
    ('1 case', '20 cases')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(error: BaseException, most: int = 300) -> str:
    """Give the beginning of what an error says, on one line; its kind where it says nothing.

    Args:
        error: Of any kind.
        most: Characters to give.

    >>> one_line(ValueError("two  words")), one_line(KeyError())
    ('two words', 'KeyError')
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else f"{text[:most]} ..."


def first_line(error: BaseException) -> str:
    """Give the first line of what an error says; its kind where it says nothing.

    Args:
        error: Of any kind.
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def name_some(values: Collection[object], most: int = 5) -> str:
    """Name the first of many; what no terminal prints is written as Python does.

    Args:
        values: In the order in which they are named.
        most: How many are named before the rest become dots.

    >>> name_some(["case_1", "case_2"]), name_some(range(9), 3)
    ('case_1, case_2', '0, 1, 2, ...')
    """
    texts = [str(value) for value in islice(values, most)]
    shown = [text if text.isprintable() else repr(text) for text in texts]
    return ", ".join(shown) + (", ..." if len(values) > most else "")


def align_columns(rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    """Give rows as lines of text whose cells stand below each other.

    Args:
        rows: Of one length, the headings first.
        numbers: Whether all columns but the first are aligned to the right.

    >>> print(align_columns([["label", "cases"], ["liver", "7"]], numbers=True))
    label  cases
    liver      7
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    turns = [str.ljust, *[str.rjust if numbers else str.ljust] * (len(widths) - 1)]
    lines = (
        [turn(cell, width) for turn, cell, width in zip(turns, row, widths, strict=True)] for row in rows
    )
    return "\n".join("  ".join(line).rstrip() for line in lines)
