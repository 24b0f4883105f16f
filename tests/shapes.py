"""The runtime checker of shape annotations: like mypy, it lets an int stand for a float.

Settings may also come as lists, for YAML has no tuples; their constructors make tuples of them at the door.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import config

SETTINGS = [
    tuple[str, ...],
    tuple[int, ...],
    tuple[float, ...],
    tuple[bool, ...],
    tuple[float, float],
    tuple[int, int, int],
    tuple[bool, bool, bool],
    tuple[float, float, float],
    tuple[tuple[int, int, int], ...],
    tuple[float | None, float | None, float | None],
]

_check = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True, hint_overrides=FrozenDict({hint: hint | list for hint in SETTINGS})
    )
)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check what goes in and comes out of a function, made ready when it is first called: most never are."""
    ready: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not ready:
            ready.append(_check(function))
        return ready[0](*args, **kwargs)

    return checked


@contextmanager
def unchecked() -> Iterator[None]:
    """Leave the checks out: for the ten-thousandth call of a function whose first was checked."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
