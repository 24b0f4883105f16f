"""Intervals are over patients: as wide as they must be, whatever tells who is whose."""

import json
import math

import numpy as np
import pytest
import SimpleITK
from runs import outcome

from ingradient_pl.datasets.groups import GroupError
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.metrics.evaluation import CaseScores, Evaluation, evaluate
from ingradient_pl.metrics.evaluation_interval import Bootstrap, interval
from ingradient_pl.metrics.evaluation_report import summary
from ingradient_pl.metrics.patients import unite_groups
from ingradient_pl.store.build import build_store
from ingradient_pl.store.label_maps import find_labels
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})


def covered(groups_of_cases, patients=20, scans=5, trials=300):
    """How often a 95 % interval holds the true mean of patients with scans that are alike."""
    held = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        values = 0.8 + rng.normal(0, 0.1, (patients, 1)) + rng.normal(0, 0.02, (patients, scans))
        bootstrap = Bootstrap.of(patients * scans, rng, 400, groups_of_cases)
        low, high = interval(bootstrap.means(values.reshape(-1, 1))[:, 0])
        held += low <= 0.8 <= high
    return held / trials


@pytest.mark.slow
def test_intervals_over_patients_cover_what_they_promise_and_over_cases_do_not():
    assert covered(None) < 0.75
    assert 0.87 < covered(np.repeat(np.arange(20), 5).tolist()) < 0.98


def test_where_each_case_is_a_patient_nothing_changes():
    values = np.random.default_rng(1).random((30, 2))
    plain, named = (
        Bootstrap.of(30, np.random.default_rng(0), groups=groups).means(values)
        for groups in (None, [f"case{29 - at}" for at in range(30)])
    )
    assert (plain == named).all()
    drawn = np.random.default_rng(0).integers(30, size=(2000, 30))  # cases one by one, as without patients
    np.testing.assert_allclose(plain, values[drawn].mean(axis=1))


def test_a_patient_comes_with_all_cases_and_weighs_by_them():
    values = np.array([[1.0], [1.0], [1.0], [0.0]])
    means = Bootstrap.of(4, np.random.default_rng(0), groups=["a", "a", "a", "b"]).means(values)[:, 0]
    assert set(means.tolist()) == {0.0, 0.75, 1.0}
    alone = Bootstrap.of(4, np.random.default_rng(0), groups=["a"] * 4).means(values)
    assert np.isnan(alone).all()


def test_the_summary_tells_its_patients_beside_nnunets_keys(tmp_path):
    cases = [
        CaseScores(name, tmp_path / f"{name}.nii", tmp_path / "x", {1: {"Dice": dice}})
        for name, dice in (("a1", 0.5), ("a2", 0.6), ("b", 0.9))
    ]
    groups = {"a1": "a", "a2": "a"}
    written = summary(Evaluation({1: "organ"}, cases, [], groups), np.random.default_rng(0))
    assert {*written} == {"foreground_mean", "labels", "mean", "metric_per_case", "spread"}
    assert written["labels"] == {"1": "organ"}
    assert written["spread"]["groups"] == {"a1": "a", "a2": "a", "b": "b"}
    assert written["spread"]["patients"] == 2
    assert written["mean"]["1"]["Dice"] == pytest.approx(2 / 3)  # over cases, as nnU-Net's
    dice = written["spread"]["mean"]["1"]["Dice"]
    assert (dice["low"], dice["high"]) == (pytest.approx(0.55), 0.9)
    alone = summary(Evaluation({1: "organ"}, cases[:2], [], groups), np.random.default_rng(0))
    assert math.isnan(alone["spread"]["mean"]["1"]["Dice"]["low"])


def test_cases_are_together_that_any_grouping_has_together():
    rng = np.random.default_rng(0)
    names = [f"case{at}" for at in range(40)]
    one, other = ({name: str(rng.integers(25)) for name in names[:35]} for _ in range(2))
    united = unite_groups([one, other], names)
    for grouping in (one, other):
        for a in grouping:
            for b in grouping:
                assert grouping[a] != grouping[b] or united[a] == united[b]
    swapped = unite_groups([other, one], names)
    assert len(set(united.values())) == len(set(swapped.values())) < 25 + 5
    assert unite_groups([one], names) == {name: one.get(name, name) for name in names}


@pytest.fixture
def labelled(tmp_path):
    """Four phantoms under names that tell nothing, in a table and a store that know their two patients."""
    raw = write_phantoms(tmp_path / "raw", 4, (10, 12, 14))
    rows = ["case,image_0,label,group"]
    for at, case in enumerate(read_source(raw).cases):
        rows.append(f"{case.name},{case.images[0]},{case.label},{'anna' if at < 3 else 'bert'}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    build_store(read_source(tmp_path / "table.csv"), tmp_path / "store", progress=False)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "more", "patients"),
    [
        ("raw/labelsTr", [], 4),
        ("raw", [], 4),
        ("table.csv", [], 2),
        ("store", [], 2),
        ("raw/labelsTr", ["--dataset", "store"], 2),
        ("store", ["--group_pattern", "^(.+)$"], 4),
        ("raw/labelsTr", ["--group_pattern", "^phantom_00([01])"], 4),
        ("raw/labelsTr", ["--group_pattern", "^phantom_(00)[012]"], 2),
    ],
)
def test_patients_are_those_that_the_labels_tell_else_their_names(
    monkeypatch, capsys, labelled, labels, more, patients
):
    monkeypatch.chdir(labelled)
    arguments = ["--predictions", "raw/labelsTr", "--labels", labels, *more, "--output", "s.json"]
    code, said, err = outcome(monkeypatch, capsys, "evaluate", *arguments)
    assert code == 0, err
    assert f"95 % intervals over {patients} patients (4 cases" in said
    assert json.loads((labelled / "s.json").read_text())["spread"]["patients"] == patients
    code, said, err = outcome(monkeypatch, capsys, "compare", "--first", "s.json", "--second", "s.json")
    assert code == 0, err
    assert f"95 % intervals over {patients} patients (4 cases" in said


def test_a_pattern_that_is_none_is_refused_by_both_commands(monkeypatch, capsys, labelled):
    monkeypatch.chdir(labelled)
    arguments = ["--predictions", "raw/labelsTr", "--labels", "raw/labelsTr", "--output", "s.json"]
    assert outcome(monkeypatch, capsys, "evaluate", *arguments)[0] == 0
    for command in (["evaluate", *arguments], ["compare", "--first", "s.json", "--second", "s.json"]):
        code, _, err = outcome(monkeypatch, capsys, *command, "--group_pattern", "^patient")
        assert code != 0
        assert "has no group" in err
    assert issubclass(GroupError, ValueError)


def test_visits_of_a_patient_are_known_by_name_from_all_labels(tmp_path):
    """All visits that were predicted are of one patient: the other labels tell that it is one."""
    label = SimpleITK.GetImageFromArray(np.eye(4, dtype=np.uint8)[None].repeat(3, axis=0))
    for folder in ("predictions", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("p1_visit1", "p1_visit2", "p2_visit1"):
        SimpleITK.WriteImage(label, str(tmp_path / "labels" / f"{name}.nii.gz"))
        if name < "p2":
            SimpleITK.WriteImage(label, str(tmp_path / "predictions" / f"{name}.nii.gz"))
    found = evaluate(tmp_path / "predictions", tmp_path / "labels", TASK)
    assert found.patients == {"p1_visit1": "p1", "p1_visit2": "p1"}
    assert all(label.group == "" for label in find_labels(tmp_path / "labels").values())
