"""What cannot be trained is told by the line and the names of cases: nothing is prepared or planned first."""

import csv
import json
import re
from typing import NamedTuple

import pytest
from runs import outcome

from ingradient_pl.cli import data_first
from ingradient_pl.cli.cross_fit import select_folds
from ingradient_pl.cli.first_stage_folds import divide_first
from ingradient_pl.cli.line_checks import check_line
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.planning.settings import PlannerSettings

COMMANDS = {
    "train": ["hydra.run.dir=out"],
    "sweep": ["-m", "seed=0,1", "hydra.sweep.dir=out"],
    "crossval": ["output=out"],
    "cascade": ["output=out", "coarser=2"],
}


def write_names(folder, patients=6, *, unlabelled=(), column=None):
    """A data set whose files hold nothing: who opens one fails, and names the file."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    rows = []
    for number in range(patients):
        image, label = f"imagesTr/p{number}_0000.nii.gz", f"labelsTr/p{number}.nii.gz"
        (folder / image).touch()
        if number in unlabelled:
            label = ""
        else:
            (folder / label).touch()
        rows.append([f"p{number}", image, label, "" if column is None else column[number]])
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}}
    (folder / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))
    if column is None and not unlabelled:
        return folder
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "image_0", "label", "split"], *rows])
    return folder / "table.csv"


def write_split(file, *folds):
    file.write_text(json.dumps([{"train": train.split(), "val": val.split()} for train, val in folds]))
    return f"data.split.file={file}"


ALL, ONE, SEVERAL = tuple(COMMANDS), ("train", "sweep"), ("crossval", "cascade")
FAULTS = {
    "few patients": (
        4,
        {},
        [],
        ALL,
        "5 folds cannot be made of 4 pat.*Take at most 4: data.split.count=4",
    ),
    "one patient": (1, {}, [], ALL, "of 1 patient .1 labelled.*There must be 2 patients"),
    "few labels": (6, {"unlabelled": (3, 4, 5)}, [], ONE, "3 patients .3 labelled cases.*count=3"),
    "no label": (2, {"unlabelled": (0, 1)}, [], ALL, "None of the 2 cases has a label"),
    "no such fold": (6, {}, ["data.split.number=5"], ONE, "There are folds 0 to 4; got 5"),
    "a swept fold": (6, {}, ["data.split.number=0,4,5"], ("sweep",), "There are folds 0 to 4; got 5"),
    "a swept count": (6, {}, ["data.split.count=range(5,8)"], ("sweep",), "7 folds cannot be made of 6"),
    "no number": (6, {}, ["data.split.count=five"], ALL, "data.split.count must be a whole number"),
    "one fold": (6, {}, ["data.split.count=1"], SEVERAL, "data.split.count"),
    "no such folds": (6, {}, ["folds=[1,7]"], ("crossval",), r"folds 0 to 4, each once; got \[1, 7\]"),
    "stages": (5, {}, [], ("cascade",), "5 folds cannot be made of 4 patients.*Take at most 4: folds=4.$"),
    "strangers": (6, {}, [("p0 p1", "p9")], ALL, "1 of its cases are not in the data set: p9"),
    "no file": (6, {}, ["data.split.file=nowhere.json"], ONE, "nowhere.json: no such file"),
    "no json": (6, {}, ["data.split.file=line.txt"], SEVERAL, "line.txt: not a list of folds"),
    "an empty side": (6, {}, [("p0 p1", "")], ONE, "both sides; got 2 to train on, 0 to validate on"),
    "both sides": (6, {}, [("p0 p1", "p1 p2")], SEVERAL, "1 patients are on both sides.*p1"),
    "no label there": (6, {"unlabelled": [5]}, [("p0 p1", "p5")], ALL, "Fold 0 has 2 to train on, 0 to val"),
    "no label here": (6, {"unlabelled": [5]}, [("p5", "p0")], ALL, "Fold 0 has 0 to train on, 1 to val"),
    "one side": (4, {"column": ["train"] * 4}, [], ONE, "both sides; got 4 to train on, 0"),
    "one number": (4, {"column": "1111"}, [], ALL, "got 0 to train on, 4 to .* two folds or more"),
    "both ways": (4, {"column": ["1", "2", "train", "val"]}, [], SEVERAL, "folds .1, 2. and 'train'"),
    "tests": (4, {"column": ["test"] * 4}, [], ALL, "keeps all 4 labelled cases for the test"),
    "no such number": (4, {"column": "1122"}, ["data.split.number=2"], ONE, "folds 0 to 1; got 2"),
    "a wrong word": (6, {}, ["epoch=3"], ONE, "Did you mean epochs"),
    "no variant": (6, {}, ["recipe=fasst"], ONE, "Did you mean fast"),
    "no count": (6, {}, ["epochs=0"], ("train", "crossval"), "epochs must be a whole number from 1"),
    "no division": (6, {}, ["data.split=null"], SEVERAL, "data.split=null does not divide the cases"),
}


@pytest.mark.parametrize(
    ("fault", "command"), [(name, command) for name, fault in FAULTS.items() for command in fault[3]]
)
def test_a_division_that_cannot_be_is_told_first(fault, command, tmp_path, monkeypatch, capsys):
    patients, how, told, _, said = FAULTS[fault]
    (tmp_path / "line.txt").write_text("p0")
    monkeypatch.chdir(tmp_path)
    source = write_names(tmp_path / "a [b] c", patients, **how)
    keys = [write_split(tmp_path / "splits.json", one) if isinstance(one, tuple) else one for one in told]
    line = [f"source={source}", "store=made", *COMMANDS[command], *keys]
    name = "train" if command == "sweep" else command
    code, _, error = outcome(monkeypatch, capsys, name, *line)
    assert code in (1, 2)
    assert "Traceback" not in error
    assert re.search(said, error.strip(), re.DOTALL), error
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["train", "crossval"])
def test_a_division_of_a_store_is_told_before_it_is_planned_for(
    command, phantom_store, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    line = [f"store={phantom_store}", *COMMANDS[command], "data.split.count=40"]
    code, out, error = outcome(monkeypatch, capsys, command, *line)
    assert code == 1
    assert "40 folds cannot be made" in error
    assert "planned" not in out
    assert not (tmp_path / "out").exists()


UNDIVIDED = {
    "few patients": ({"split": Fold(count=40)}, "40 folds cannot be made"),
    "no such fold": ({"split": Fold(5)}, "There are folds 0 to 4; got 5"),
    "no file": ({"split": Fold(file="nowhere.json")}, "nowhere.json: no such file"),
    "strangers": ({"split": Fold(file="splits.json")}, "not in the data set: p8, p9"),
    "no residence": ({"resident": "never"}, "data.resident is auto, true or false"),
}


@pytest.mark.parametrize("fault", UNDIVIDED)
def test_a_data_module_divides_before_it_plans(fault, phantom_store, tmp_path, monkeypatch):
    """So `ingradient fit` without a plan: it makes the data module, and nothing before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PlannerSettings, "plan", plan_for_nothing)
    write_split(tmp_path / "splits.json", ("p8", "p9"))
    told, said = UNDIVIDED[fault]
    with pytest.raises(ValueError, match=said):
        SegmentationData(str(phantom_store), **told)
    with pytest.raises(AssertionError, match="planned"):
        SegmentationData(str(phantom_store))


