"""Scores are nnU-Net's, whatever files they come from; what cannot be compared is named."""

import csv
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

import ingradient_pl as ip
from ingradient_pl.messages import UsageError
from ingradient_pl.metrics.agreement import Counts, count_agreement
from ingradient_pl.metrics.evaluation import EvaluationError, evaluate, scored_labels
from ingradient_pl.metrics.evaluation_interval import Bootstrap, interval
from ingradient_pl.metrics.evaluation_report import summary, table, write_csv, write_summary
from ingradient_pl.metrics.lesions import LesionDetection
from ingradient_pl.metrics.surface import SurfaceDistances
from ingradient_pl.task import Task
from ingradient_pl.workers.threads import Threads

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})


def write(path, array, spacing=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 0.0)):
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    path.parent.mkdir(exist_ok=True, parents=True)
    SimpleITK.WriteImage(image, os.fspath(path))
    return path


def random_labels(seed, shape=(6, 7, 8), values=3):
    return np.random.default_rng(seed).integers(0, values, shape).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    for case in range(3):
        write(tmp_path / "predictions" / f"case_{case}.nii.gz", random_labels(case))
        write(tmp_path / "labels" / f"case_{case}.nii.gz", random_labels(case + 10))
    return tmp_path / "predictions", tmp_path / "labels"


def by_hand(prediction, reference, seen):
    tp = int((prediction & reference & seen).sum())
    fp = int((prediction & ~reference & seen).sum())
    fn = int((~prediction & reference & seen).sum())
    return Counts(tp, fp, fn, int(seen.sum()) - tp - fp - fn)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_counts_are_those_of_masks_compared_by_hand(dtype):
    prediction, reference = (random_labels(seed, values=5).astype(dtype) for seed in (0, 1))
    for ignore in (None, 4):
        seen = reference != (99 if ignore is None else ignore)
        for label, counts in count_agreement(prediction, reference, [1, 3, (1, 2), 9], ignore).items():
            masks = [np.isin(array, label) for array in (prediction, reference)]
            assert counts == by_hand(*masks, seen), label


def test_a_label_that_is_nowhere_has_no_dice():
    nothing = np.zeros((2, 2, 2), dtype=np.uint8)
    counts = count_agreement(nothing, nothing, [1])[1]
    assert math.isnan(counts.dice)
    assert math.isnan(counts.iou)
    assert counts.tn == 8


def test_the_summary_has_nnunets_keys_and_leaves_missing_scores_out_of_means(folders):
    predictions, labels = folders
    for folder in folders:  # a case without the lesion anywhere
        write(folder / "case_9.nii.gz", np.minimum(random_labels(3), 1))
    evaluation = evaluate(predictions, labels, TASK)
    written = summary(evaluation)
    assert set(written) == {"foreground_mean", "mean", "metric_per_case"}
    assert set(written["mean"]) == {"1", "2"}
    assert set(written["mean"]["1"]) == {"Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"}
    dice = [case["metrics"]["2"]["Dice"] for case in written["metric_per_case"]]
    assert math.isnan(dice[-1])
    assert written["mean"]["2"]["Dice"] == pytest.approx(np.mean(dice[:3]))
    assert written["foreground_mean"]["Dice"] == pytest.approx(
        np.mean([written["mean"][label]["Dice"] for label in "12"])
    )


def test_regions_are_named_as_nnunet_names_them(folders):
    task = Task(("MR",), {"background": 0, "whole": (1, 2), "core": 2}, (1, 2))
    assert scored_labels(task) == {(1, 2): "whole", 2: "core"}
    written = summary(evaluate(*folders, task))
    assert set(written["mean"]) == {"(1, 2)", "2"}
    whole = written["metric_per_case"][0]["metrics"]["(1, 2)"]
    assert whole["n_pred"] == int((random_labels(0) > 0).sum())


def test_how_a_file_is_stored_does_not_matter(folders):
    predictions, labels = folders
    before = evaluate(predictions, labels, TASK).cases[0].scores
    image = SimpleITK.ReadImage(os.fspath(predictions / "case_0.nii.gz"))
    (predictions / "case_0.nii.gz").unlink()
    turned = SimpleITK.Flip(SimpleITK.PermuteAxes(image, (2, 0, 1)), (True, False, True))
    SimpleITK.WriteImage(turned, os.fspath(predictions / "case_0.nrrd"))
    assert evaluate(predictions, labels, TASK).cases[0].scores == before


