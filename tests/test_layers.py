"""Imports point down, and frameworks stay in the shell."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ingradient_pl"
LAYERS = [  # lowest first; rooms of one layer do not know each other
    {"geometry", "spec", "files", "task"},
    {"images"},
    {"datasets"},
    {"store"},
    {"draws", "transforms", "networks", "losses", "metrics", "optimizers", "pictures"},
    {"planning"},
    {"loading", "inference"},
    {"nnunet"},
    {"lightning", "pytorch_lightning"},
    {"cli", "hydra", "omegaconf", "jsonargparse"},
]
HEIGHT = {unit: height for height, layer in enumerate(LAYERS) for unit in layer}
FRAMEWORKS = {"pytorch_lightning", "hydra", "omegaconf", "jsonargparse"}
FILES = sorted(set(PACKAGE.glob("**/*.py")) - {PACKAGE / "__init__.py"})


def imported(file: Path) -> set[str]:
    """Units of ours, and frameworks, that ``file`` imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add(node.module or "")
            if node.module == "ingradient_pl":
                names |= {f"ingradient_pl.{alias.name}" for alias in node.names}
    return {name.removeprefix("ingradient_pl.").split(".")[0] for name in names} & set(HEIGHT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file):
    unit = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert unit in HEIGHT, f"'{unit}' has no place in the layers"
    wrong = {
        name
        for name in imported(file) - {unit}
        if HEIGHT[name] > HEIGHT[unit] or (HEIGHT[name] == HEIGHT[unit] and name not in FRAMEWORKS)
    }
    assert not wrong, f"{unit} may not import {sorted(wrong)}"


def test_no_drawer_for_leftovers():
    names = {path.stem for path in PACKAGE.glob("**/*")}
    assert not names & {"utils", "common", "helpers", "base", "misc", "core", "engine"}
