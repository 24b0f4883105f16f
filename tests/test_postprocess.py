"""Post-processing removes and fills what it says, on any voxels, and is learned by nnU-Net's rule."""

import json

import numpy as np
import pytest
import SimpleITK
from oracles import Oracle, plan

from ingradient_pl.cli.main import main
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference import postprocess
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.learn_postprocess import learn
from ingradient_pl.inference.postprocess import (
    FillHoles,
    LargestComponent,
    PostprocessError,
    SmallestSize,
    Steps,
    read_steps,
    write_steps,
)
from ingradient_pl.inference.postprocess_folder import process_folder
from ingradient_pl.inference.predict_cases import save_cases, score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.task import Task

ONE = (1.0, 1.0, 1.0)
TASK = Task(("CT",), {"background": 0, "organ": 1, "vessel": 2})


def cubes(*cubes, shape=(16, 20, 24)):
    """A label map of cubes: (value, start, edge) each."""
    label = np.zeros(shape, dtype=np.uint8)
    for value, (z, y, x), edge in cubes:
        label[z : z + edge, y : y + edge, x : x + edge] = value
    return label


BIG_1, BIG_2, SMALL_1, SMALL_2 = (
    (1, (1, 1, 1), 5),
    (2, (1, 6, 1), 4),
    (1, (10, 1, 1), 2),
    (2, (10, 10, 10), 3),
)
MIXED = cubes(BIG_1, BIG_2, SMALL_1, SMALL_2)


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (LargestComponent(), [BIG_1, BIG_2]),
        (LargestComponent(together=True), [BIG_1, BIG_2]),
        (LargestComponent(labels=(2,)), [BIG_1, BIG_2, SMALL_1]),
        (LargestComponent(labels=(7,)), [BIG_1, BIG_2, SMALL_1, SMALL_2]),
        (SmallestSize(voxels=27), [BIG_1, BIG_2, SMALL_2]),
        (SmallestSize(voxels=28), [BIG_1, BIG_2]),
        (SmallestSize(voxels=65), [BIG_1]),
        (SmallestSize(voxels=65, together=True), [BIG_1, BIG_2]),
        (SmallestSize(voxels=65, labels=(1,)), [BIG_1, BIG_2, SMALL_2]),
    ],
    ids=str,
)
def test_pieces_go_by_the_rule_and_all_else_stays(step, left):
    before = MIXED.copy()
    np.testing.assert_array_equal(step(MIXED, ONE), cubes(*left))
    np.testing.assert_array_equal(MIXED, before)
    np.testing.assert_array_equal(step(step(MIXED, ONE), ONE), step(MIXED, ONE))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_type_of_the_integers_stays(dtype):
    for step in (LargestComponent(), SmallestSize(voxels=3), FillHoles(), Steps((LargestComponent(),))):
        assert step(MIXED.astype(dtype), ONE).dtype == dtype


def test_a_size_in_mm3_counts_the_voxels_of_each_case():
    step = SmallestSize(mm3=27 * 1.5)
    np.testing.assert_array_equal(step(MIXED, (3.0, 0.5, 1.0)), cubes(BIG_1, BIG_2, SMALL_2))
    np.testing.assert_array_equal(step(MIXED, ONE), cubes(BIG_1, BIG_2))


def test_pieces_of_equal_size_all_stay():
    twins = cubes((1, (1, 1, 1), 2), (1, (8, 8, 8), 2))
    np.testing.assert_array_equal(LargestComponent()(twins, ONE), twins)


def test_holes_are_filled_and_bays_and_other_labels_are_not():
    solid = cubes((1, (2, 2, 2), 10))
    hollow = solid.copy()
    hollow[5:7, 5:7, 5:7] = 0
    np.testing.assert_array_equal(FillHoles()(hollow, ONE), solid)
    np.testing.assert_array_equal(FillHoles(labels=(2,))(hollow, ONE), hollow)
    bay = solid.copy()
    bay[2:7, 5:7, 5:7] = 0
    np.testing.assert_array_equal(FillHoles()(bay, ONE), bay)
    filled = hollow.copy()
    filled[5, 5, 5] = 2
    expected = solid.copy()
    expected[5, 5, 5] = 2
    np.testing.assert_array_equal(FillHoles()(filled, ONE), expected)


