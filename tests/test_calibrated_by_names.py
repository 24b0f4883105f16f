"""What a model is calibrated on: labels by their names, and only those that somebody annotated."""

import json
import shutil

import numpy as np
import pytest
from tiny_models import network, plan

import ingradient_pl as ip
from ingradient_pl.commands.calibrate import Truth, _by_output, _find_dice
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.images.formats import read_label, write_label
from ingradient_pl.inference import checkpoint
from ingradient_pl.messages import UsageError
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})
REGIONS = Task(("MR",), {"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
CASES = ["phantom_000", "phantom_001", "phantom_002"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("raw"), 3, (12, 14, 10), (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "model.ckpt"
    checkpoint.write(file, network(outputs=3), plan(outputs=3), TASK)
    return file


def renumbered(raw, folder, table=(0, 1, 2), **described):
    """Copy a data set, its integers by a table, its description changed."""
    shutil.copytree(raw, folder)
    for file in (folder / "labelsTr").iterdir():
        found = read_label(file)
        write_label(file, np.array(table, np.uint8)[found.voxels[0]], found)
    told = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**told, **described}))
    return folder


def calibrated(model, source, folder, cases=CASES):
    return ip.calibrate(model, source, folder / "calibrated.ckpt", cases, mirror=False, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize(
    ("table", "labels"),
    [
        ((0, 2, 1), {"background": 0, "lesion": 1, "organ": 2}),
        ((0, 7, 3), {"background": 0, "organ": 7, "lesion": 3}),
    ],
)
def test_labels_are_read_by_their_names(raw, model, tmp_path, stored, table, labels):
    source = renumbered(raw, tmp_path / "other", table, labels=labels)
    if stored:
        ip.prepare(source, tmp_path / "store")
        source = tmp_path / "store"
    found, plain = calibrated(model, source, tmp_path), calibrated(model, raw, tmp_path)
    assert found.pairs == plain.pairs
    assert (found.error_before, found.calibration) == (plain.error_before, plain.calibration)


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("names", [("organ", "lesion"), ("liver", "tumour")])
def test_labels_that_share_no_name_with_the_models_are_told(raw, model, tmp_path, capsys, stored, names):
    source = renumbered(raw, tmp_path / "other", labels={"background": 0, names[0]: 1, names[1]: 2})
    if stored:
        ip.prepare(source, tmp_path / "store")
        source = tmp_path / "store"
    calibrated(model, source, tmp_path)
    ip.predict(model, source, only=CASES[:2], mirror=False, device="cpu")
    lists = "references ('liver', 'tumour') share no name with those of the predictions ('organ', 'lesion')"
    assert capsys.readouterr().out.count(lists) == 2 * ("liver" in names)


@pytest.mark.slow
def test_cases_that_annotate_some_labels_only_are_left_out(raw, model, tmp_path, capsys):
    partly = renumbered(raw, tmp_path / "partly", annotated={CASES[1]: ["organ"]})
    found = calibrated(model, partly, tmp_path)
    assert f"1 case left out, which annotate some labels only: {CASES[1]}" in capsys.readouterr().out
    assert found.pairs == calibrated(model, raw, tmp_path, [CASES[0], CASES[2]]).pairs


@pytest.mark.parametrize(
    ("table", "described"),
    [
        ((0, 1, 2), {"annotated": {name: ["organ"] for name in CASES}}),
        ((0, 1, 0), {"labels": {"background": 0, "organ": 1}}),
    ],
)
def test_cases_none_of_which_knows_all_labels_are_refused(raw, model, tmp_path, table, described):
    source = renumbered(raw, tmp_path / "partly", table, **described)
    with pytest.raises(UsageError, match=r"No case of .* annotates all of organ, lesion"):
        calibrated(model, source, tmp_path)


@pytest.mark.parametrize("names", [("whole",), ("core",), ("whole", "core")])
def test_regions_that_were_not_annotated_count_nowhere(names):
    label = np.array([0, 1, 2, 2], np.uint8).reshape(1, 2, 2)
    shares = np.linspace(0.1, 0.8, 8, dtype=np.float32).reshape(2, 1, 2, 2)
    truth = Truth(label, names)
    found, right = _by_output(shares, truth, REGIONS)
    numbers = [["whole", "core"].index(name) for name in names]
    np.testing.assert_allclose(found[0].ravel(), np.concatenate([shares[one].ravel() for one in numbers]))
    regions = [label > 0, label > 1]
    np.testing.assert_array_equal(right[0].ravel(), np.concatenate([regions[one].ravel() for one in numbers]))
    assert set(_find_dice(label, truth, REGIONS)) == set(names)
