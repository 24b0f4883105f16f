"""The runtime checker of shape annotations: like mypy, it lets an int stand for a float.

Settings may also come as lists, for YAML has no tuples; their constructors make tuples of them at the door.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import AbstractArray, TypeCheckError, config

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

check = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,
        hint_overrides=FrozenDict({hint: hint | list for hint in SETTINGS}),
        violation_type=TypeCheckError,
    )
)
BIND_SHAPES: Any = jaxtyping.jaxtyped
SIZES = BIND_SHAPES("context")


def jaxtyped(unit: Any = None, *, typechecker: Any = check) -> Any:
    """Check a function as ``jaxtyping.jaxtyped`` does, in whose place it stands for a third of the time.

    A function is made ready when it is first called, which most never are. What keeps dimensions in mind
    takes ten times as long as the checks themselves, so it is left to functions whose annotations have some.
    """
    if unit is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    return _when_called(unit) if inspect.isfunction(unit) else BIND_SHAPES(unit, typechecker=typechecker)


def _when_called(function: Any) -> Any:
    if not getattr(function, "__annotations__", None):
        return function
    ready: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if config.jaxtyping_disable:
            return function(*args, **kwargs)
        if not ready:
            ready.append(_make_ready(function))
        return ready[0](*args, **kwargs)

    return checked


def _make_ready(function: Any) -> Callable[..., Any]:
    own = function.__annotations__
    hints = {name: _resolve(hint, function.__globals__) for name, hint in own.items()}
    if inspect.isgeneratorfunction(function) or any("{" in str(hint) for hint in hints.values()):
        bound: Callable[..., Any] = BIND_SHAPES(function, typechecker=check)  # sizes named by arguments
        return bound
    try:
        function.__annotations__ = hints
        checked = check(function)
    finally:
        function.__annotations__ = own
    return _with_own_sizes(checked) if any(map(_has_shape, hints.values())) else checked


def _with_own_sizes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hold what goes in and comes out to the same sizes; jaxtyping itself looks at what goes in twice."""

    def bound(*args: Any, **kwargs: Any) -> Any:
        with SIZES:
            return function(*args, **kwargs)

    return bound


def _resolve(hint: Any, names: Mapping[str, Any]) -> Any:
    """Look up what an annotation names; what is imported for mypy alone may be anything, as in jaxtyping."""

    def holder() -> None:
        pass

    holder.__annotations__ = {"hint": hint}
    try:
        return get_type_hints(holder, dict(names), include_extras=True)["hint"]
    except Exception:  # noqa: BLE001 - as there
        return Any


def _has_shape(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else [*get_args(hint), getattr(hint, "__bound__", None)]
    return any(_has_shape(part) for part in parts if part is not None)


@contextmanager
def unchecked() -> Iterator[None]:
    """Leave the checks out: for the ten-thousandth call of a function whose first was checked."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)
