"""Imports point down, and frameworks stay in the shell."""

import ast
import functools
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ingradient_pl"
LAYERS = [  # lowest first; folders of one layer do not know each other
    {"messages", "lazy", "optional", "phrases", "short_repr", "plain_values", "pickle_bounds", "unfinished"},
    {"geometry", "spec", "files", "json_files", "machine", "task", "provenance", "working_directory"},
    {"scratch", "untouched"},
    {"kernels", "workers"},
    {"images"},
    {"datasets"},
    {"store"},
    {"draws", "transforms", "networks", "losses", "metrics", "optimizers", "pictures"},
    {"planning"},
    {"loading", "inference"},
    {"nnunet"},
    {"finetuning"},
    {"lightning"},
    {"reports"},
    {"commands"},
    {"cli"},
]
HEIGHT = {unit: height for height, layer in enumerate(LAYERS) for unit in layer}
SHELL = {  # who alone may import a framework
    ("lightning",): {"pytorch_lightning", "lightning_fabric", "lightning"},
    ("commands", "cli"): {"hydra", "omegaconf"},
    ("cli",): {"jsonargparse"},
}
FILES = sorted(set(PACKAGE.glob("**/*.py")) - {PACKAGE / "__init__.py"})


@functools.cache
def imported(file: Path) -> set[str]:
    """All modules that ``file`` imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def unit_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_unit_has_a_place_in_the_layers():
    assert {*map(unit_of, FILES)} <= {*HEIGHT}


def test_no_module_imports_itself_by_a_detour():
    modules = {".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts): file for file in FILES}
    TopologicalSorter({name: imported(file) & modules.keys() for name, file in modules.items()}).prepare()


def test_imports_point_down():
    wrong = []
    for file in FILES:
        unit = unit_of(file)
        ours = {name.split(".")[1] for name in imported(file) if name.startswith("ingradient_pl.")}
        up = sorted(name for name in ours - {unit} if HEIGHT.get(name, -1) >= HEIGHT[unit])
        wrong += [f"{file.relative_to(PACKAGE)} may not import {name}" for name in up]
    assert not wrong


def test_each_framework_stays_in_its_shell():
    wrong = []
    for file in FILES:
        found = {name.split(".")[0] for name in imported(file)}
        for shell, frameworks in SHELL.items():
            taken = set() if unit_of(file) in shell else found & frameworks
            only = f"only {' and '.join(shell)} may import"
            wrong += [f"{file.relative_to(PACKAGE)}: {only} {name}" for name in sorted(taken)]
    assert not wrong


def test_no_room_is_larger_than_a_seventh_of_the_package():
    lines = Counter()
    for file in FILES:
        lines[unit_of(file)] += len(file.read_text(encoding="utf-8").splitlines())
    room, most = lines.most_common(1)[0]
    assert most <= 0.15 * lines.total(), f"{room} has {most} of {lines.total()} lines: divide it"


def test_no_drawer_for_leftovers():
    names = {path.stem for path in PACKAGE.glob("**/*")}
    assert not names & {"utils", "common", "helpers", "base", "misc", "core", "engine"}


TESTS = Path(__file__).parent
OF_TESTS = re.compile(r"^\s*(?:from|import)\s+(?:tests\.)?(test_\w+|conftest)", re.MULTILINE)


def test_no_test_file_imports_another():
    wrong = [
        f"{file.name} imports {name}: move what they share into a module of its own"
        for file in sorted(TESTS.glob("*.py"))
        for name in OF_TESTS.findall(file.read_text(encoding="utf-8"))
    ]
    assert not wrong
