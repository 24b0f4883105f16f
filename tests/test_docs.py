"""Every block of code and every command of the documentation runs, in the order of its page."""

import ast
import importlib.util
import json
import re
import shutil
import sys

import pytest
from doc_blocks import DOCS, NOT_RUN, blocks, run_page
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.messages import LOGGER

PAGES = sorted(page for page in DOCS.glob("*.md") if any(kind not in NOT_RUN for kind, _ in blocks(page)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs(monkeypatch, capsys, tmp_path, page):
    def call(words):
        name = words[0].removeprefix("ingradient").removeprefix("-")
        return outcome(monkeypatch, capsys, *([name, *words[1:]] if name else words[1:]))

    shutil.copytree(DOCS / "extend", tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(sys, "path", [*sys.path])
    level = LOGGER.level
    try:
        run_page(page, call)
    finally:
        LOGGER.setLevel(level)  # a page shows how to silence it
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
            del sys.modules[name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_the_notebook_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((DOCS / "phantoms.ipynb").read_text(encoding="utf-8"))
    scope = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)
    assert scope["overlay"].size[0] > 40
    assert len(scope["scores"].cases) == len(scope["done"].written) > 0


def script(name):
    spec = importlib.util.spec_from_file_location(name, DOCS.parent / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = script("docs_pages").PAGES


def test_figures_are_those_of_the_rows():
    module = script("performance_page")
    for page in module.PAGES:
        made = module.make_page(page)
        assert made == page.read_text(encoding="utf-8"), "python scripts/performance_page.py writes it anew"
        assert made.count("\n| ") > 10
    names = re.findall(r"`scripts/benchmark (\w+)`", (DOCS / "performance.md").read_text(encoding="utf-8"))
    assert len(names) == len(module.rows("performance.csv"))
    assert not [name for name in names if not (DOCS.parent / f"scripts/benchmarks/{name}.py").is_file()]


KEYS = re.findall(r"^\| `([\w.@]+)` \| (.*?) \| (.*) \|$", GENERATED["config.md"](), re.MULTILINE)
IN_UNITS = re.compile(
    r"in [\[(]|\b(from|above|below) [-\d]|multiple of|voxels|patches|boxes|\bmm\b|degrees|batches|epochs?"
    r"|steps|processes|validations?|in units of|devices|their number|feature maps|of each (encoder )?stage"
    r"|exponent|convolutions"
    r"|norm of|share of|axes|integer|weight|polynomial"
)


def test_every_config_key_has_a_meaning():
    assert len(KEYS) > 350
    assert not [key for key, _, meaning in KEYS if not meaning or meaning.count("Here:") > 1]
    assert ("seed", "`0`", "makes weights, patches and augmentation; an integer from 0") in KEYS


def test_every_number_in_the_config_has_a_unit_or_a_range():
    numbers = [row for row in KEYS if re.search(r"`[-[\d]", row[1]) and re.search(r"\d", row[1])]
    assert len(numbers) > 150
    assert not [row for row in numbers if not IN_UNITS.search(row[2])]


def test_every_exported_name_is_in_the_reference():
    page = GENERATED["api.md"]()
    for name in ip.__all__:
        assert re.search(rf"^::: [\w.]+\.{name}$", page, re.MULTILINE), name


def anchors(page):
    """Where links can lead within a page: its headings, as the site names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in headings}


def test_links_between_pages_lead_somewhere():
    for page in DOCS.glob("*.md"):
        found = re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8"))
        for target, anchor in found:
            other = DOCS / (target or page.name)
            assert target in GENERATED or other.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(other), f"{page.name}: {target}#{anchor}"


def test_every_page_stands_in_the_navigation():
    listed = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert not [page.name for page in DOCS.glob("*.md") if f" {page.name}\n" not in listed]


def test_every_module_that_is_named_exists():
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", text)
    assert len(named) > 20
    package = DOCS.parent / "ingradient_pl"
    assert not [name for name in named if not (package / name).is_file()]
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in package.glob("**/*.py")}
    assert sum(lines[package / name] for name in set(named)) < sum(lines.values()) / 5, "as the page says"


def test_the_table_of_folders_is_what_there_is_in_the_order_of_the_layers():
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\w+)/`", text.partition("## Structure")[2].partition("Imports point")[0])
    there = {file.parent.name for file in (DOCS.parent / "ingradient_pl").glob("*/__init__.py")}
    assert set(named) == there | {"conf"}
    tree = ast.parse((DOCS.parent / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    layers = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    heights = [next(height for height, layer in enumerate(layers) if name in layer) for name in named[:-1]]
    assert heights == sorted(heights)


def test_every_test_that_is_named_exists():
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "promised.md").read_text(encoding="utf-8")))
    assert len(named) > 20
    assert not [name for name in named if not (DOCS.parent / "tests" / f"{name}.py").is_file()]
