"""Maps of probabilities lie on the image's own voxels, agree with the label, and appear whole or not."""

import numpy as np
import pytest
import SimpleITK
import torch
from oracles import Oracle, cases_predictor, plan, write_ball
from oracles import predictor as made
from torch import nn

from ingradient_pl.inference.predict_cases import save_cases
from ingradient_pl.task import Task


@pytest.mark.parametrize("direction", [None, (0, 1, 0, 0, 0, -1, -1, 0, 0)])
def test_maps_are_those_of_the_label_on_the_axes_of_the_file(tmp_path, direction):
    case = write_ball(tmp_path, "case", direction=direction)
    report = save_cases(cases_predictor(), [case], tmp_path / "out", probabilities=True)
    with np.load(tmp_path / "out" / "case.npz") as file:
        maps = file["probabilities"]
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(report.written[0])))
    assert maps.dtype == np.float16
    assert maps.shape == (2, *label.shape)
    np.testing.assert_allclose(maps.astype(np.float32).sum(0), 1, atol=2e-3)
    certain = np.abs(maps[1].astype(np.float32) - 0.5) > 1e-3
    np.testing.assert_array_equal((maps[1] > 0.5)[certain], (label == 1)[certain])
    assert certain.mean() > 0.99
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case.nii.gz", "case.npz"]


def test_what_was_cut_off_is_background():
    image = np.zeros((1, 30, 20, 20), np.float32)
    image[:, 5:25, 2:18, 2:18] = 60
    maps = np.empty((2, 30, 20, 20), np.float32)
    label = made(plan(spacing=(1.0, 1.0, 1.0))).predict(image, (1.0, 1.0, 1.0), maps)
    assert (maps[0, :5] == 1).all()
    assert (maps[1, :5] == 0).all()
    np.testing.assert_array_equal(label == 1, maps[1] > 0.5)


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
def test_regions_have_a_probability_each(transpose):
    class Rings(nn.Module):
        def forward(self, image):
            return torch.cat([image - 20, image - 60], dim=1)

    image = np.random.default_rng(0).uniform(1, 90, (1, 12, 14, 16)).astype(np.float32)
    task = Task(("CT",), {"background": 0, "whole": (1, 2), "core": (2,)}, (1, 2))
    maps = np.empty((2, 12, 14, 16), np.float32)
    settings = plan(spacing=(1.0, 1.0, 1.0), transpose=transpose)
    made(settings, task, Rings()).predict(image, (1.0, 1.0, 1.0), maps)
    expected = torch.from_numpy(np.concatenate([image - 20, image - 60])).sigmoid().numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-4)


def test_a_label_without_its_maps_is_not_finished(tmp_path):
    case = write_ball(tmp_path, "case")
    save_cases(cases_predictor(), [case], tmp_path / "out")
    assert save_cases(cases_predictor(), [case], tmp_path / "out", resume=True).skipped == ["case"]
    again = save_cases(cases_predictor(), [case], tmp_path / "out", resume=True, probabilities=True)
    assert again.skipped == []
    assert save_cases(cases_predictor(), [case], tmp_path / "out", resume=True, probabilities=True).skipped


def test_a_fault_while_maps_are_written_leaves_nothing(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.lib.format.write_array_header_1_0", broken)
    case = write_ball(tmp_path, "case")
    with pytest.raises(OSError, match="No space left"):
        save_cases(
            cases_predictor(Oracle()), [case], tmp_path / "out", probabilities=True, say=lambda line: None
        )
    assert not list((tmp_path / "out").iterdir())
