"""Uncertainty and calibration: maps that mean what they say, a temperature that is found again."""

import json
import math
import re

import nibabel
import numpy as np
import pytest
import torch
from runs import outcome
from tiny_models import TASK, network, plan

import ingradient_pl as ip
from ingradient_pl.commands.calibrate import Calibrated, _remark_cases, _remark_result
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images.formats import read_label
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.answer_files import MAPS, OutputError
from ingradient_pl.inference.calibration import TEMPERATURES, Calibration
from ingradient_pl.inference.checkpoint import CheckpointError, Model
from ingradient_pl.inference.checkpoint_file import OURS, read_content, write_content
from ingradient_pl.inference.dice_estimates import read_estimates
from ingradient_pl.inference.measure_calibration import Reliability, fit_line
from ingradient_pl.inference.model import combine
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.uncertainty import (
    Uncertainty,
    add_partition,
    divergence,
    entropy,
    expected_dice_at,
)
from ingradient_pl.inference.uncertainty_files import describe_beyond, describe_limits
from ingradient_pl.messages import UsageError
from ingradient_pl.reports.doubts import read_maps as read_doubts
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.image_sums import read_image_sums
from ingradient_pl.task import Task

REGIONS = Task(("MR",), {"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("raw"), 3, (12, 14, 10), (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def names(raw):
    return sorted(path.name.removesuffix(".nii.gz") for path in (raw / "labelsTr").iterdir())


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("model") / "model.ckpt"
    checkpoint.write(file, network(), plan(), TASK)
    return file


@pytest.mark.parametrize("regions", [False, True])
def test_divergence_is_the_mean_divergence_from_the_average(regions):
    passes = 3 * torch.randn(5, 1, 4, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    whole = torch.stack([add_partition(one, regions=regions)[0] for one in passes]).mean(0)
    found = divergence(whole, regions=regions)[0].double()
    mean = passes.double().mean(0)[0]
    if regions:
        one, each = mean.sigmoid(), passes.double()[:, 0].sigmoid()
        apart = one * (one / each).log() + (1 - one) * ((1 - one) / (1 - each)).log()
    else:
        one, each = mean.softmax(0), passes.double()[:, 0].softmax(1)
        apart = one * (one / each).log()
    torch.testing.assert_close(found, apart.sum(1).mean(0), atol=1e-5, rtol=1e-5)
    same = torch.stack([add_partition(passes[0], regions=regions)[0]] * 2).mean(0)
    assert divergence(same, regions=regions).max() < 1e-5


def test_entropy_lies_between_nothing_and_everything():
    shares = torch.tensor([[1.0, 0.25, 0.5], [0.0, 0.25, 0.5], [0.0, 0.25, 0.0], [0.0, 0.25, 0.0]])
    torch.testing.assert_close(entropy(shares, regions=False), torch.tensor([0.0, 1.0, 0.5]))
    torch.testing.assert_close(entropy(shares, regions=True)[2], torch.tensor(1.0))


@pytest.mark.parametrize(("task", "transpose"), [(TASK, (0, 1, 2)), (TASK, (2, 0, 1)), (REGIONS, (0, 1, 2))])
def test_maps_are_those_of_the_probabilities(task, transpose):
    own = plan(transpose=transpose, spacing=(1.0, 1.0, 1.0))
    networks = [network(seed) for seed in range(2)]
    image = np.random.default_rng(0).normal(size=(1, 9, 12, 10)).astype(np.float32)
    image[:, :2] = 0  # cut off
    predictor = Predictor(Model(networks, own, task, "here", (1,)))
    doubt = Uncertainty.empty(image.shape[1:], 2)
    shares = np.zeros((2, *image.shape[1:]), np.float32)
    label = predictor.predict(image, (1.0, 1.0, 1.0), shares, doubt)
    np.testing.assert_array_equal(label, predictor.predict(image, (1.0, 1.0, 1.0)))
    wanted = entropy(torch.from_numpy(shares), regions=task.has_regions).numpy() * 100
    inside = np.any(image[0] != 0, axis=(1, 2))
    np.testing.assert_allclose(doubt.entropy[inside], wanted[inside], atol=0.51)
    assert not doubt.entropy[:2].any()
    assert doubt.disagreement.any()
    alone = Uncertainty.empty(image.shape[1:], 2)
    one = Predictor(Model(networks[:1], own, task, "here", ()), step=1.0)
    one.predict(image[:, 2:, :8, :8], (1.0, 1.0, 1.0), None, Uncertainty.empty((7, 8, 8), 2))
    one.predict(image, (1.0, 1.0, 1.0), None, alone)
    assert alone.disagreement.mean() < doubt.disagreement.mean()
    chosen = shares > 0.5 if task.has_regions else shares == shares.max(0)
    expected = [
        2 * part[of].sum() / (part.sum() + of.sum()) if of.any() else math.nan
        for part, of in zip(shares[:, inside], chosen[:, inside], strict=True)
    ]
    np.testing.assert_allclose(doubt.expected_dice(), expected, atol=1e-3)


@pytest.mark.parametrize("task", [TASK, REGIONS], ids=["labels", "regions"])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 6.0])
def test_one_prediction_tells_the_dice_expected_at_any_temperature(task, temperature):
    image = np.random.default_rng(0).normal(size=(1, 9, 12, 10)).astype(np.float32)
    image[:, :2] = 0  # cut off
    shape, spacing = image.shape[1:], (1.0, 1.0, 1.0)
    model = Model([network()], plan(spacing=spacing), task, "here", (1,))
    shares = np.zeros((2, *shape), np.float32)
    Predictor(model).predict(image, spacing, shares)
    doubt = Uncertainty.empty(shape, 2)
    warm = model._replace(calibration=Calibration(temperature))
    Predictor(warm).predict(image, spacing, None, doubt)
    told = expected_dice_at(shares, [1.0, temperature], regions=task.has_regions)[1]
    first = 0 if task.has_regions else 1  # background counts outside the body, too
    np.testing.assert_allclose(told[first:], doubt.expected_dice()[first:], rtol=1e-4)


@pytest.mark.parametrize("task", [TASK, REGIONS], ids=["labels", "regions"])
def test_models_of_several_plans_disagree_among_themselves_too(task):
    models = [
        Model([network(seed)], plan(spacing=spacing), task, str(seed), ())
        for seed, spacing in enumerate([(2.0, 1.0, 1.0), (1.0, 2.0, 1.0)])
    ]
    image = np.random.default_rng(0).normal(size=(1, 9, 12, 10)).astype(np.float32)
    shape, spacing = image.shape[1:], (1.0, 1.0, 1.0)
    shares = np.zeros((2, *shape), np.float32)
    both, alone = Uncertainty.empty(shape, 2), Uncertainty.empty(shape, 2)
    Predictor(combine(models)).predict(image, spacing, shares, both)
    Predictor(models[0]).predict(image, spacing, None, alone)
    wanted = entropy(torch.from_numpy(shares), regions=task.has_regions).numpy() * 100
    np.testing.assert_allclose(both.entropy, wanted, atol=1.5)
    assert both.disagreement.mean() > alone.disagreement.mean()
    assert all(0 <= dice <= 1 or math.isnan(dice) for dice in both.expected_dice())


def test_the_temperature_of_overconfident_logits_is_found():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 40, 40, 20, generator=generator)
    truth = torch.distributions.Categorical(logits=logits.movedim(0, -1)).sample()
    right = np.stack([(truth == value).numpy() for value in range(3)])
    reliability = Reliability()
    reliability.add((2.5 * logits).softmax(0).numpy(), right)
    assert TEMPERATURES[reliability.best] == pytest.approx(2.5, rel=0.1)
    before, after = reliability.error(TEMPERATURES.index(1.0)), reliability.error(reliability.best)
    assert after < before / 4