@pytest.mark.parametrize("slices", [1, 3])
@pytest.mark.parametrize("axis", range(3))
def test_a_hole_of_a_single_slice_is_one_in_2d_and_none_in_a_volume(axis, slices):
    ring, disc = np.zeros((2, 12, 12), dtype=np.uint8)
    disc[2:9, 3:10] = 1
    ring[:] = disc
    ring[4:7, 5:7] = 0
    volumes = []
    for flat in (ring, disc):
        volume = np.zeros((slices, 12, 12), dtype=np.uint8)
        volume[slices // 2] = flat
        volumes.append(np.moveaxis(volume, 0, axis))
    np.testing.assert_array_equal(FillHoles()(volumes[0], ONE), volumes[slices == 1])


def test_nothing_in_nothing_out():
    nothing = np.zeros((4, 5, 6), dtype=np.uint8)
    for step in (LargestComponent(), LargestComponent(together=True), SmallestSize(mm3=3), FillHoles()):
        np.testing.assert_array_equal(step(nothing, ONE), nothing)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SmallestSize(), "one positive size"),
        (lambda: SmallestSize(mm3=1.0, voxels=1), "one positive size"),
        (lambda: SmallestSize(voxels=0), "one positive size"),
        (lambda: LargestComponent(labels=(0,)), "above 0"),
        (lambda: FillHoles(labels=(1, -2)), "above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_steps_are_written_and_read_as_they_were(tmp_path):
    steps = Steps((LargestComponent(together=True), SmallestSize(mm3=12.5, labels=(1, 3)), FillHoles()))
    write_steps(tmp_path / "steps.yaml", steps, ["learned on 3 cases"])
    assert read_steps(tmp_path / "steps.yaml") == steps
    assert "# learned on 3 cases" in (tmp_path / "steps.yaml").read_text()
    write_steps(tmp_path / "none.yaml", Steps())
    assert read_steps(tmp_path / "none.yaml") == Steps()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []", "must hold a list"),
        ("- 3", "must hold a list"),
        ("- _target_: os.system\n  command: ls", "trusted"),
        ("- _target_: ingradient_pl.inference.postprocess.LargestComponents", "cannot be found"),
        ("- _target_: ingradient_pl.inference.postprocess.FillHoles\n  label: [1]", "label"),
        ("- labels: [1]", "is not a step"),
        ("- [", "not YAML"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(tmp_path, text, said):
    (tmp_path / "steps.yaml").write_text(text)
    with pytest.raises(PostprocessError, match=rf"(?s)steps\.yaml.*{said}"):
        read_steps(tmp_path / "steps.yaml")


def write(path, array, spacing=(1.0, 1.0, 1.0)):
    path.parent.mkdir(exist_ok=True, parents=True)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path))


def folders(tmp_path, pairs):
    for number, (prediction, label) in enumerate(pairs):
        write(tmp_path / "predictions" / f"case_{number}.nii.gz", prediction)
        write(tmp_path / "labels" / f"case_{number}.nii.gz", label)
    (tmp_path / "labels" / "dataset.json").write_text(json.dumps(TASK.described))
    return tmp_path / "predictions", tmp_path / "labels"


TRUTH = cubes(BIG_1, BIG_2)


def test_all_foreground_is_learned_where_no_label_loses(tmp_path):
    """Stray pieces of both labels, far off: one step for all foreground mends them."""
    learned = learn(*folders(tmp_path, [(MIXED, TRUTH)] * 2), TASK)
    assert learned.steps == Steps((LargestComponent(together=True),))
    assert [trial.kept for trial in learned.trials] == [True, False, False]
    assert learned.trials[0].after == 1


def test_a_label_that_really_has_two_pieces_keeps_them(tmp_path):
    """The vessel has a piece far off: all foreground is refused, the organ alone is accepted."""
    learned = learn(*folders(tmp_path, [(MIXED, cubes(BIG_1, BIG_2, SMALL_2))]), TASK)
    assert learned.steps == Steps((LargestComponent((1,)),))
    assert [trial.kept for trial in learned.trials] == [False, True, False]


def test_regions_are_learned_one_after_the_other(tmp_path):
    task = Task(("MR",), {"background": 0, "whole": (1, 2), "core": 2}, (1, 2))
    truth = cubes(BIG_1, BIG_2, SMALL_1)
    prediction = cubes(BIG_1, BIG_2, SMALL_1, (2, (1, 14, 14), 2))
    learned = learn(*folders(tmp_path, [(prediction, truth)]), task)
    assert learned.steps == Steps((LargestComponent((2,), together=True),))


def test_where_nothing_helps_nothing_is_learned(tmp_path):
    learned = learn(*folders(tmp_path, [(MIXED, MIXED)]), TASK)
    assert learned.steps == Steps()
    assert not any(trial.kept for trial in learned.trials)


def test_the_command_learns_and_applies(monkeypatch, capsys, tmp_path):
    predictions, labels = folders(tmp_path, [(MIXED, TRUTH)] * 2)
    steps, output = tmp_path / "steps.yaml", tmp_path / "out"
    call(monkeypatch, "--learn", "true", "--predictions", predictions, "--labels", labels, "--output", steps)
    assert "all foreground: Dice" in capsys.readouterr().out
    call(monkeypatch, "--predictions", predictions, "--output", output, "--postprocess", steps)
    assert sorted(file.name for file in output.iterdir()) == ["case_0.nii.gz", "case_1.nii.gz"]
    written = SimpleITK.ReadImage(str(output / "case_0.nii.gz"))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(written), TRUTH)


