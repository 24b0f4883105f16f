"""What the package's style comes to in numbers, read from its syntax: sizes, names, docstrings, messages."""

import ast
import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "ingradient_pl"
IRREGULAR = frozenset(
    """
    bent born bought bound broken brought built caught chosen done drawn fed felt flown forgotten frozen
    given gone grown heard held hidden hung kept known laid led left lent lost made meant met paid proven
    risen said seen sent shaken shown sold sought spent stood struck stuck sunk swept taken taught thought
    told woken won worn written
    """.split()  # noqa: SIM905
)
VERBS = frozenset(("seed", "need", "speed", "embed", "exceed", "feed", "proceed", "read"))
ARRAY = re.compile(r"\b(Tensor|ndarray|NDArray)\b")
WITH_SHAPE = re.compile(r"\w+\[(torch\.)?(Tensor|np\.ndarray), '[^']*'\]")
SHAPE_SAID = re.compile(
    r"\([\w.*, ]*\b(z|y|x|n|channels?|batch|class(es)?|wanted|rows?|voxels)\b[\w.*, ()+]*\)"
    r"|[Ss]hape|\b[1-5]D\b|\b\d ?x ?\d\b|[Oo]ne (number|entry)|[Ss]calar"
)


class Function(NamedTuple):
    """A function of the package: its node, its class or None, its module, whether another one holds it."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    owner: ast.ClassDef | None
    module: str
    nested: bool

    def __str__(self) -> str:
        owner = "" if self.owner is None else f"{self.owner.name}."
        return f"{self.module}: {owner}{self.node.name}"

    @property
    def doc(self) -> str:
        """Its docstring; a constructor's stands in its class."""
        own = ast.get_docstring(self.node) or ""
        constructs = self.node.name == "__init__" and self.owner is not None
        return own + "\n" + (ast.get_docstring(self.owner) or "") if constructs else own

    @property
    def decorators(self) -> list[str]:
        return [ast.unparse(one) for one in self.node.decorator_list]

    @property
    def overrides(self) -> bool:
        """Whether its name and what it does are another function's."""
        return any(one.endswith(("override", "overload")) for one in self.decorators)

    @property
    def is_public(self) -> bool:
        """Whether others call it; what overrides is documented where it is first written."""
        hidden = self.node.name.startswith("_") and self.node.name != "__init__"
        inside = self.nested or (self.owner is not None and self.owner.name.startswith("_"))
        return not (hidden or inside or self.overrides)

    @property
    def parameters(self) -> list[str]:
        """What a caller gives."""
        a = self.node.args
        names = [one.arg for one in (*a.posonlyargs, *a.args)]
        if self.owner is not None and "staticmethod" not in self.decorators:
            names = names[1:]
        names += [one.arg for one in (*a.kwonlyargs, a.vararg, a.kwarg) if one is not None]
        return [name for name in names if not name.startswith("_")]

    @property
    def without_line(self) -> list[str]:
        """Parameters that have no line under ``Args:``."""
        lines = self.doc.partition("Args:\n")[2]
        described = set(re.findall(r"^ +\*{0,2}(\w+): *\S", lines, re.MULTILINE))
        return [name for name in self.parameters if name not in described]

    @property
    def lines(self) -> int:
        """Lines from ``def`` to the end, but for the docstring."""
        first, whole = self.node.body[0], _length(self.node)
        return whole - (_length(first) if ast.get_docstring(self.node) else 0)

    @property
    def hints(self) -> list[str]:
        """The types of what goes in and comes out."""
        a = self.node.args
        found = [one.annotation for one in (*a.posonlyargs, *a.args, *a.kwonlyargs)] + [self.node.returns]
        return [ast.unparse(hint) for hint in found if hint is not None]

    @property
    def passes_arrays(self) -> bool:
        return any(ARRAY.search(hint) for hint in self.hints)

    @property
    def gives_shapes(self) -> bool:
        """Whether every array has its shape in its type, or the docstring tells of shapes."""
        bare = any(ARRAY.search(WITH_SHAPE.sub("", hint)) for hint in self.hints)
        return not bare or SHAPE_SAID.search(self.doc) is not None

    @property
    def is_bare_participle(self) -> bool:
        word = self.node.name.strip("_")
        return (
            not self.overrides
            and "_" not in word
            and word not in VERBS
            and (word.endswith("ed") or word in IRREGULAR)
        )


class Raise(NamedTuple):
    """An error that is raised with a message: where, what, and whether it shows a value."""

    place: str
    text: str
    shows_value: bool


@functools.cache
def trees() -> dict[str, ast.Module]:
    """All modules of the package, by their path below it."""
    return {
        file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
        for file in sorted(PACKAGE.glob("**/*.py"))
    }


def functions(modules: dict[str, ast.Module]) -> Iterator[Function]:
    """All functions, with what they stand in."""

    def walk(node: ast.AST, owner: ast.ClassDef | None, module: str, nested: bool) -> Iterator[Function]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield Function(child, owner, module, nested)
                yield from walk(child, None, module, True)
            else:
                yield from walk(child, child if isinstance(child, ast.ClassDef) else owner, module, nested)

    for name, tree in modules.items():
        yield from walk(tree, None, name, False)


def raises(modules: dict[str, ast.Module]) -> Iterator[Raise]:
    """All errors that are raised with a message."""
    for name, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                parts = [part for argument in node.exc.args for part in ast.walk(argument)]
                shows = any(isinstance(part, ast.FormattedValue | ast.Name | ast.Call) for part in parts)
                yield Raise(f"{name}:{node.lineno}", ast.unparse(node.exc), shows)


def quantile(values: Sequence[int], share: float) -> int:
    """The value that ``share`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _length(node: ast.AST) -> int:
    return node.end_lineno - node.lineno + 1