def test_labels_without_prediction_are_named_and_a_fault_where_all_are_asked_for(folders):
    predictions, labels = folders
    (predictions / "case_1.nii.gz").unlink()
    evaluation = evaluate(predictions, labels, TASK)
    assert evaluation.skipped == ["case_1"]
    assert "1 label without a prediction: case_1" in table(evaluation)
    with pytest.raises(EvaluationError, match=r"case_1.nii.gz has no prediction"):
        evaluate(predictions, labels, TASK, complete=True)


def test_every_fault_is_reported_at_once(folders):
    predictions, labels = folders
    write(predictions / "case_0.nii.gz", random_labels(0, shape=(6, 7, 9)))
    write(predictions / "case_1.nii.gz", random_labels(1), origin=(5.0, 0.0, 0.0))
    write(predictions / "case_2.nii.gz", random_labels(2).astype(np.float32) + 0.5)
    with pytest.raises(EvaluationError) as caught:
        evaluate(predictions, labels, TASK)
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 of 3 cases cannot be scored:"
    assert "(6, 7, 9) differs from (6, 7, 8)" in lines[1]
    assert "differs (corners up to 5 mm apart" in lines[2]
    assert "must be integers" in lines[3]


def test_voxels_can_be_compared_whatever_the_headers_say(folders):
    predictions, labels = folders
    write(predictions / "case_1.nii.gz", random_labels(1), origin=(5.0, 0.0, 0.0))
    assert len(evaluate(predictions, labels, TASK, same_space=False).cases) == 3


def test_predictions_without_label_and_empty_folders_are_named(folders, tmp_path):
    predictions, labels = folders
    (labels / "case_0.nii.gz").unlink()
    with pytest.raises(EvaluationError, match=r"case_0.nii.gz has no label in"):
        evaluate(predictions, labels, TASK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="nothing to work on"):
        evaluate(tmp_path / "empty", labels, TASK)
    with pytest.raises(EvaluationError, match="no folder"):
        evaluate(tmp_path / "gone", labels, TASK)


def test_further_measures_see_masks_and_millimetres(folders):
    seen = []

    def volume(prediction, reference, spacing):
        seen.append(spacing)
        return {"volume_mm3": float(prediction.sum() * math.prod(spacing))}

    evaluation = evaluate(*folders, TASK, measures=[volume])
    first = evaluation.cases[0].scores[1]
    assert first["volume_mm3"] == first["n_pred"] * 2
    assert set(seen) == {(2.0, 1.0, 1.0)}


def test_reports_are_written_whole(folders, tmp_path):
    evaluation = evaluate(*folders, TASK)
    write_summary(evaluation, tmp_path / "out" / "summary.json")
    write_csv(evaluation, tmp_path / "out" / "summary.csv")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["summary.csv", "summary.json"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary(evaluation)
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert float(rows[0]["Dice"]) == evaluation.cases[0].scores[1]["Dice"]
    text = table(evaluation)
    assert "organ (1)" in text
    assert "case_2" in text


@pytest.mark.real
def test_nnunets_own_summary_is_met_to_the_last_digit(hippocampus: Path, reference_model: Path):
    task = Task(("MRI",), {"background": 0, "Anterior": 1, "Posterior": 2})
    ours = summary(evaluate(reference_model / "fold_0" / "validation", hippocampus / "labelsTr", task))
    theirs = json.loads((reference_model / "fold_0" / "validation" / "summary.json").read_text())
    for key in ("foreground_mean",):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-6)
    for label in "12":
        assert ours["mean"][label] == pytest.approx(theirs["mean"][label], abs=1e-6)
    cases = {Path(case["prediction_file"]).name: case["metrics"] for case in ours["metric_per_case"]}
    assert len(cases) == len(theirs["metric_per_case"]) == 40
    for case in theirs["metric_per_case"]:
        for label in "12":
            mine = cases[Path(case["prediction_file"]).name][label]
            assert mine == pytest.approx(case["metrics"][label], abs=1e-6)


