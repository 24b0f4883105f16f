"""Classes of a user's folder: found by the commands started there, refused plainly where they are not."""

import pickle
import subprocess
import sys
from importlib import metadata

import pytest
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.commands.dotted_name import import_name
from ingradient_pl.lightning.targets import locate
from ingradient_pl.working_directory import (
    InWorkingDirectory,
    WorkingDirectory,
    find_joined,
    join_working_directory,
)

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
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if type(one) is not WorkingDirectory])
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


def test_another_process_finds_what_the_one_that_sent_its_work_finds(folder, tmp_path, monkeypatch):
    join_working_directory()
    sent = pickle.dumps(InWorkingDirectory(import_name))
    here = [one for one in sys.meta_path if type(one) is not WorkingDirectory]
    monkeypatch.setattr(sys, "meta_path", here)
    monkeypatch.chdir("/")
    assert find_joined() is None
    arrived = pickle.loads(sent)
    assert find_joined() == str(tmp_path)
    assert arrived(f"{folder}.Three", "a rule").__name__ == "Three"


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


@pytest.mark.parametrize(
    "asking",
    [
        *("hydra.core.plugins", "torch._dynamo.backends", "pytorch_lightning.loggers", "pickle", "__main__"),
        *("ingradient_pl.optional", "ingradient_pl.images.nifti", "importlib_metadata", "hydra_plugins.x"),
    ],
)
@pytest.mark.parametrize("words", ["import {}", "import importlib; importlib.import_module('{}')"])
def test_a_package_that_a_library_would_like_is_not_taken_from_the_working_directory(folder, asking, words):
    join_working_directory()
    with pytest.raises(ModuleNotFoundError):
        exec(words.format(folder), {"__name__": asking})
    assert locate(f"{folder}.Three").__name__ == import_name(f"{folder}.Three", "a rule").__name__ == "Three"


def test_modules_of_the_working_directory_find_each_other_and_bring_no_entry_points(folder, tmp_path):
    (tmp_path / "evil.dist-info").mkdir()
    (tmp_path / "evil.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (tmp_path / "evil.dist-info" / "entry_points.txt").write_text(
        f"[torch.backends]\nevil = {folder}:Three\n"
    )
    package = tmp_path / f"{folder}_package"
    package.mkdir()
    (package / "__init__.py").write_text(f"from {folder} import Three\nfrom .inner import Four\n")
    (package / "inner.py").write_text(f"import {folder}\nclass Four({folder}.Three): ...\n")
    join_working_directory()
    join_working_directory()
    assert sum(isinstance(one, WorkingDirectory) for one in sys.meta_path) == 1
    assert locate(f"{package.name}.Four").__mro__[1].__name__ == "Three"
    assert "evil" not in {one.metadata["Name"] for one in metadata.distributions()}
