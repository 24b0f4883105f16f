"""Signatures of commands read from their source: help does not import what a command computes with."""

import ast
import builtins
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS = "ingradient_pl"


def read_signature(module: str, name: str) -> Callable[..., Any]:
    """Give a function that takes what another one takes and says what it says, and does nothing.

    Names in its annotations and defaults are followed through the source of our modules. What Python brings
    stands for itself; what else there is are classes and modules whose objects no command line can say.

    Args:
        module: Where the function is defined.
        name: Its name there.

    Raises:
        LookupError: If source or a name cannot be found without an import.
    """
    found = _open(module)
    function = found.bound[name]
    if not isinstance(function, ast.FunctionDef):
        raise LookupError(f"{module}.{name} is not a function")  # noqa: TRY004 (of a file)

    def stand_in(**options: Any) -> None: ...

    stand_in.__name__ = stand_in.__qualname__ = name
    stand_in.__module__ = "builtins"  # elsewhere jsonargparse would look it up in all packages above
    stand_in.__doc__ = ast.get_docstring(function, clean=False)
    stand_in.__signature__ = inspect.Signature([*_parameters(function.args, found)])  # type: ignore[attr-defined]
    return stand_in


def _parameters(given: ast.arguments, names: "_Names") -> Iterator[inspect.Parameter]:
    placed = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(placed) - len(given.defaults)), *given.defaults]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    for kind, arguments, values in (
        (kinds[0], placed, defaults),
        (kinds[1], given.kwonlyargs, given.kw_defaults),
    ):
        for argument, default in zip(arguments, values, strict=True):
            yield inspect.Parameter(
                argument.arg,
                kind,
                default=inspect.Parameter.empty if default is None else names.evaluate(default),
                annotation=names.evaluate(argument.annotation)
                if argument.annotation
                else inspect.Parameter.empty,
            )


class _Unsaid(type):
    """A class or module that stands for one that is not imported."""

    def __getattr__(cls, name: str) -> "_Unsaid":
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, item: Any) -> "_Unsaid":
        return cls


class _Names(Mapping[str, Any]):
    """What names at the top of a module stand for, worked out from its source where one is asked for."""

    def __init__(self, module: str) -> None:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise LookupError(f"{module} has no source")
        self.module, self.bound = (
            module,
            dict(_bindings(ast.parse(Path(spec.origin).read_text("utf-8")).body)),
        )

    def evaluate(self, expression: ast.expr) -> Any:
        return eval(compile(ast.Expression(expression), self.module, "eval"), {}, self)  # our own source

    def __getitem__(self, name: str) -> Any:
        node = self.bound.get(name)
        if isinstance(node, ast.expr):
            return self.evaluate(node)
        if isinstance(node, tuple):
            return _import(*node)
        if node is None and hasattr(builtins, name):
            return getattr(builtins, name)
        if isinstance(node, ast.ClassDef):
            return _Unsaid(name, (), {})
        raise LookupError(f"'{name}' in {self.module}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.bound)

    def __len__(self) -> int:
        return len(self.bound)


_open = cache(_Names)


def _import(module: str, name: str | None) -> Any:
    """Give what a line of imports binds: a name of a module, or a module where there is none."""
    top = module.partition(".")[0]
    if top == OURS and name is not None:
        return _open(module)[name]
    if top not in sys.stdlib_module_names:
        return _Unsaid(name or module, (), {})
    imported = importlib.import_module(module)
    return imported if name is None else getattr(imported, name)


def _bindings(body: list[ast.stmt]) -> Iterator[tuple[str, Any]]:
    """Give each name at the top of a module with its expression, its definition, or where it is from."""
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield from ((one.asname or one.name, (str(node.module), one.name)) for one in node.names)
        elif isinstance(node, ast.Import):
            yield from ((one.asname or one.name, (one.name, None)) for one in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value
        elif isinstance(node, ast.If):  # of a type checker
            yield from _bindings(node.body)
