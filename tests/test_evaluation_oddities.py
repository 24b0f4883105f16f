"""What makes scores mean less than they seem is said: predictions that are mirrored, empty, copied."""

import json
from itertools import permutations, product

import numpy as np
import pytest
from made_raw import label, save

import ingradient_pl as ip
from ingradient_pl.images.packed_masks import pack_integers
from ingradient_pl.metrics.evaluation_oddities import find_turn
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "ignore": 7})


def lopsided(shape=(9, 9, 9)):
    made = np.zeros(shape, np.uint8)
    made[1:3, 1:5, 1:3], made[1:2, 5:7, 1:2] = 1, 2
    return made


@pytest.mark.parametrize("flips", [flips for flips in product((0, 1), repeat=3) if any(flips)])
def test_a_mirrored_prediction_says_along_which_axes(flips):
    truth = lopsided()
    axes = [axis for axis in range(3) if flips[axis]]
    along = f"1.00 mirrored along {' and '.join('zyx'[axis] for axis in axes)}"
    assert find_turn(np.flip(truth, axes), truth).endswith(along)
    packed = pack_integers(truth, [(1, 2), (2,), *[()] * 7, (1,)])  # labels that overlap, in two planes
    assert find_turn(np.flip(packed, [axis + 1 for axis in axes]), packed).endswith(along)
    assert not find_turn(packed, packed)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_a_transposed_prediction_says_in_which_order(order):
    truth = np.zeros((9, 9, 9), np.uint8)
    truth[1:8, 4:6, 4] = 1
    truth[1, 4, 5] = 2
    found = truth.transpose(np.argsort(order))
    assert not find_turn(truth, truth)
    if (found == truth).mean() < 1 and find_turn(found, truth):
        assert "1.00 " in find_turn(found, truth)


@pytest.mark.parametrize(
    ("found", "truth"),
    [
        (lopsided(), lopsided()),
        (np.zeros_like(lopsided()), lopsided()),
        (lopsided(), np.zeros_like(lopsided())),
        (np.roll(lopsided(), 5, 1), lopsided()),
        (
            np.random.default_rng(0).integers(0, 3, (9, 9, 9)),
            np.random.default_rng(1).integers(0, 3, (9, 9, 9)),
        ),
    ],
)
def test_a_prediction_that_is_bad_either_way_says_nothing(found, truth):
    assert not find_turn(found, truth)


def folders(tmp_path, cases=3):
    for case in range(cases):
        for place in ("labels", "predictions"):
            save(tmp_path / place / f"case{case}.nii.gz", label(case))
    voxels = label(0)
    voxels[2, 3, 3] = 0
    save(tmp_path / "predictions/case0.nii.gz", voxels)
    return tmp_path / "predictions", tmp_path / "labels"


def test_odd_predictions_are_in_the_report(tmp_path):
    predictions, labels = folders(tmp_path)
    assert not ip.evaluate(predictions, labels, dataset=TASK).remarks
    leaves_out = label(0)
    leaves_out[0] = 7
    save(predictions / "case0.nii.gz", leaves_out)
    save(predictions / "case1.nii.gz", np.zeros_like(label(1)))
    beside = label(2)
    beside[3:] = 0
    save(labels / "case2.nii.gz", beside)
    save(predictions / "case2.nii.gz", beside[::-1].copy())
    found = ip.evaluate(predictions, labels, output=tmp_path / "report.json", dataset=TASK)
    remarks = json.loads((tmp_path / "report.json").read_text())["remarks"]
    assert remarks == found.remarks
    empty, ignored, turned = remarks
    assert empty == "1 of 3 predictions hold no label at all, where their references do: case1."
    assert f"{predictions / 'case0.nii.gz'}: {12 * 8} voxels hold 7" in ignored
    assert f"{predictions / 'case2.nii.gz'}: its foreground has a Dice of" in turned
    assert "mirrored along x" in turned


def test_voxels_that_the_reference_ignores_may_be_anything(tmp_path):
    predictions, labels = folders(tmp_path)
    for place in (predictions, labels):
        voxels = label(1)
        voxels[0] = 7
        save(place / "case1.nii.gz", voxels)
    assert not ip.evaluate(predictions, labels, dataset=TASK).remarks


def test_predictions_that_are_the_labels_are_said_to_be(tmp_path, capsys):
    predictions, labels = folders(tmp_path)
    ip.evaluate(labels, labels, dataset=TASK)
    assert "3 of 3 predictions are the files that they were held against" in capsys.readouterr().out
    save(predictions / "case0.nii.gz", label(0))
    ip.evaluate(predictions, labels, dataset=TASK)
    assert "Every prediction equals its reference, voxel by voxel" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["Case1", "case1_0000", "case1_seg", "CASE1_pred"])
def test_a_prediction_under_another_name_says_which_label_may_be_its(tmp_path, name):
    predictions, labels = folders(tmp_path)
    (predictions / "case1.nii.gz").rename(predictions / f"{name}.nii.gz")
    with pytest.raises(ValueError, match=r"has no label in .*labels\. Is it 'case1'\?"):
        ip.evaluate(predictions, labels, dataset=TASK)


def test_a_file_in_the_place_of_predictions_is_said_to_be_one(tmp_path):
    predictions, labels = folders(tmp_path)
    with pytest.raises(ValueError, match=r"is a file\. Name the folder"):
        ip.evaluate(predictions / "case0.nii.gz", labels)


def scored(tmp_path, name, **changed):
    """A summary of four cases; ``changed`` holds what other numbers some of them have."""
    cases = []
    for case in range(4):
        labels = {"1": {"Dice": 0.9, "n_ref": 50}, "2": {"Dice": 0.5, "n_ref": 5}}
        for label_, numbers in changed.get(f"case{case}", {}).items():
            labels[label_] |= numbers
        cases.append({"prediction_file": f"/p/case{case}.nii.gz", "metrics": labels})
    (tmp_path / name).write_text(json.dumps({"metric_per_case": cases}))
    return tmp_path / name


def test_the_mean_of_labels_is_over_what_both_runs_scored(tmp_path):
    first = scored(tmp_path, "first.json")
    second = scored(tmp_path, "second.json", case1={"2": {"Dice": float("nan")}})
    mean = ip.compare(first, second).rows[-1]
    assert (mean.first, mean.second, mean.difference) == (pytest.approx(0.75), pytest.approx(0.75), 0)
    for one, other in ((first, second), (second, first)):
        assert not ip.compare(one, other).remarks


def test_runs_that_were_scored_against_other_labels_are_told(tmp_path, capsys):
    first = scored(tmp_path, "first.json")
    second = scored(tmp_path, "second.json", case2={"1": {"n_ref": 51}})
    ip.compare(first, second, output=tmp_path / "compared.json")
    assert "Note: The references of 1 of 4 cases hold another number of voxels" in capsys.readouterr().out
    assert "(case2)" in json.loads((tmp_path / "compared.json").read_text())["remarks"][0]