def plan_for_nothing(settings, store):
    raise AssertionError("planned")


class InStore(NamedTuple):
    """What a division asks of a case."""

    group: str
    store: str
    labelled: bool = True
    split: str | None = None


STORES = {f"p{number}@{store}": InStore(f"p{number}", store) for store in "ab" for number in range(3)}
DIVIDERS = {
    "one run": lambda file: check_line([f"data.split.file={file}"], STORES, swept=False),
    "folds": lambda file: select_folds(STORES, None, [f"data.split.file={file}"]),
    "stages": lambda file: divide_first(STORES, Fold(file=str(file)).splits(STORES)[0], 2),
}


@pytest.mark.parametrize("divider", DIVIDERS)
def test_a_store_of_which_no_case_trains_is_told_by_whoever_divides(divider, tmp_path):
    """Before a plan is made of its cases, too."""
    write_split(tmp_path / "splits.json", ("p0@a p1@a", "p2@b"), ("p0@a", "p2@b"))
    with pytest.raises(ValueError, match=r"No case of the store \w trains: .*data.split.file=FILE"):
        DIVIDERS[divider](tmp_path / "splits.json")


@pytest.mark.parametrize("fold", ["data.split.number=null", "data.split.number=0"])
def test_a_store_without_labels_is_told_as_one_whatever_the_folds(fold):
    cases = STORES | {"q@c": InStore("q", "c", labelled=False)}
    with pytest.raises(ValueError, match=r"No case of the store c trains: none of them has a label\."):
        check_line([fold, "data.split.count=3"], cases, swept=False)


def test_a_store_that_has_more_patients_than_the_source_is_divided_with_them(tmp_path, monkeypatch):
    found, held = [], {"p8": None, "p0": None}
    monkeypatch.setattr(data_first, "_held_cases", lambda store: held)
    with pytest.raises(LookupError):
        data_first.with_store(
            [f"source={write_names(tmp_path / 'raw', 2)}"], lambda cases: refuse(found, cases)
        )
    assert sorted(found[0]) == ["p0", "p1", "p8"]
    assert found[0]["p0"] is not None


def refuse(found, cases):
    found.append(cases)
    raise LookupError
