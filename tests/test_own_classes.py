"""Classes of a user's folder: found by the commands started there, refused plainly where they are not."""

import subprocess
import sys

import pytest
from runs import outcome

import ingradient_pl as ip

RULE = """
from dataclasses import dataclass

from ingradient_pl.planning import FixedSpacing, SpacingRule


@dataclass(frozen=True)
class Three(SpacingRule):
    threshold: float = 3.0

    def target(self, grids):
        return FixedSpacing((self.threshold,) * 3).target(grids)


class NotOne:
    pass


def volume(prediction, reference, spacing):
    return {"volume": float(prediction.sum())}
"""
SCRIPT = "from ingradient_pl.cli.main import main\nmain()\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a module of somebody's, in which commands are started."""
    name = f"rules_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(RULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


@pytest.mark.slow
def test_a_console_script_finds_a_class_in_the_working_directory(folder, tmp_path, phantom_store):
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "ingradient"
    script.write_text(SCRIPT)  # its own folder, not the working directory, is on Python's path
    line = ["plan", "--store", phantom_store, "--output", "plan.yaml", "--planner", f"{folder}.Three"]
    subprocess.run([sys.executable, script, *line], check=True, cwd=tmp_path, capture_output=True)
    assert ip.read_plan(tmp_path / "plan.yaml").spacing == (3.0, 3.0, 3.0)


def test_numbers_reach_a_rule_and_a_rule_may_be_an_object(monkeypatch, capsys, folder, phantom_store):
    line = ["--store", phantom_store, "--planner", f"{folder}.Three", "--threshold", "2"]
    assert outcome(monkeypatch, capsys, "plan", *line)[0] == 0
    assert ip.read_plan("plan.yaml").spacing == (2.0, 2.0, 2.0)
    assert ip.plan(phantom_store, planner=sys.modules[folder].Three(1.5)).spacing == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(
    ("planner", "said"),
    [
        ("best", "write package and class"),
        ("no_such_package.Rule", "folder that holds no_such_package.py"),
        ("{}.Two", "has no attribute 'Two'"),
        ("{}.NotOne", "no method target"),
        ("{}.volume", "no method target"),
    ],
)
def test_a_rule_that_is_none_is_refused(monkeypatch, capsys, folder, phantom_store, planner, said):
    line = ["--store", phantom_store, "--planner", planner.format(folder)]
    code, _, err = outcome(monkeypatch, capsys, "plan", *line)
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_measure_of_ones_own_is_scored_and_shown(monkeypatch, capsys, folder, raw_phantoms):
    labels = raw_phantoms / "labelsTr"
    line = ["--predictions", labels, "--labels", labels, "--measures", f"[{folder}.volume]"]
    code, out, _ = outcome(monkeypatch, capsys, "evaluate", *line)
    assert code == 0
    assert "volume\n" in out
    scores = ip.evaluate(labels, labels, measures=[sys.modules[folder].volume])
    assert scores.cases[0].scores[1]["volume"] > 0
    assert outcome(monkeypatch, capsys, "evaluate", *line[:-1], "[nobody.measure]")[0] == 2
