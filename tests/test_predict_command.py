"""The predicting command: every kind of source, parts, a kill, and what bad input gets."""

import json
import os
import shutil
import signal
import time

import nibabel
import numpy as np
import preloaded
import processes
import pytest
import SimpleITK
import torch
from oracles import BALL, cases_predictor, dice, plan, write_ball
from runs import outcome

from ingradient_pl.commands.load import checkpoint_files
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.checkpoint_file import CheckpointError
from ingradient_pl.inference.predict_cases import save_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.networks.unet import UNet
from ingradient_pl.store.build import build_store
from ingradient_pl.task import Task

SMALL = ((4, 8), ((1, 1, 1), (1, 2, 2)), ((3, 3, 3),) * 2, (1, 1), (1,))


@pytest.fixture(params=[1])
def model(request, tmp_path):
    """A checkpoint with weights of chance; it segments something."""
    channels, names = request.param, ("T1", "FLAIR")[: request.param]
    torch.manual_seed(0)
    made = plan(channels=channels, normalisation=plan().normalisation * channels)
    task = Task(names, {"background": 0, "ball": 1}, name="balls")
    checkpoint.write(tmp_path / "model.ckpt", UNet(channels, 2, *SMALL), made, task)
    return tmp_path / "model.ckpt"


def predict(monkeypatch, capsys, model, source, output, *more):
    arguments = ["--checkpoint", model, "--source", source, "--output", output, "--device", "cpu", *more]
    return outcome(monkeypatch, capsys, "predict", *arguments)


def labels(folder):
    return {path.name: read_label(path, "stored").voxels[0] for path in sorted(folder.glob("[!.]*.nii.gz"))}


@pytest.mark.slow
def test_a_store_gives_the_answers_of_the_files_it_was_made_from(
    monkeypatch, capsys, tmp_path, model, raw_phantoms, phantom_store
):
    for name, source in (("files", raw_phantoms), ("store", phantom_store)):
        code, _, err = predict(monkeypatch, capsys, model, source, tmp_path / name)
        assert code == 0, err
    files, store = labels(tmp_path / "files"), labels(tmp_path / "store")
    assert list(files) == list(store)
    for name, label in files.items():
        np.testing.assert_array_equal(label, store[name])
    assert any(label.any() for label in files.values())
    one, other = (SimpleITK.ReadImage(str(tmp_path / who / name)) for who in ("files", "store"))
    for told in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(one, told)(), getattr(other, told)(), atol=1e-5)


@pytest.mark.slow
def test_a_store_is_scored_against_its_own_labels(monkeypatch, capsys, model, phantom_store):
    code, out, err = outcome(
        monkeypatch, capsys, "predict", "--checkpoint", model, "--source", phantom_store, "--device", "cpu"
    )
    assert code == 0, err
    assert out.count("Dice ball") == 6