def test_voxels_whose_label_is_not_known_count_nowhere():
    reliability = Reliability()
    right = np.zeros((2, 2, 2, 2), bool)
    right[1, 0] = True
    reliability.add(np.full((2, 2, 2, 2), 0.5, np.float32), right)
    assert reliability.voxels == 4


NO_LINE = Calibration()[1:]


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        ([(x / 20, x / 40 + 0.1) for x in range(12)], (0.5, 0.1, 0.0, 0.55)),
        ([(0.1, 0.2)] * 20, NO_LINE),
        ([(0.1, 0.2), (0.4, 0.6)], NO_LINE),
        ([(x / 12, -x / 12) for x in range(12)], NO_LINE),
        ([(math.nan, 0.5)] * 20, NO_LINE),
        ([], NO_LINE),
    ],
)
def test_a_line_is_fitted_where_it_is_not_guessed(pairs, line):
    assert fit_line(pairs) == pytest.approx(line)


@pytest.mark.slow
def test_calibrating_keeps_the_labels_and_writes_the_temperature(raw, names, model, tmp_path, capsys):
    output = tmp_path / "calibrated.ckpt"
    found = ip.calibrate(model, raw, output, names[:2], device="cpu")
    assert found.error_after <= found.error_before
    opened = ip.load(output, "cpu")
    assert opened.model.calibration == found.calibration
    out = capsys.readouterr().out
    assert "temperature" in out
    assert "does not tell which cases it was trained on" in out
    assert "2 cases tell little of others" in out
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 8)).astype(np.float32)
    plain = ip.load(model, "cpu")
    np.testing.assert_array_equal(plain.predict(image, (2, 1, 1)), opened.predict(image, (2, 1, 1)))
    joined = ip.load([output, model], "cpu").model.calibration
    assert joined.temperature == pytest.approx(found.calibration.temperature**0.5)


