"""Options that take pairs: ``jobs=2 timeout_min=60`` or a mapping ``{jobs: 2}``, as one mapping in JSON."""

import json
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from ingradient_pl.messages import UsageError
from ingradient_pl.plain_values import PlainValueError, parse_yaml

PAIRS = "pairs KEY=VALUE, or a mapping {KEY: VALUE} of words and whole numbers"
"""What such an option takes."""


def takes_pairs(hint: Any) -> bool:
    """Whether an option of a type takes a mapping.

    Args:
        hint: Of the parameter.

    >>> takes_pairs(dict[str, int] | None), takes_pairs(list[str])
    (True, False)
    """
    return get_origin(hint) is dict or any(get_origin(part) is dict for part in get_args(hint))


def join_pairs(option: str, words: Sequence[str]) -> str:
    """Give the words behind an option as one mapping in JSON; ``null`` stays.

    Args:
        option: As users type it, for the message.
        words: Behind it.

    Raises:
        UsageError: If they are neither pairs nor a mapping of words and whole numbers.

    >>> join_pairs("--cluster_options", ["jobs=2", "slurm_partition=cpu"])
    '{"jobs": 2, "slurm_partition": "cpu"}'
    """
    text = " ".join(words).strip()
    if text in ("null", "None"):
        return "null"
    found = _read_mapping(text) if text.startswith("{") else _read_pairs(text)
    if found is None or not all(_is_entry(key, value) for key, value in found.items()):
        raise UsageError(f"{option} takes {PAIRS}; got {text or 'nothing'}.")
    return json.dumps(found)


def _read_mapping(text: str) -> dict[Any, Any] | None:
    """Give a mapping as it is written, or None where the text is none."""
    try:
        found = parse_yaml(text)
    except PlainValueError:
        return None
    return found if isinstance(found, dict) else None


def _read_pairs(text: str) -> dict[Any, Any] | None:
    """Give a mapping of ``KEY=VALUE KEY=VALUE``, parted by spaces or commas; None where one is no pair."""
    pairs = [word.partition("=") for word in text.replace(",", " ").split()]
    if not pairs or not all(key and value for key, _, value in pairs):
        return None
    return {key: int(value) if value.isdecimal() else value for key, _, value in pairs}


def _is_entry(key: Any, value: Any) -> bool:
    """Whether a key and its value are what jobs are described by."""
    return isinstance(key, str) and isinstance(value, (str, int)) and not isinstance(value, bool)
