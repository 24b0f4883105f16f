"""Answers and reports never take the place of what is the user's, and no answer hides another."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hostile_names import ELSEWHERE, HOSTILE, seen
from oracles import plan, write_ball
from runs import outcome

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.answer_files import (
    OutputError,
    check_folder,
    check_report,
    check_targets,
    target_files,
)
from ingradient_pl.inference.answer_folder import AnswerFolder
from ingradient_pl.networks.unet import UNet
from ingradient_pl.store.build import build_store
from ingradient_pl.task import Task

SMALL = ((4, 8), ((1, 1, 1), (1, 2, 2)), ((3, 3, 3),) * 2, (1, 1), (1,))
TASK = Task(("CT",), {"background": 0, "ball": 1})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    torch.manual_seed(0)
    checkpoint.write(path, UNet(1, 2, *SMALL), plan(), TASK)
    return path


@pytest.fixture
def predicted(monkeypatch, capsys, model):
    def run(source, output, *more, model=model):
        arguments = ["--checkpoint", model, "--source", source, "--output", output, "--device", "cpu", *more]
        return outcome(monkeypatch, capsys, "predict", *arguments)

    return run


@pytest.fixture
def raw(tmp_path):
    """A raw data set of two cases beside a store of it."""
    write_phantoms(tmp_path / "raw", 2, (8, 8, 8))
    build_store(read_source(tmp_path / "raw"), tmp_path / "store", progress=False)
    (tmp_path / "table.csv").write_text("case,image_0\nphantom_000,raw/imagesTr/phantom_000_0000.nii.gz\n")
    (tmp_path / "raw" / "scan.nii.gz").write_bytes(
        (tmp_path / "raw" / "imagesTr" / "phantom_000_0000.nii.gz").read_bytes()
    )
    return tmp_path


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("raw/scan.nii.gz", "raw"),
        ("raw/scan.nii.gz", "raw/../raw/."),
        ("raw/scan.nii.gz", "raw/imagesTr/../../link"),
        ("raw/imagesTr", "raw"),
        ("raw/imagesTr", "raw/imagesTr"),
        ("raw", "raw/imagesTr"),
        ("raw", "raw/labelsTr"),
        ("raw", "store"),
        ("raw", "store/cases"),
        ("table.csv", "raw/imagesTr"),
        ("store", "store"),
        ("store", "store/cases"),
        ("store", "store/cases/phantom_000"),
        ("raw", "table.csv"),
        ("raw", "/dev/null"),
    ],
)
def test_nothing_of_a_data_set_is_written_over(predicted, raw, source, output):
    (raw / "link").symlink_to(raw / "raw")
    before = seen(raw)
    code, _, err = predicted(raw / source, raw / output if output[0] != "/" else output)
    assert code == 2, err
    assert "Name another" in err or "name another" in err
    assert seen(raw) == before


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_leads_a_prediction_out_of_its_folder(tmp_path, name):
    (tmp_path / "victim").mkdir()
    name = name.replace(ELSEWHERE, str(tmp_path / "victim"))
    case = CaseFiles(name, (tmp_path / "scan.nii.gz",), None, name)
    with pytest.raises(ValueError, match="cannot name a case"):
        target_files([case], tmp_path / "out")


def test_two_inputs_of_one_name_do_not_share_an_answer(predicted, tmp_path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        write_ball(tmp_path / place, "scan")
    first, second = (tmp_path / place / "images" / "scan_0000.nii.gz" for place in ("one", "two"))
    assert predicted(first, tmp_path / "out")[0] == 0
    before = seen(tmp_path / "out")
    code, _, err = predicted(second, tmp_path / "out")
    assert code == 2
    assert f"is the answer to {first}, not to {second}" in err
    assert seen(tmp_path / "out") == before
    assert predicted(first, tmp_path / "out")[0] == 0  # the same again is no other
    assert seen(tmp_path / "out") == before


@pytest.mark.slow
def test_an_answer_of_another_model_or_cut_short_is_made_again_when_resumed(predicted, tmp_path, model):
    write_ball(tmp_path, "scan")
    out, source = tmp_path / "out", tmp_path / "images"
    assert predicted(source, out)[0] == 0
    whole = (out / "scan.nii.gz").read_bytes()
    for content in (b"", whole[:40]):
        (out / "scan.nii.gz").write_bytes(content)
        code, said, _ = predicted(source, out, "--resume")
        assert code == 0
        assert "made again: it was cut short or changed since" in said
        assert (out / "scan.nii.gz").read_bytes() == whole
    assert "1 case there already" in predicted(source, out, "--resume")[1]
    other = tmp_path / "other.ckpt"
    torch.manual_seed(1)
    checkpoint.write(other, UNet(1, 2, *SMALL), plan(), TASK)
    assert "made again: it is of another model" in predicted(source, out, "--resume", model=other)[1]


def test_a_file_that_nobody_predicted_is_not_written_over(predicted, tmp_path):
    write_ball(tmp_path, "scan")
    for name in ("scan.nii.gz", "scan.npz"):
        out = tmp_path / name
        out.mkdir()
        (out / name).write_text("mine")
        code, _, err = predicted(tmp_path / "images", out)
        assert code == 2
        assert f"{out / name} is there already" in err
        assert (out / name).read_text() == "mine"


def test_pictures_do_not_go_over_what_is_read(tmp_path):
    with pytest.raises(OutputError, match="would replace"):
        check_targets([tmp_path / "x" / ".." / "a.png"], [tmp_path / "a.png"])


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.NII", "scan.mha", "scan.png", ".nii.gz"])
@pytest.mark.parametrize("content", ["segmentations", "pictures"])
def test_a_folder_of_answers_is_not_called_like_a_file(tmp_path, name, content):
    with pytest.raises(OutputError, match=f"called like a file.*{content} go into a folder") as caught:
        check_folder(tmp_path / name, content)
    cure = str(caught.value).rpartition("such as ")[2].removesuffix(".")
    check_folder(Path(cure), content)
    assert Path(cure).parent == tmp_path
    (tmp_path / name).mkdir()
    check_folder(tmp_path / name, content)  # whoever has such a folder may go on with it


@pytest.mark.parametrize("line", ["predict", "postprocess", "show", "pictures"])
@pytest.mark.parametrize(("name", "told"), [("out.nii.gz", "called like a file"), ("there", "not a folder")])
def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_made(
    predicted, monkeypatch, capsys, raw, line, name, told
):
    (raw / "there").write_text("mine")
    (raw / "steps.yaml").write_text("[]\n")
    before = seen(raw)
    scan, out = raw / "raw" / "scan.nii.gz", raw / name
    steps = ("--postprocess", raw / "steps.yaml", "--predictions", raw / "raw" / "labelsTr")
    code, _, err = {
        "predict": lambda: predicted(scan, out),
        "pictures": lambda: predicted(scan, raw / "fine", "--pictures", out),
        "show": lambda: outcome(monkeypatch, capsys, "show", raw / "store", "--output", out),
        "postprocess": lambda: outcome(monkeypatch, capsys, "postprocess", *steps, "--output", out),
    }[line]()
    assert code == 2, err
    assert told in err
    assert ("pictures" if line in ("show", "pictures") else "segmentations") in err
    assert seen(raw) == before


@pytest.mark.parametrize(
    ("command", "target"),
    [
        *(
            ("import-nnunet", name)
            for name in ("plan.yaml", "other.ckpt", "model.ckpt", "raw", "summary.json")
        ),
        *(("calibrate", name) for name in ("plan.yaml", "other.ckpt", "model.ckpt", "raw")),
        *(("lightning-config", name) for name in ("plan.yaml", "other.yaml", "model.ckpt", "raw")),
        *(("export", name) for name in ("plan.yaml", "new.onnx", "new.PT2")),
        *(("export-nnunet", name) for name in ("plan.yaml", "new.pth", "new.zip", "raw")),
    ],
)
def test_no_command_writes_a_model_or_a_config_over_something_else(
    monkeypatch, capsys, raw, model, command, target
):
    outcome(monkeypatch, capsys, "plan", "--store", raw / "store", "--output", raw / "plan.yaml")
    for name in ("other.ckpt", "other.yaml", "summary.json"):
        (raw / name).write_text("mine")
    shutil.copy(model, raw / "model.ckpt")
    trained = ("--checkpoint", model)
    line = {
        "import-nnunet": ("--model", raw / "nnunet"),
        "calibrate": (*trained, "--source", raw / "store"),
        "lightning-config": ("--store", raw / "store", "--plan", raw / "plan.yaml"),
    }.get(command, trained)
    before = seen(raw)
    code, _, err = outcome(monkeypatch, capsys, command, *line, "--output", raw / target)
    assert code == 2 or "holds files already" in err, err
    assert target in err
    assert "ame " in err  # name another file, a file in it, a folder
    assert seen(raw) == before


@pytest.mark.parametrize("command", ["evaluate", "plan", "compare", "postprocess"])
@pytest.mark.parametrize("target", ["dataset.json", "a.nii.gz", "a.npz", "a.ckpt"])
def test_reports_do_not_go_over_data(monkeypatch, capsys, tmp_path, raw, command, target):
    for name in ("predictions", "labels"):
        shutil.copytree(raw / "raw" / "labelsTr", tmp_path / name)
        shutil.copy(raw / "raw" / "dataset.json", tmp_path / name)
        (tmp_path / name / "a.nii.gz").write_bytes((tmp_path / name / "phantom_000.nii.gz").read_bytes())
    arguments = {
        "evaluate": ["--predictions", tmp_path / "predictions", "--labels", tmp_path / "labels"],
        "plan": ["--store", raw / "store"],
        "compare": ["--first", tmp_path / "one.json", "--second", tmp_path / "two.json"],
        "postprocess": [
            "--predictions",
            tmp_path / "predictions",
            "--learn",
            "--labels",
            tmp_path / "labels",
        ],
    }[command]
    if command == "compare":
        outcome(
            monkeypatch,
            capsys,
            "evaluate",
            "--predictions",
            tmp_path / "predictions",
            "--labels",
            tmp_path / "labels",
            "--output",
            tmp_path / "one.json",
        )
        shutil.copy(tmp_path / "one.json", tmp_path / "two.json")
    before = seen(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, command, *arguments, "--output", tmp_path / "labels" / target)
    assert code == 2, err
    assert "Name another" in err
    assert seen(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "content", "taken"),
    [
        ("a.json", b'{"foreground_mean": {}}', True),
        ("a.JSON", b'{"foreground_mean": {}}', True),
        ("a.json", b" ", True),
        ("a", b"foreground_mean", True),
        ("a.json", b'{"mine": 1}', False),
        ("a.yaml", b"foreground_mean", False),
        ("a.py", b"foreground_mean", False),
    ],
)
def test_a_report_takes_the_place_of_its_like_alone(tmp_path, name, content, taken):
    check_report(tmp_path / name, [], (".json",), b"foreground_mean")  # nothing is there yet
    (tmp_path / name).write_bytes(content)
    if taken:
        check_report(tmp_path / name, [], (".json",), b"foreground_mean")
        return
    with pytest.raises(OutputError, match=r"is something else.*Name another"):
        check_report(tmp_path / name, [], (".json",), b"foreground_mean")


def test_a_device_takes_a_report_and_stays_a_device(monkeypatch, capsys, raw):
    code, _, err = outcome(monkeypatch, capsys, "plan", "--store", raw / "store", "--output", "/dev/null")
    assert code == 0, err
    check_report("/dev/null", [])


def test_phantoms_do_not_replace_a_data_set(monkeypatch, capsys, raw):
    described = json.loads((raw / "raw" / "dataset.json").read_text())
    del described["written_by"]  # somebody's own
    (raw / "raw" / "dataset.json").write_text(json.dumps(described))
    before = seen(raw)
    assert outcome(monkeypatch, capsys, "phantoms", "--output", raw / "raw", "--cases", 1)[0] == 2
    assert outcome(monkeypatch, capsys, "phantoms", "--output", raw / "new", "--cases", 0)[0] == 2
    arguments = ["--source", raw / "raw", "--store", raw / "new", "--workers", -3]
    assert outcome(monkeypatch, capsys, "prepare", *arguments)[0] == 2
    assert seen(raw) == before


def test_folders_that_share_answers_lose_none(tmp_path):
    cases = [write_ball(tmp_path, f"scan_{number}") for number in range(4)]
    targets = target_files(cases, tmp_path / "out")
    for case in cases:
        AnswerFolder(tmp_path / "out", TASK, "m").begin([case], {case.name: targets[case.name]}, resume=False)
    held = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert sorted(held["answers"]) == [case.name for case in cases]
    assert held["labels"] == {"background": 0, "ball": 1}


def test_a_runs_folder_stands_for_its_last_checkpoint(predicted, tmp_path, model):
    write_ball(tmp_path, "scan")
    assert predicted(tmp_path / "images", tmp_path / "out", model=model.parents[1])[0] == 0
    code, _, err = predicted(tmp_path / "images", tmp_path / "out", model=tmp_path / "images")
    assert code == 1
    assert "a folder without checkpoints/last.ckpt" in err


def test_a_data_set_of_hostile_names_is_predicted_within_its_folder(predicted, raw):
    victim = raw / "victim"
    (victim / "x").mkdir(parents=True)
    (victim / "x.nii.gz").write_text("precious")
    entry = {"images": ["imagesTr/phantom_000_0000.nii.gz"]}
    names = [name.replace(ELSEWHERE, str(victim)) for name in HOSTILE]
    described = json.loads((raw / "raw" / "dataset.json").read_text())
    described["dataset"] = {**dict.fromkeys(names, entry), "good": entry}
    (raw / "raw" / "dataset.json").write_text(json.dumps(described))
    before = seen(raw)
    code, _, err = predicted(raw / "raw", raw / "out")
    assert code == 1
    assert err.count("cannot name a case") == len(names)
    assert {path: held for path, held in seen(raw).items() if not path.startswith(str(raw / "out"))} == before
    assert sorted(path.name for path in (raw / "out").iterdir()) == ["dataset.json", "good.nii.gz"]
