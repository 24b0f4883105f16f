"""What messages advise can be done: options and keys that they name are taken by the command at hand."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from command_lines import KEY, LINE, OPTIONS, named_options

import ingradient_pl
from ingradient_pl.cli.cross_fit import check_overrides
from ingradient_pl.cli.crossval import KEYS as CROSSVAL_KEYS
from ingradient_pl.cli.options import NEEDS, run

ROOT = Path(ingradient_pl.__file__).parent
FOLDS = ("cross_fit", "cross_validation", "crossval*", "fold_sweep", "cascade*", "several_runs")
"""Modules of commands that train several runs, which decide folders and what is resumed by themselves."""


@cache
def messages(file: Path) -> list[str]:
    """Texts of a module that people read: what is no docstring, with ``{}`` where something is put in."""
    return list(_read(file))


def _read(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | docs)
        ):
            yield node.value


@pytest.mark.slow
def test_an_option_behind_a_command_is_one_of_its_own():
    wrong = [
        (file.name, found[0])
        for file in ROOT.rglob("*.py")
        for text in messages(file)
        for found in LINE.finditer(text)
        if found[1] in OPTIONS and not named_options(found[2]) <= OPTIONS[found[1]]
    ]
    assert not wrong


@pytest.mark.parametrize("command", OPTIONS)
def test_an_option_in_a_message_of_a_command_is_one_of_its_own(command):
    for text in messages(ROOT / "commands" / f"{command.replace('-', '_')}.py"):
        assert named_options(LINE.sub("", text)) <= OPTIONS[command] | {"cluster_options"}, text


def test_every_option_that_is_named_anywhere_is_one_of_some_command():
    known = {"help", "ckpt_path", "trainer", "completion", "plan", "data"}.union(*OPTIONS.values())
    known |= {"me"}  # of squeue
    for file in ROOT.rglob("*.py"):
        for text in messages(file):
            if " " in text and "LightningCLI" not in text and "usage:" not in text:
                assert named_options(text) <= known, (
                    file.name,
                    text,
                )


def test_commands_of_several_runs_advise_keys_that_they_take():
    files = {file for pattern in FOLDS for file in (ROOT / "cli").glob(f"{pattern}.py")}
    for file in files:
        for text in messages(file):
            if text.count(" ") < 3 or "\n" in text:  # a line that is handed to Hydra, or help
                continue
            for key in {key for key in KEY.findall(text) if key not in CROSSVAL_KEYS}:
                check_overrides([f"{key}=1"])


@pytest.mark.parametrize(
    ("command", "option", "other"),
    [(command, *pair) for command, pairs in NEEDS.items() for pair in pairs.items()],
)
def test_an_option_that_does_nothing_alone_is_refused(command, option, other, capsys):
    name = command.replace("-", "_")
    function = getattr(importlib.import_module(f"ingradient_pl.commands.{name}"), name)
    with pytest.raises(SystemExit) as ended:
        run(function, [command, f"--{option}", "1"])
    assert ended.value.code == 2
    assert f"--{option} does nothing without --{other}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["predict", "evaluate", "calibrate", "plan"])
def test_an_empty_list_of_paths_is_refused_in_words(command, capsys, tmp_path):
    function = getattr(importlib.import_module(f"ingradient_pl.commands.{command}"), command)
    told = {"predict": "source", "evaluate": "labels", "calibrate": "checkpoint", "plan": "store"}[command]
    needed = [
        name for name, one in inspect.signature(function).parameters.items() if one.default is one.empty
    ]
    line = [part for name in needed for part in (f"--{name}", "[]" if name == told else str(tmp_path))]
    with pytest.raises(SystemExit) as ended:
        run(function, [command, *line])
    assert ended.value.code in (1, 2)
    assert "empty" in capsys.readouterr().err
