"""Plain values (numbers, text, lists, mappings) out of YAML and JSON files, within bounds; nothing runs.

A file of two kilobytes can unfold to terabytes by what it shares, and one of a hundred to a nesting that no
program survives. Size, nesting and the unfolded number of entries are looked at before anything is made.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

LARGEST_YAML = 4 * 2**20
"""Bytes; a plan has two thousand."""

LARGEST_JSON = 64 * 2**20
"""Bytes: lists of a hundred thousand cases fill some twenty million."""

DEEPEST = 64
"""Levels of lists and mappings inside each other."""

MOST_ENTRIES = 200_000
"""Of a YAML file or a description inside a checkpoint, all that is shared counted as often as it is named."""

LONGEST_NUMBER = 300
"""Digits of a whole number; of a longer one no floating point number can be made."""

LARGEST_NUMBER = 10**LONGEST_NUMBER
TOO_LARGE = f"it holds a whole number of more than {LONGEST_NUMBER} digits"

REFERENCE = re.compile(
    r"\$\{(\.*[\w.]+|hydra:[\w.]+|now:[^${}]*|oc\.select:[\w.]+,(null|true|false|[\d.]+))\}"
)
"""What a config may say of its other entries, and of the run's folder and time; OmegaConf can do far more."""

SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainValueError(ValueError):
    """A file that is damaged, out of bounds, or holds more than plain values; the message is a reason."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file of plain values.

    Args:
        path: The file; a pipe or a folder is refused.

    Raises:
        PlainValueError: If it is not YAML, holds anything but plain values, names a key twice or is out of
            bounds; the message gives the reason, and the caller the file.
        OSError: If it cannot be read.
    """
    return parse_yaml(read_text(path, LARGEST_YAML))


def parse_yaml(text: str) -> Any:
    """Parse YAML of plain values; see :func:`read_yaml`.

    Args:
        text: YAML; merged mappings and a key that stands twice are refused.
    """
    try:
        _check_nesting(text)
        value = yaml.load(text, _Loader)  # a loader derived from the safe one
    except PlainValueError:
        raise
    except yaml.YAMLError as error:
        raise PlainValueError(" ".join(str(error).split())) from error
    except (ValueError, RecursionError, TypeError) as error:  # 2001-99-99, a list as a key
        raise PlainValueError(f"{type(error).__name__}: {error}") from error
    check_plain(value)
    return value


def read_json(path: Path, encoding: str = "utf-8") -> Any:
    """Read a JSON file.

    Args:
        path: The file; a pipe or a folder is refused.
        encoding: Of its text; ``utf-8-sig`` takes a byte order mark as well.

    Raises:
        PlainValueError: If it is not JSON, names a key twice or is out of bounds; the message gives the
            reason.
        OSError: If it cannot be read.
    """
    return parse_json(read_text(path, LARGEST_JSON, encoding))


def parse_json(text: str) -> Any:
    """Parse JSON; see :func:`read_json`.

    Args:
        text: One JSON value.
    """
    try:
        value = json.loads(text, object_pairs_hook=_named_once, parse_int=_parse_whole)
    except PlainValueError:
        raise
    except RecursionError as error:
        raise PlainValueError(f"it nests lists and mappings more than {DEEPEST} deep") from error
    except json.JSONDecodeError as error:
        raise PlainValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    _check_depth(value)
    return value


def check_plain(value: Any) -> None:
    """Refuse what is not made of plain values, or unfolds to more than a bound; nothing is unfolded for it.

    Args:
        value: Of a file that somebody else may have written.

    Raises:
        PlainValueError: If it is so; the message gives the reason.
    """
    entries, _ = _measure(value, {}, 0)
    if entries > MOST_ENTRIES:
        raise PlainValueError(
            f"it unfolds to {entries:.3g} entries by naming the same parts again; {MOST_ENTRIES} are taken"
        )