@pytest.mark.slow
def test_uncertainty_is_written_beside_the_answers(raw, names, model, tmp_path, monkeypatch, capsys):
    line = ["--checkpoint", model, "--source", raw / "imagesTr", "--output", tmp_path, "--device", "cpu"]
    assert outcome(monkeypatch, capsys, "predict", *line, "--only", names[0])[0] == 0
    line += ["--uncertainty", "true", "--resume", "true"]
    code, out, err = outcome(monkeypatch, capsys, "predict", *line)
    assert code == 0, err
    assert "3 cases written" in out, "the case without maps was skipped"
    for kind in ("entropy", "disagreement"):
        for name in names:
            found = nibabel.load(tmp_path / kind / f"{name}.nii.gz")
            assert found.get_data_dtype() == np.uint8
            assert found.shape == nibabel.load(tmp_path / f"{name}.nii.gz").shape
            assert np.asarray(found.dataobj).max() <= 100
    estimates = read_estimates(tmp_path)
    assert sorted(estimates) == names
    assert set(estimates[names[0]]) == {"organ"}
    code, out, err = outcome(
        monkeypatch,
        capsys,
        "evaluate",
        "--predictions",
        tmp_path,
        "--labels",
        raw / "labelsTr",
        "--output",
        tmp_path / "summary.json",
        "--dataset",
        raw / "dataset.json",
    )
    assert code == 0, err
    assert "Estimated Dice" in out or "too few to compare" in out
    kept = {name: labels for name, labels in estimates.items() if name != names[1]}
    (tmp_path / "dice_estimates.json").write_text(json.dumps(kept))  # as a kill leaves it
    assert "1 case written" in outcome(monkeypatch, capsys, "predict", *line)[1]
    assert read_estimates(tmp_path) == estimates
    other = tmp_path / "other.ckpt"
    checkpoint.write(other, network(seed=1), plan(), TASK)
    line = ["--checkpoint", other, *line[2:8], "--only", names[0]]
    _, out, _ = outcome(monkeypatch, capsys, "predict", *line)
    assert f"{names[0]}.nii.gz" in next(row for row in out.splitlines() if "deleted, of another model" in row)
    assert sorted(read_estimates(tmp_path)) == names[1:], "what the first model thought of its own answer"
    assert sorted(path.name for path in (tmp_path / "entropy").iterdir()) == [
        f"{one}.nii.gz" for one in names[1:]
    ]


