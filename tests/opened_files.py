"""How often each file is opened: counted while something is done, whoever opens it from Python."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_counted: list[tuple[Path, "Counter[str]"]] = []


@contextmanager
def count_opens(folder: Path) -> Iterator["Counter[str]"]:
    """Count how often each file below a folder is opened, by its path from there."""
    _listen()
    found: Counter[str] = Counter()
    _counted.append((folder, found))
    try:
        yield found
    finally:
        _counted.remove((folder, found))


@cache
def _listen() -> None:
    sys.addaudithook(_hear)


def _hear(event: str, details: tuple[object, ...]) -> None:
    if event == "open" and _counted and isinstance(details[0], (str, bytes, os.PathLike)):
        path = Path(os.fsdecode(details[0]))
        for folder, found in _counted:
            if path.is_relative_to(folder):
                found[str(path.relative_to(folder))] += 1