def test_further_scores_stand_beside_nnunets_in_the_summary_and_the_csv(folders, tmp_path):
    plain = evaluate(*folders, TASK)
    rich = evaluate(*folders, TASK, measures=[SurfaceDistances(1.0), LesionDetection()])
    for before, after in zip(plain.cases, rich.cases, strict=True):
        for label, numbers in before.scores.items():
            assert after.scores[label].items() >= numbers.items()
            assert {"HD95", "ASSD", "NSD", "lesion_F1", "lesions_false"} <= after.scores[label].keys()
    write_csv(rich, tmp_path / "scores.csv")
    first = next(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert float(first["NSD"]) == rich.cases[0].scores[1]["NSD"]


def test_the_interval_of_a_mean_comes_from_its_seed_and_holds_the_mean(folders):
    evaluation = evaluate(*folders, TASK)
    written, again = (summary(evaluation, np.random.default_rng(0)) for _ in range(2))
    assert written == again
    assert {key: written[key] for key in written if key not in ("spread", "labels")} == summary(evaluation)
    assert written["labels"] == {str(label): name for label, name in evaluation.labels.items()}
    for label in "12":
        spread, dice = written["spread"]["mean"][label]["Dice"], written["mean"][label]["Dice"]
        assert spread["low"] <= dice <= spread["high"]
    whole = written["spread"]["foreground_mean"]["Dice"]
    assert whole["low"] <= written["foreground_mean"]["Dice"] <= whole["high"]
    text = table(evaluation, rng=np.random.default_rng(0))
    assert f"{written['spread']['mean']['1']['Dice']['low']:.4f}" in text
    assert "95 % low" in text


def test_the_interval_is_as_wide_as_statistics_says():
    values = np.random.default_rng(3).normal(0.8, 0.1, (100, 1))
    low, high = interval(Bootstrap.of(100, np.random.default_rng(0)).means(values)[:, 0])
    assert (low, high) != interval(Bootstrap.of(100, np.random.default_rng(1)).means(values)[:, 0])
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)


def test_intervals_leave_out_what_does_not_exist_and_keep_what_is_infinite():
    values = np.array([[0.5, math.nan, math.inf], [0.7, math.nan, 1.0]])
    means = Bootstrap.of(2, np.random.default_rng(0)).means(values)
    assert interval(means[:, 0]) == (0.5, 0.7)
    assert all(map(math.isnan, interval(means[:, 1])))
    assert interval(means[:, 2]) == (1.0, math.inf)


def test_a_missed_label_leaves_the_report_whole(folders):
    write(folders[0] / "case_1.nii.gz", np.zeros((6, 7, 8), dtype=np.uint8))
    evaluation = evaluate(*folders, TASK, measures=[SurfaceDistances()])
    written = summary(evaluation, np.random.default_rng(0))
    assert written["mean"]["1"]["HD95"] == math.inf
    assert math.isnan(written["spread"]["mean"]["1"]["HD95"]["std"])
    assert "inf" in table(evaluation, "HD95", rng=np.random.default_rng(0))


def test_measures_see_no_more_than_the_label_and_find_the_same(folders):
    shapes = []

    def looked(prediction, reference, spacing):
        shapes.append(prediction.shape)
        return {}

    task = Task(("MR",), {"background": 0, "both": (1, 2), "two": 2, "nowhere": 9}, (1, 2, 9))
    for folder, start in zip(folders, (1, 3), strict=True):
        label = np.zeros((6, 7, 8), dtype=np.uint8)
        label[1:3, start : start + 2, 2:4] = 2
        write(folder / "case_0.nii.gz", label)
    measures = [looked, SurfaceDistances(), LesionDetection()]
    scores = (
        evaluate(*folders, task, measures=measures, pool=Threads(1)).cases[0].scores
    )  # one after the other
    assert shapes[:3] == [(2, 4, 2), (2, 4, 2), (1, 1, 1)]
    whole = [np.pad(np.ones((2, 2, 2), bool), ((1, 3), (start, 5 - start), (2, 4))) for start in (1, 3)]
    assert scores[2]["ASSD"] == SurfaceDistances()(*whole, (2.0, 1.0, 1.0))["ASSD"]
    assert scores[2]["lesions_false"] == 1
    assert math.isnan(scores[9]["HD95"])