def test_what_maps_and_estimates_do_not_tell_is_said(model):
    opened = checkpoint.read(model)
    assert ["one network" in told for told in describe_limits(opened, ())] == [True, False]
    assert ["not calibrated" in told for told in describe_limits(opened, (0,))] == [True]
    for known, words in [
        (Calibration(2.0, 0.9), None),
        (Calibration(2.0), "gave no line"),
        (Calibration(TEMPERATURES[-1], 0.9), "barely trained"),
    ]:
        told = describe_limits(opened._replace(calibration=known), (1, 2))
        assert [words in line for line in told] == ([] if words is None else [True])


@pytest.mark.parametrize(
    ("ends", "words"), [((0.0, 1.0), ""), ((0.8, 0.9), "organ 0.50"), ((0.1, 0.2), "organ 0.50")]
)
def test_a_dice_is_expected_beyond_what_calibrating_saw(ends, words):
    found = Uncertainty.empty((1, 1, 1), TASK.outputs)
    found.sums[:, TASK.output_names.index("organ")] = torch.tensor([5.0, 10.0, 10.0])
    told = describe_beyond(found, TASK, Calibration(2.0, 0.9, 0.0, *ends))
    assert (words in told) if words else told == ""


@pytest.mark.parametrize(
    "content", ["[]", '{"case": 1}', '{"case": {"organ": 2}}', '{"case": {"organ": "0.5"}}', "{"]
)
def test_damaged_estimates_are_named(content, tmp_path):
    (tmp_path / "dice_estimates.json").write_text(content)
    with pytest.raises(ValueError, match=r"dice_estimates\.json"):
        read_estimates(tmp_path)


NUMBERS = [
    math.nan,
    math.inf,
    -1.0,
    1e-320,
    1e308,
    10**400,
    True,
    "1",
    "warm",
    None,
    [1.0],
    {"a": 1.0},
    [0] * 10**5,
]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"temperature": one} for one in (0, *NUMBERS)),
        *({"slope": one} for one in (0, *NUMBERS)),
        *({"intercept": one} for one in NUMBERS if one not in (-1.0, 1e-320)),
    ],
    ids=lambda wrong: repr(wrong)[:30],
)
def test_a_calibration_that_cannot_be_is_named(wrong, model, tmp_path):
    content = dict(read_content(model))
    content[OURS] = {**content[OURS], "calibration": {**Calibration()._asdict(), **wrong}}
    write_content(tmp_path / "wrong.ckpt", content)
    with pytest.raises(CheckpointError, match=r"wrong\.ckpt"):
        checkpoint.read(tmp_path / "wrong.ckpt")


@pytest.mark.slow
def test_calibrating_predicts_each_case_once(raw, names, model, tmp_path, monkeypatch):
    seen = []
    plain = Predictor.segment
    monkeypatch.setattr(
        Predictor, "segment", lambda self, image, *rest: seen.append(image.shape) or plain(self, image, *rest)
    )
    ip.calibrate(model, raw, tmp_path / "calibrated.ckpt", names[:2], device="cpu")
    assert len(seen) == 2


def test_cases_that_trained_are_named_whatever_they_are_called_now(phantom_store):
    store = CaseStore(phantom_store)
    first, second, third = list(store.cases)[:3]
    cases = [CaseFiles(name, (), None, name) for name in (first, second)]
    sums = read_image_sums(store.path, [first])
    for trained, images in (([first, third], {}), (["elsewhere"], {"elsewhere": sums[first]})):
        run = {"split": {"train": trained}, "images": images}
        (told,) = _remark_cases(run, phantom_store, cases)
        assert f"1 of 2 cases trained this model ({first})" in told
    assert not list(_remark_cases({"split": {"train": [third]}}, phantom_store, cases))