def test_a_store_of_turned_files_comes_back_turned(tmp_path):
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / "raw" / part).mkdir(parents=True)
    case = write_ball(tmp_path, "turned", direction=(0, 1, 0, 0, 0, -1, -1, 0, 0))
    case.images[0].rename(tmp_path / "raw" / "imagesTr" / case.images[0].name)
    case.label.rename(tmp_path / "raw" / "labelsTr" / case.label.name)
    text = '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "ball": 1}, "file_ending": ".nii.gz"}'
    (tmp_path / "raw" / "dataset.json").write_text(text)
    build_store(read_source(tmp_path / "raw"), tmp_path / "store")

    from ingradient_pl.store.stored_cases import stored_cases

    (stored,) = stored_cases(tmp_path / "store", BALL).cases
    written = save_cases(cases_predictor(orientation="stored"), [stored], tmp_path / "out").written[0]
    truth = SimpleITK.ReadImage(str(tmp_path / "raw" / "labelsTr" / "turned.nii.gz"))
    answer = SimpleITK.ReadImage(str(written))
    np.testing.assert_allclose(answer.GetDirection(), truth.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(answer.GetOrigin(), truth.GetOrigin(), atol=1e-4)
    one, other = (SimpleITK.GetArrayFromImage(image) > 0 for image in (answer, truth))
    assert dice(one, other) > 0.9


@pytest.mark.slow
def test_parts_are_the_whole_and_no_case_is_done_twice(monkeypatch, capsys, tmp_path, model, raw_phantoms):
    seen = []
    for part in range(4):
        more = ("--part", part, "--parts", 4)
        code, _, err = predict(monkeypatch, capsys, model, raw_phantoms, tmp_path / str(part), *more)
        assert code == 0, err
        seen += list(labels(tmp_path / str(part)))
    assert len(seen) == len(set(seen)) == 6
    code, _, err = predict(
        monkeypatch, capsys, model, raw_phantoms, tmp_path / "x", "--part", 4, "--parts", 4
    )
    assert code == 2
    assert "part=4, parts=4" in err


@pytest.mark.slow
def test_a_killed_run_leaves_whole_files_only_and_goes_on(tmp_path, model):
    for number in range(12):
        write_ball(tmp_path, f"case_{number:02d}", shape=(40, 48, 44))
    line = ["predict", "--checkpoint", model, "--device", "cpu"]
    line += ["--source", tmp_path / "images", "--output", tmp_path / "out", "--save_probabilities", "true"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        how = {"stdout": log, "stderr": log, "env": environment}
        with preloaded.Command("ingradient_pl.cli.main", *line, **how) as process:
            stopped = time.monotonic() + processes.LONGEST
            while not list((tmp_path / "out").glob("case*.nii.gz")) and time.monotonic() < stopped:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
    done = labels(tmp_path / "out")  # reads each to its end
    assert 1 <= len(done) < 12
    for file in (tmp_path / "out").glob("*.npz"):
        with np.load(file) as held:
            assert np.isfinite(held["probabilities"]).all()
    finished = preloaded.run("ingradient_pl.cli.main", *line, "--resume", "true", env=environment, check=True)
    assert f"{12 - len(done)} case" in finished.stdout
    assert f"{len(done)} case" in finished.stdout
    assert not list((tmp_path / "out").glob(".*"))
    assert len(labels(tmp_path / "out")) == 12


def test_switches_may_be_given_bare_and_with_dashes(monkeypatch, capsys, tmp_path, model):
    write_ball(tmp_path, "case")
    more = ("--save-probabilities", "--window-batch", 1, "--resume")
    for _ in range(2):
        code, out, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "out", *more)
        assert code == 0, err
    assert "1 case there already" in out
    assert (tmp_path / "out" / "case.npz").is_file()


def nan(folder):
    image = SimpleITK.GetImageFromArray(np.full((8, 8, 8), np.nan, np.float32))
    SimpleITK.WriteImage(image, str(folder / "images" / "bad_0000.nii.gz"))


def four(folder):
    image = nibabel.Nifti1Image(np.ones((8, 8, 8, 3), np.float32), np.eye(4))
    nibabel.save(image, folder / "images" / "bad_0000.nii.gz")


def cut_short(folder):
    whole = (folder / "images" / "good_0000.nii.gz").read_bytes()
    (folder / "images" / "bad_0000.nii.gz").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(nan, "NaN"), (four, "it is 4D"), (cut_short, "truncated")],
    ids=["nan", "four", "cut_short"],
)
def test_a_bad_case_is_one_line_and_exit_code_1_while_the_others_are_done(
    monkeypatch, capsys, tmp_path, model, spoil, said
):
    write_ball(tmp_path, "good")
    spoil(tmp_path)
    code, _, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "out")
    assert code == 1
    assert "1 case failed:" in err
    assert f"\n  bad: {tmp_path / 'images' / 'bad_0000.nii.gz'}" in err
    assert said in err
    assert "Traceback" not in err
    assert list(labels(tmp_path / "out")) == ["good.nii.gz"]


@pytest.mark.parametrize("model", [2], indirect=True)
def test_a_missing_channel_is_named(monkeypatch, capsys, tmp_path, model):
    for name in ("whole_0000", "whole_0001", "half_0001"):
        write_ball(tmp_path, name)
        (tmp_path / "images" / f"{name}_0000.nii.gz").rename(tmp_path / "images" / f"{name}.nii.gz")
    code, _, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "out")
    assert code == 1
    assert "half_0000.nii.gz: channel 0000 is missing; the task has 2" in err
    assert "Traceback" not in err
    assert list(labels(tmp_path / "out")) == ["whole.nii.gz"]