@pytest.mark.parametrize("slices", [1, 2, 5])
@pytest.mark.parametrize("axis", range(3))
def test_what_is_flat_is_measured_as_in_its_whole_image(tmp_path, axis, slices):
    """A label of one slice: in a 2D image its outline counts, in a volume all of it, wherever it lies."""
    task, arrays = Task(("MR",), {"background": 0, "organ": 1}), []
    for folder, start in (("predictions", 4), ("labels", 7)):
        label = np.zeros((slices, 30, 30), dtype=np.uint8)
        label[slices // 2, start : start + 15, 5:20] = 1
        arrays.append(np.moveaxis(label, 0, axis))
        write(tmp_path / folder / "case.nii.gz", arrays[-1], (1.0, 1.0, 1.0))
    found = evaluate(tmp_path / "predictions", tmp_path / "labels", task, measures=[SurfaceDistances()])
    whole = SurfaceDistances()(*(label == 1 for label in arrays), (1.0, 1.0, 1.0))
    scores = found.cases[0].scores[1]
    assert {name: scores[name] for name in whole} == pytest.approx(whole)
    assert (whole["ASSD"] > 1) == (slices == 1)


def described(folder, **labels):
    plain = {"channel_names": {"0": "MR"}, "labels": {"background": 0, **labels}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(plain))


@pytest.mark.parametrize("beside", ["labels", "above"])
def test_one_name_of_two_integers_is_refused(folders, tmp_path, beside):
    predictions, labels = folders
    described(predictions, organ=1, lesion=2)
    described(labels if beside == "labels" else tmp_path, organ=2, lesion=1)
    with pytest.raises(UsageError, match=r"'organ' is 1, .*dataset\.json says 2.*--dataset FILE"):
        ip.evaluate(predictions, labels)
    assert len(ip.evaluate(predictions, labels, dataset=predictions / "dataset.json").cases) == 3
    described(labels if beside == "labels" else tmp_path, organ=1, other=2)
    assert len(ip.evaluate(predictions, labels).cases) == 3


def test_what_makes_scores_mean_less_is_in_the_report(folders, tmp_path):
    predictions, labels = folders
    rounded = random_labels(11).astype(np.float32) - 0.0001
    write(labels / "case_1.nii.gz", rounded)
    write(labels / "case_8.nii.gz", random_labels(8))
    write(predictions / "case_2.nii.gz", random_labels(2, values=5))
    described(labels, organ=1, lesion=2)
    ip.evaluate(predictions, labels, output=tmp_path / "report.json")
    remarks = json.loads((tmp_path / "report.json").read_text())["remarks"]
    for words in (
        "case_1.nii.gz: 336 labels are integers but for rounding",
        "hold the integer 3",
        "integer 4",
    ):
        assert sum(words in remark for remark in remarks) == 1, words
    assert remarks[-1] == "1 label without a prediction: case_8"
    write(labels / "case_1.nii.gz", random_labels(11))
    clean = summary(evaluate(predictions, predictions, Task(("MR",), {f"l{n}": n for n in range(1, 5)})))
    assert "remarks" not in clean


@pytest.mark.parametrize(
    "measure", [math.sqrt, lambda found, truth, mm: 3.0, lambda found, truth, mm: {}["x"]]
)
def test_a_measure_that_fails_is_named_with_the_case(folders, measure):
    name = measure.__name__
    with pytest.raises(
        EvaluationError, match=rf"The measure {name} failed on case_\d \((TypeError|KeyError)"
    ):
        evaluate(*folders, TASK, measures=[measure])


def test_two_reports_do_not_share_a_file(folders, tmp_path):
    same = tmp_path / "x" / ".." / "a.json"
    with pytest.raises(UsageError, match="give two files"):
        ip.evaluate(*folders, dataset=TASK, output=tmp_path / "a.json", csv=same)


def test_references_that_somebody_predicted_are_told(folders, capsys):
    predictions, labels = folders
    record = {**TASK.described, "written_by": "ingradient_pl predict", "answers": {}}
    (labels / "dataset.json").write_text(json.dumps(record))
    ip.evaluate(predictions, labels, dataset=TASK)
    assert "holds what predict wrote" in capsys.readouterr().out
    ip.evaluate(labels, predictions, dataset=TASK)
    assert "holds segmentations" not in capsys.readouterr().out