def entries(plain: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value that is not a container, with its dotted name.

    Args:
        plain: Nested mappings and lists; both may be empty, which gives nothing.
        name: What the dotted names begin with.
    """
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            yield from entries(value, f"{name}.{key}".lstrip("."))
    elif isinstance(plain, list):
        for i, value in enumerate(plain):
            yield from entries(value, f"{name}.{i}")
    else:
        yield name, plain


def is_worked_out(text: str) -> bool:
    """Whether OmegaConf would do more with a text than look up another entry.

    Args:
        text: A value of a config, before it is resolved.

    >>> is_worked_out("${plan.patch}"), is_worked_out("${oc.env:HOME}"), is_worked_out("${${a}:b}")
    (False, True, True)
    """
    return "${" in REFERENCE.sub("", text)


def _measure(value: Any, known: dict[int, tuple[int, int] | None], depth: int) -> tuple[int, int]:
    """Count entries and levels of a value, each shared part once; ``known`` holds None for what is begun."""
    if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        raise PlainValueError(TOO_LARGE)
    if value is None or isinstance(value, (bool, int, float, str)):
        return 1, 0
    if not isinstance(value, (Mapping, list, tuple)):
        raise PlainValueError(
            f"it holds a {type(value).__name__} ({str(value)[:60]}), which is not a plain value"
        )
    if depth > DEEPEST:
        raise PlainValueError(f"it nests lists and mappings more than {DEEPEST} deep")
    if id(value) not in known:
        known[id(value)] = None
        parts = list(value.values()) if isinstance(value, Mapping) else list(value)
        _check_keys(value)
        found = [_measure(part, known, depth + 1) for part in parts]
        known[id(value)] = (
            1 + sum(count for count, _ in found),
            1 + max((level for _, level in found), default=0),
        )
    measured = known[id(value)]
    if measured is None:
        raise PlainValueError(f"a {type(value).__name__} in it contains itself")
    if depth + measured[1] > DEEPEST + 1:
        raise PlainValueError(f"it nests lists and mappings more than {DEEPEST} deep")
    return measured


def _check_keys(value: Any) -> None:
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, (str, int, float, bool))]
        if odd:
            raise PlainValueError(f"it has a key that is not text: {str(odd[0])[:60]}")


def _check_nesting(text: str) -> None:
    """Look at YAML's nesting event by event, before a parser goes down into it."""
    depth = 0
    for event in yaml.parse(text, SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise PlainValueError(f"it nests lists and mappings more than {DEEPEST} deep")


def _parse_whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise PlainValueError(TOO_LARGE)
    return int(digits)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a mapping of JSON's pairs; of a key that stands twice nobody knows which value is meant."""
    made = dict(pairs)
    if len(made) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise PlainValueError(f"it names '{name[:60]}' a second time")
    return made


def _check_depth(value: Any) -> None:
    """Refuse what nests too deep, level by level: JSON shares nothing."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(DEEPEST + 1):
        if not level:
            return
        parts = (one for held in level for one in (held.values() if isinstance(held, dict) else held))
        level = [one for one in parts if isinstance(one, (dict, list))]
    raise PlainValueError(f"it nests lists and mappings more than {DEEPEST} deep")


class _Loader(SafeLoader):  # type: ignore[misc]
    """Safe, and it neither merges mappings (which unfolds) nor lets a key stand twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise PlainValueError(
                    f"line {key.start_mark.line + 1} merges mappings by '<<': write the keys out"
                )
            name = (key.tag, str(key.value))
            if name in seen:
                raise PlainValueError(f"line {key.start_mark.line + 1} names '{key.value}' a second time")
            seen.add(name)
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


def _construct_map(loader: Any, node: Any) -> Any:
    made: dict[Any, Any] = {}
    yield made
    made.update(loader.construct_mapping(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


def read_text(path: Path, largest: int, encoding: str = "utf-8") -> str:
    """Read a file of text, within bounds.

    Args:
        path: The file; a pipe or a folder is refused.
        largest: Bytes that it may have.
        encoding: Of its text.

    Raises:
        PlainValueError: If it has more bytes or is not text; the message gives the reason.
        OSError: If it cannot be read.
    """
    try:
        return read_content(path, largest).decode(encoding)
    except UnicodeDecodeError as error:
        raise PlainValueError(f"it is not text in {encoding} ({error})") from error


def read_content(path: Path, largest: int) -> bytes:
    """Read a whole file, within bounds.

    Args:
        path: The file; a pipe or a folder is refused.
        largest: Bytes that it may have.

    Raises:
        PlainValueError: If it has more bytes, or is no file; the message gives the reason.
        OSError: If it cannot be read.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise PlainValueError(f"'{path.name}' is a folder, a pipe or a device and no file")
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise PlainValueError(f"it has more than {largest} bytes, {math.ceil(largest / 2**20)} MiB")
    return content