def test_a_table_of_new_cases_needs_no_label_and_a_lost_file_is_one_failure(
    monkeypatch, capsys, tmp_path, model
):
    write_ball(tmp_path, "good")
    (image,) = (tmp_path / "images").iterdir()
    rows = ["case,image_0,label", f"one,{image},", f"two,{image},lost.nii.gz", "three,lost.nii.gz,"]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    code, out, err = predict(monkeypatch, capsys, model, tmp_path / "table.csv", tmp_path / "out")
    assert code == 1
    assert sorted(labels(tmp_path / "out")) == ["one.nii.gz", "two.nii.gz"]
    assert "'two': its label" in out
    assert "1 case failed" in err
    assert "three" in err
    assert "no such file" in err


@pytest.mark.parametrize("model", [2], indirect=True)
def test_channels_in_another_order_than_the_models_are_taken_by_name(monkeypatch, capsys, tmp_path, model):
    case = write_ball(tmp_path, "case")
    told, answers = {}, {}
    for kind, names in {"in order": ("T1", "FLAIR"), "turned": ("FLAIR", "T1")}.items():
        raw = tmp_path / kind
        (raw / "imagesTr").mkdir(parents=True)
        for name, file in (("T1", case.images[0]), ("FLAIR", case.label)):
            shutil.copy(file, raw / "imagesTr" / f"case_{names.index(name):04d}.nii.gz")
        named = {str(number): name for number, name in enumerate(names)}
        described = {"channel_names": named, "labels": {"background": 0, "ball": 1}}
        (raw / "dataset.json").write_text(json.dumps(described))
        code, told[kind], err = predict(monkeypatch, capsys, model, raw, tmp_path / f"{kind} out")
        assert code == 0, err
        answers[kind] = labels(tmp_path / f"{kind} out")["case.nii.gz"]
    assert "channels are FLAIR, T1, the model wants T1, FLAIR: each is taken by its name" in told["turned"]
    assert "by its name" not in told["in order"]
    assert answers["in order"].any()
    assert (answers["in order"] == answers["turned"]).all()
    (raw / "dataset.json").write_text(json.dumps({**described, "channel_names": {"0": "T1", "1": "FLAIR"}}))
    code, out, err = predict(monkeypatch, capsys, model, raw, tmp_path / "turned out", "--resume")
    assert code == 0, err
    assert "is made again: its channels were taken in another order" in out


@pytest.mark.parametrize("spoil", ["newer", "channels", "text"])
def test_a_checkpoint_that_does_not_fit_is_one_line_and_exit_code_1(
    monkeypatch, capsys, tmp_path, model, spoil
):
    write_ball(tmp_path, "case")
    if spoil == "text":
        model.write_text("weights")
    else:
        held = torch.load(model, weights_only=True)
        if spoil == "newer":
            held["ingradient"]["format"] = 99
        else:
            held["ingradient"]["task"]["channels"] = ["T1", "T2", "FLAIR"]
        torch.save(held, model)
    code, _, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "out")
    assert code == 1
    said = {"newer": "format 99", "channels": "T1", "text": "not a checkpoint"}[spoil]
    assert said in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="a folder under a file is told otherwise")
def test_no_permission_to_write_is_one_line_and_exit_code_1(monkeypatch, capsys, tmp_path, model):
    write_ball(tmp_path, "case")
    (tmp_path / "file").write_text("in the way")
    code, _, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "file" / "out")
    assert code == 1
    assert str(tmp_path / "file") in err
    assert "Traceback" not in err


def test_each_series_in_folders_of_folders_is_a_case(tmp_path):
    for name in ("ann/t2/0001", "ben/0001/first", "ben/0001/second", "cid"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "IM0001").write_bytes(b"a slice")
    found = images_only(tmp_path, Task(("MR",), {"background": 0, "ball": 1})).cases
    assert {case.name: case.images[0].relative_to(tmp_path).as_posix() for case in found} == {
        "ann": "ann/t2/0001",
        "ben_first": "ben/0001/first",
        "ben_second": "ben/0001/second",
        "cid": "cid",
    }


