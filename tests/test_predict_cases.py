"""Many cases: each answer on its own grid, faults told and passed by, nothing half-written or done twice."""

import dataclasses
import threading

import numpy as np
import pytest
import SimpleITK
import torch
from oracles import BALL, Oracle, cases_predictor, dice, write_ball
from torch import nn

from ingradient_pl.datasets.sources import images_only
from ingradient_pl.images import formats
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.inference import case_pipeline as cases_run
from ingradient_pl.inference.predict_cases import save_cases, score_cases
from ingradient_pl.inference.predictor import Predictor


@pytest.fixture
def cases(tmp_path):
    return [write_ball(tmp_path, f"case_{number}") for number in range(3)]


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("direction", [(0, 1, 0, 0, 0, -1, -1, 0, 0), (-1, 0, 0, 0, -1, 0, 0, 0, 1)])
@pytest.mark.parametrize("orientation", ["LPS", "stored"])
def test_an_answer_lies_where_its_image_lies_in_the_same_format(tmp_path, ending, direction, orientation):
    case = write_ball(tmp_path, "turned", ending, direction)
    report = save_cases(cases_predictor(orientation=orientation), [case], tmp_path / "out")
    assert report.written == [tmp_path / "out" / f"turned{ending}"]
    image = SimpleITK.ReadImage(str(case.images[0]))
    answer = SimpleITK.ReadImage(str(report.written[0]))
    assert answer.GetSize() == image.GetSize()
    for told in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(answer, told)(), getattr(image, told)())
    truth = read_label(case.label).voxels[0]
    assert dice(read_label(report.written[0]).voxels[0] > 0, truth > 0) > 0.9


def test_a_folder_of_images_becomes_a_folder_of_labels(tmp_path, cases):
    found = images_only(tmp_path / "images", BALL).cases
    report = save_cases(cases_predictor(), found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"case_{i}.nii.gz" for i in range(3)
    ]
    assert not report.failures
    assert not report.skipped


def test_the_next_case_is_read_and_the_last_is_written_while_one_is_predicted(monkeypatch, tmp_path, cases):
    begun, overlapped = {name: threading.Event() for name in ("read 2", "predict 1")}, []
    read, write, predict = cases_run.read_case, formats.write_label, Predictor.segment
    predicted = []

    def reading(case, **told):
        if case.name == "case_2":
            begun["read 2"].set()
        return read(case, **told)

    def predicting(self, *given):
        predicted.append(None)
        if len(predicted) == 2:
            begun["predict 1"].set()
            overlapped.append(begun["read 2"].wait(20))
        return predict(self, *given)

    def writing(target, *given):
        if target.name.startswith("case_0"):
            overlapped.append(begun["predict 1"].wait(20))
        write(target, *given)

    monkeypatch.setattr(cases_run, "read_case", reading)
    monkeypatch.setattr(formats, "write_label", writing)
    monkeypatch.setattr(Predictor, "segment", predicting)
    assert len(save_cases(cases_predictor(), cases, tmp_path / "out").written) == 3
    assert overlapped == [True, True]


def test_faulty_cases_are_told_in_a_line_each_and_the_others_are_done(tmp_path, cases):
    cases[0].images[0].write_bytes(b"version https://git-lfs.github.com/spec/v1")
    wrong = cases[1]._replace(images=cases[1].images * 2)
    told = []
    report = save_cases(cases_predictor(), [cases[0], wrong, cases[2]], tmp_path / "out", say=told.append)
    assert [path.name for path in report.written] == ["case_2.nii.gz"]
    assert [failure.case for failure in report.failures] == ["case_0", "case_1"]
    assert "2 channels, where 1 are wanted" in report.failures[1].reason
    assert len(told) == 2
    assert all("\n" not in line for line in told)


def test_a_run_goes_on_where_it_was_killed(tmp_path, cases):
    class Killed(nn.Module):
        calls = 0

        def forward(self, image):
            Killed.calls += 1
            if Killed.calls > calls_of_one + 1:
                raise KeyboardInterrupt
            return Oracle()(image)

    calls_of_one = count(cases[:1])
    with pytest.raises(KeyboardInterrupt):
        save_cases(cases_predictor(Killed()), cases, tmp_path / "out")
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["case_0.nii.gz"]
    report = save_cases(cases_predictor(), cases, tmp_path / "out", resume=True)
    assert report.skipped == ["case_0"]
    assert len(report.written) == 2


def count(cases):
    """How often the network is asked for these cases."""

    class Counting(Oracle):
        calls = 0

        def forward(self, image):
            Counting.calls += 1
            return super().forward(image)

    score_cases(cases_predictor(Counting()), cases, say=lambda line: None)
    return Counting.calls


def test_cases_are_scored_against_their_labels(cases):
    told = []
    report = score_cases(cases_predictor(), cases, say=told.append)
    scores = [case.scores[1]["Dice"] for case in report.evaluation.cases]
    assert len(scores) == len(told) == 3
    assert min(scores) > 0.9
    assert "case_1: Dice ball 1.0000" in told


def test_a_case_without_label_or_with_one_elsewhere_is_not_scored(tmp_path, cases):
    elsewhere = write_ball(tmp_path, "other", shape=(16, 24, 21))
    odd = [cases[0]._replace(label=None), cases[1]._replace(label=elsewhere.label), cases[2]]
    report = score_cases(cases_predictor(), odd, say=lambda line: None)
    assert [case.name for case in report.evaluation.cases] == ["case_2"]
    assert "no label" in report.failures[0].reason
    assert "(16, 24, 21)" in report.failures[1].reason


class Hungry(nn.Module):
    """Has room for so many windows at a time."""

    def __init__(self, most):
        super().__init__()
        self.most = most

    def forward(self, image):
        if len(image) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return Oracle()(image)


def test_with_too_little_memory_one_window_at_a_time_is_tried_once_and_said(tmp_path, cases):
    told = []
    report = save_cases(cases_predictor(Hungry(1), window_batch=4), cases, tmp_path / "out", say=told.append)
    assert len(report.written) == 3
    assert len(told) == 1
    assert "too little memory for 4 windows" in told[0]


def test_with_no_memory_at_all_the_case_is_a_fault(tmp_path, cases):
    report = save_cases(
        cases_predictor(Hungry(0), window_batch=4), cases, tmp_path / "out", say=lambda line: None
    )
    assert len(report.failures) == 3
    assert "too little memory" in report.failures[0].reason


def test_predicting_an_array_is_predicting_its_file(tmp_path, cases):
    report = save_cases(cases_predictor(), cases[:1], tmp_path / "out")
    volume = read_volume(cases[0].images)
    straight = cases_predictor().predict(volume.voxels, volume.frame.spacing)
    np.testing.assert_array_equal(read_label(report.written[0]).voxels[0], straight)


def test_several_windows_at_a_time_give_the_same_answer(cases):
    volume = read_volume(cases[0].images)
    one = cases_predictor(window_batch=1)
    several = dataclasses.replace(one, window_batch=5)
    np.testing.assert_array_equal(*(p.predict(volume.voxels, volume.frame.spacing) for p in (one, several)))