@pytest.mark.parametrize(
    ("arguments", "said", "code"),
    [
        ([], "--postprocess FILE", 2),
        (["--learn", "true"], "--labels DIR", 2),
        (["--postprocess", "gone.yaml"], "gone.yaml cannot be read", 1),
    ],
)
def test_the_command_says_what_is_missing(monkeypatch, capsys, tmp_path, arguments, said, code):
    with pytest.raises(SystemExit) as stop:
        call(monkeypatch, "--predictions", tmp_path, "--output", tmp_path / "out", *arguments)
    assert stop.value.code == code
    assert said in capsys.readouterr().err


def call(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["ingradient", "postprocess", *map(str, arguments)])
    main()


def test_a_file_that_cannot_be_read_holds_up_no_other_and_the_sources_are_safe(tmp_path):
    predictions, _ = folders(tmp_path, [(MIXED, TRUTH)] * 2)
    (predictions / "case_0.nii.gz").write_bytes(b"nothing")
    written, failures = process_folder(predictions, tmp_path / "out", LargestComponent())
    assert [file.name for file in written] == ["case_1.nii.gz"]
    assert failures[0].case == "case_0"
    with pytest.raises(ValueError, match="another folder"):
        process_folder(predictions, predictions, LargestComponent())


def test_each_of_a_hundred_labels_is_looked_at_in_its_own_box_only(monkeypatch):
    """117 cubes and a stray voxel beside each, where the whole volume has 30 times the voxels of a box."""
    rng = np.random.default_rng(0)
    label = np.zeros((96, 144, 144), dtype=np.uint8)
    for value in range(1, 118):
        z, y, x = (rng.integers(0, edge - 28) for edge in label.shape)
        label[z : z + 20, y : y + 20, x : x + 20] = value
        label[z + 24, y + 24, x + 24] = value
    looked_at, find = [], postprocess.components
    monkeypatch.setattr(postprocess, "components", lambda mask: looked_at.append(mask.size) or find(mask))
    answer = LargestComponent()(label, ONE)
    assert len(looked_at) <= 117
    assert max(looked_at) <= 25**3
    assert (answer > 0).sum() < (label > 0).sum()


def test_a_run_over_cases_writes_and_scores_what_post_processing_leaves(tmp_path):
    """The network's answer with two balls: the smaller one is gone from the file and from the scores."""
    image, label = (np.zeros((16, 24, 40), dtype) for dtype in (np.int16, np.uint8))
    label[3:13, 5:17, 4:18] = 1
    image[label > 0] = 1000
    image[5:9, 8:12, 30:34] = 1000
    write(tmp_path / "image.nii.gz", image)
    write(tmp_path / "label.nii.gz", label)
    case = CaseFiles("case", (tmp_path / "image.nii.gz",), tmp_path / "label.nii.gz", "case")
    task = Task(("CT",), {"background": 0, "ball": 1})
    predictor = Predictor(Model([Oracle()], plan((16, 16, 16), spacing=(1.0, 1.0, 1.0)), task, "test", ()))
    scores = [
        score_cases(predictor, [case], after=after, say=lambda line: None).evaluation.cases[0].scores[1]
        for after in (None, LargestComponent())
    ]
    assert scores[0]["FP"] > 30
    assert scores[1]["FP"] < scores[0]["FP"] - 30
    written = save_cases(predictor, [case], tmp_path / "out", after=LargestComponent()).written
    found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(written[0])))
    assert found.sum() == scores[1]["n_pred"]


@pytest.mark.slow
@pytest.mark.real
def test_what_is_learned_is_what_nnunet_learns(tmp_path, reference_model, hippocampus):
    """Of its own 40 validation cases it kept the largest component of label 1: Dice 0.83681 -> 0.83719."""
    predictions, labels = tmp_path / "predictions", tmp_path / "labels"
    for folder in (predictions, labels):
        folder.mkdir()
    for file in (reference_model / "fold_0" / "validation").glob("*.nii.gz"):
        (predictions / file.name).symlink_to(file)
        (labels / file.name).symlink_to(hippocampus / "labelsTr" / file.name)
    task = Task(("MRI",), {"background": 0, "Anterior": 1, "Posterior": 2})
    learned = learn(predictions, labels, task)
    assert learned.steps == Steps((LargestComponent((1,)),))
    assert round(learned.trials[1].before, 5) == 0.83681
    assert round(learned.trials[1].after, 5) == 0.83719
