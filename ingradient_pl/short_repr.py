"""Representations that fit on a line: types and shapes of arrays and counts of long lists."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 160
FEW = 3


def short_repr(record: Any) -> str:
    """Represent a named tuple or a dataclass by its fields, below 200 characters.

    Args:
        record: An instance of either.

    >>> from typing import NamedTuple
    >>> class Pair(NamedTuple):
    ...     numbers: list[int]
    ...     name: str
    ...     def __repr__(self) -> str:
    ...         return short_repr(self)
    >>> Pair(list(range(100)), "both")
    Pair(numbers=100 × int, name='both')
    """
    return describe(record, {name: getattr(record, name) for name in _fields(record)})


def describe(subject: Any, entries: Mapping[str, Any]) -> str:
    """Give ``Class(name=value, ...)``; what does not fit into the line is left out, and said to be.

    Args:
        subject: Whose class is named.
        entries: Values by name.
    """
    shown, length = [], 0
    for name, value in entries.items():
        text = f"{name}={short_text(value)}"
        length += len(text) + 2
        if length > MOST:
            shown.append("...")
            break
        shown.append(text)
    return f"{type(subject).__name__}({', '.join(shown)})"


def short_text(value: Any) -> str:
    """Describe a value in a few words.

    Args:
        value: An array or tensor is described by type and shape, a long container by its length.

    >>> import numpy as np
    >>> short_text(np.zeros((1, 20, 30), np.int16)), short_text(("a", "b")), short_text({"organ": 1})
    ('int16 (1, 20, 30)', "('a', 'b')", "{'organ': 1}")
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, str) or not isinstance(value, (Mapping, Sequence, frozenset, set)):
        return _clip(repr(value))
    if hasattr(value, "_fields"):
        return _clip(repr(value))
    if len(value) <= FEW:
        text = repr(value)
        if len(text) <= MOST // 3:
            return text
    kinds = {type(entry).__name__ for entry in _entries(value)}
    return f"{len(value)} × {kinds.pop() if len(kinds) == 1 else 'entries'}"


def _fields(record: Any) -> Sequence[str]:
    if dataclasses.is_dataclass(record):
        return [field.name for field in dataclasses.fields(record) if field.repr]
    names: Sequence[str] = record._fields
    return names


def _entries(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST // 2 else f"{text[: MOST // 2 - 3]}..."