@pytest.mark.real
def test_series_of_a_real_study_are_predicted(tmp_path, real_data):

    found = [case for case in images_only(real_data / "dicom", BALL).cases if "Crop" in case.name]
    report = save_cases(cases_predictor(), found, tmp_path / "out")
    assert [path.name for path in report.written] == ["Study1_13_HCropVolume.nii.gz"]
    assert read_label(report.written[0], "stored").voxels.shape == (1, 32, 51, 35)


OBLIQUE = (0.936, -0.275, 0.218, 0.289, 0.956, -0.036, -0.199, 0.097, 0.975)
SPATIAL = [(40, 56), (76, 80), (80, 92), (252, 328)]
"""Bytes of dim (but for the count of axes), pixdim, and qform to sform in a NIfTI-1 header."""


def spatial(path):
    header = nibabel.load(path).header.binaryblock
    return b"".join(header[first:last] for first, last in SPATIAL)


@pytest.mark.parametrize("direction", [OBLIQUE, (-1, 0, 0, 0, 1, 0, 0, 0, -1)], ids=["oblique", "flipped"])
def test_an_oblique_or_flipped_source_comes_back_on_its_own_grid_to_the_byte(tmp_path, direction):

    case = write_ball(tmp_path, "case", direction=direction)
    written = save_cases(cases_predictor(), [case], tmp_path / "out").written[0]
    assert spatial(written) == spatial(case.images[0])
    one, other = (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(p))) > 0 for p in (written, case.label))
    assert dice(one, other) > 0.9


@pytest.mark.real
@pytest.mark.slow
def test_a_real_ct_comes_back_on_its_own_grid_to_the_byte(tmp_path, real_data):
    from ingradient_pl.datasets.records import CaseFiles
    from ingradient_pl.transforms.normalise import CT

    class Bone(torch.nn.Module):
        def forward(self, image):
            return torch.cat([-image, image], dim=1)

    file = real_data / "single_cases" / "chaos_ct" / "images" / "chaos_ct_0000.nii.gz"
    made = plan((32, 96, 96), spacing=(3.0, 2.0, 2.0), normalisation=(CT(-1000, 2000, 250, 100),))
    model = Model([Bone()], made, Task(("CT",), {"background": 0, "bone": 1}), "test", ())
    report = save_cases(Predictor(model), [CaseFiles("chaos", (file,), None, "chaos")], tmp_path / "out")
    assert spatial(report.written[0]) == spatial(file)
    bright = read_volume([file]).voxels[0] > 250
    assert dice(read_label(report.written[0]).voxels[0] > 0, bright) > 0.7


@pytest.mark.parametrize(
    ("more", "said", "end"),
    [
        (["--pictures", "pictures"], "--output DIR", 2),
        (["--save-probabilities"], "--output DIR", 2),
        (["--step", "2"], "in (0, 1]", 2),
        ([], "No case has a label", 1),
        (["--only", "validation"], "No case was kept", 1),
    ],
)
def test_what_needs_a_folder_to_write_to_or_labels_says_so(
    monkeypatch, capsys, tmp_path, model, more, said, end
):
    write_ball(tmp_path, "one")
    arguments = ["--checkpoint", model, "--source", tmp_path / "images", "--device", "cpu", *more]
    code, _, err = outcome(monkeypatch, capsys, "predict", *arguments)
    assert code == end
    assert said in err
    assert not (tmp_path / "pictures").exists()


def test_segmentations_do_not_go_among_the_images(monkeypatch, capsys, tmp_path, model):
    write_ball(tmp_path, "one")
    code, _, err = predict(monkeypatch, capsys, model, tmp_path / "images", tmp_path / "images")
    assert code == 2
    assert "folder of the images" in err
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["one_0000.nii.gz"]


@pytest.mark.parametrize("names", [("a.ckpt", "a.ckpt"), ("a.ckpt", "./b/../a.ckpt"), ("b.ckpt", "a.ckpt")])
def test_a_checkpoint_that_is_named_twice_is_refused(tmp_path, names):
    (tmp_path / "b").mkdir()
    (tmp_path / "b.ckpt").symlink_to(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match="named twice"):
        checkpoint_files([tmp_path / name for name in names])