@pytest.mark.parametrize(
    ("temperature", "slope", "errors", "cases", "words"),
    [
        (TEMPERATURES[-1], 0.9, (0.2, 0.1), 5, "8 is the end of the temperatures that are tried, 0.25 to 8"),
        (TEMPERATURES[0], 0.9, (0.2, 0.1), 5, "0.25 is the end"),
        (1.5, 0.9, (0.1, 0.2), 5, "larger than before"),
        (1.5, 0.9, (0.2, 0.1), 1, "1 case tell"),
        (1.5, 1.0, (0.2, 0.1), 5, "no line from expected to found Dice"),
        (1.5, 0.9, (0.2, 0.1), 5, None),
    ],
)
def test_a_doubtful_calibration_is_said_to_be_one(temperature, slope, errors, cases, words):
    told = list(_remark_result(Calibrated(Calibration(temperature, slope), cases, *errors, [])))
    assert [words in line for line in told] == ([] if words is None else [True])


def test_what_calibrating_cannot_do_is_named(raw, names, model, tmp_path):
    both = combine([checkpoint.read(model), checkpoint.read(model)])
    checkpoint.write_model(tmp_path / "both.ckpt", both)
    with pytest.raises(UsageError, match="averages models of several plans"):
        ip.calibrate(tmp_path / "both.ckpt", raw, tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match="name another file"):
        ip.calibrate(model, raw, model)
    with pytest.raises(OutputError, match="nothing is written over it"):
        ip.calibrate(model, raw, tmp_path / "both.ckpt", names[:1])
    with pytest.raises(UsageError, match="no labelled case"):
        ip.calibrate(model, raw / "imagesTr", tmp_path / "a.ckpt", names[:1])
    with pytest.raises(UsageError, match="--uncertainty is for segmentations that are written"):
        ip.predict(model, raw, uncertainty=True)
    assert json.loads("{}") == read_estimates(tmp_path)


GRID = np.diag([-1.0, -1.5, 2.0, 1.0])
SHIFT, FLIP = np.eye(4), np.diag([-1.0, 1.0, 1.0, 1.0])
SHIFT[0, 3], FLIP[0, 3] = 5, 3


@pytest.mark.parametrize(
    ("voxels", "affine", "words"),
    [
        (np.full((4, 3, 2), 9, np.uint8), GRID, ""),
        (np.full((4, 3, 2), 9, np.uint8), GRID @ FLIP, ""),
        (np.full((4, 3, 2), 9, np.uint8), GRID @ SHIFT, "its origin"),
        (np.full((4, 3, 2), 9, np.uint8), GRID @ np.diag([2, 1, 1, 1]), "its spacing"),
        (np.full((4, 3, 3), 9, np.uint8), GRID, "its shape"),
        (np.full((4, 3, 2), 101, np.uint8), GRID, "holds 101"),
        (np.full((4, 3, 2), -1, np.int16), GRID, "-1"),
        (np.full((4, 3, 2), np.nan, np.float32), GRID, "NaN"),
        (None, GRID, "damaged|cannot be read|gzip"),
    ],
)
def test_a_map_that_is_not_of_the_segmentation_is_left_out_with_why(tmp_path, voxels, affine, words):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 2), np.uint8), GRID), tmp_path / "a.nii.gz")
    for kind in MAPS:
        (tmp_path / kind).mkdir()
        if voxels is None:
            (tmp_path / kind / "a.nii.gz").write_bytes(b"x" * 99)
        else:
            nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / kind / "a.nii.gz")
    found, notes = read_doubts(tmp_path / "a.nii.gz", "a", read_label(tmp_path / "a.nii.gz"))
    assert (len(found), len(notes)) == ((0, 2) if words else (2, 0))
    for kind, note in zip(MAPS, notes, strict=False):
        assert re.search(f"map of {kind} left out: .*({words})", note)
