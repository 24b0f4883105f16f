"""A plan is checked when it is made, and its file gives back what was written."""

import dataclasses

import numpy as np
import pytest
import yaml
from runs import outcome
from shapes import unchecked

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.geometry import Grid
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import COMMENTS, FIELDS, as_yaml, read_plan, write_plan
from ingradient_pl.spec import build, to_spec
from ingradient_pl.store.build import build_store
from ingradient_pl.transforms.normalise import CT, MinMax01, ZScore

PLAN = Plan(
    channels=3,
    outputs=2,
    spacing=(None, 0.1 + 0.2, 1e-5),
    patch=(1, 32, 64),
    batch_size=12,
    widths=(32, 64, 128),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2)),
    kernels=((1, 3, 3),) * 3,
    blocks=(2, 2, 2),
    decoder_blocks=(2, 2),
    normalisation=(ZScore(masked=True), CT(-1000.25, 1e9, 1 / 3, 2.0), MinMax01()),
    residual=True,
    transpose=(2, 0, 1),
    orientation="stored",
    ignore=4,
    regions=((1, 2, 3), (2,)),
    previous_stage="3d_lowres",
    notes={
        "planner": "by hand: # no, 'yes'",
        "data_set": "Prüfung",
        "share": 1 / 3,
        "empty": None,
        "list": [1.5],
    },
)


ZSCORE = "ingradient_pl.transforms.normalise.ZScore"


@pytest.fixture
def changed(tmp_path):
    def write(**entries):
        plain = to_spec(PLAN)
        plain.update(entries)
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump({key: one for key, one in plain.items() if one != "gone"}))
        return path

    return write


def test_a_file_gives_back_the_plan_that_was_written(tmp_path):
    for number, plan in enumerate([PLAN, dataclasses.replace(PLAN, notes={}, previous_stage=None)]):
        path = tmp_path / "deep" / f"{number}.yaml"
        write_plan(path, plan)
        assert read_plan(path) == plan
        assert [file.name for file in path.parent.glob(".*")] == []


def test_a_recipe_gives_back_the_plan_it_was_made_from():
    assert build(to_spec(PLAN)) == PLAN


def test_every_entry_is_explained_and_short_lists_stay_on_their_line():
    text = as_yaml(PLAN)
    assert set(COMMENTS) == set(FIELDS)
    assert "patch: [1, 32, 64]  # voxels" in text
    assert "  - [1, 2, 2]\n" in text
    assert "spacing: [null, 0.30000000000000004, 1.0e-05]  # mm" in text
    for name, comment in COMMENTS.items():
        assert any(
            line.startswith(f"{name}:") and line.endswith(f"# {comment}") for line in text.splitlines()
        )


def test_numbers_of_numpy_become_plain_ones():
    plan = dataclasses.replace(PLAN, batch_size=np.int64(3), spacing=(None, np.float64(0.5), np.float32(2)))
    assert (type(plan.batch_size), type(plan.spacing[1]), type(plan.spacing[2])) == (int, float, float)


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"patchsize": [1, 2, 3]}, "no entry 'patchsize'; it has channels"),
        ({"patch": "gone"}, "lacks 'patch'"),
        ({"patch": [32, 64]}, "'patch' of a plan needs three"),
        ({"patch": [0, 32, 64]}, "'patch'.*at least 1.*0"),
        ({"patch": [1, 32.5, 64]}, r"'patch'.*32\.5"),
        ({"patch": 64}, "'patch'.*a list; got 64"),
        ({"patch": [1, 33, 64]}, r"'patch'.*multiple of \(1, 4, 4\)"),
        ({"spacing": [1.0, -1.0, 1.0]}, r"'spacing'.*-1\.0"),
        ({"spacing": [1.0, "1 mm", 1.0]}, "'spacing'.*1 mm"),
        ({"batch_size": 0}, "'batch_size'.*0"),
        ({"batch_size": True}, "'batch_size'.*True"),
        ({"widths": [32, 64]}, "'strides' needs 2 entries"),
        ({"decoder_blocks": [2]}, "'decoder_blocks' needs 2 entries"),
        ({"regions": [[1]]}, "2 outputs, so 'regions' needs 2 entries"),
        ({"regions": [[1], [0, 2]]}, r"'regions'.*\[0, 2\]"),
        ({"normalisation": []}, "'normalisation' needs 3 entries"),
        ({"normalisation": ["ZScore"] * 3}, "'normalisation'.*_target_"),
        ({"transpose": [0, 0, 1]}, "'transpose'.*each of 0, 1, 2"),
        ({"orientation": "LQS"}, "'orientation'.*LQS"),
        ({"orientation": "LRS"}, "'orientation'.*LRS"),
        ({"separate_z_above": 0.3}, "'separate_z_above'.*0.3"),
        (
            {"normalisation": [{"_target_": "os.system", "command": "x"}] * 3},
            "'normalisation' .*not in a trusted",
        ),
        (
            {"normalisation": [{"_target_": "ingradient_pl.transforms.normalise.ZScore", "mask": 1}] * 3},
            "'normalisation' cannot be used:.*mask",
        ),
        (
            {"normalisation": [{"_target_": ZSCORE, "masked": "false"}] * 3},
            "'masked'.*true or false.*'false'",
        ),
        (
            {"normalisation": [{"_target_": "ingradient_pl.task.Task"}] * 3},
            "Task' is a class, but no Normaliser",
        ),
        ({"residual": "false"}, "'residual'.*true or false.*'false'"),
        ({"residual": 0}, "'residual'.*true or false.*0"),
        ({"residual": None}, "'residual'.*true or false.*None"),
        ({"batch_dice": "no way"}, "'batch_dice'.*true or false.*'no way'"),
        ({"ignore": "x"}, "'ignore'.*whole number or null.*'x'"),
        ({"ignore": True}, "'ignore'.*whole number or null.*True"),
        ({"previous_stage": 5}, "'previous_stage'.*text or null.*5"),
        ({"previous_stage": "a\nb"}, "control character"),
        ({"orientation": 3}, "'orientation'.*text.*3"),
        ({"separate_z_above": "3"}, "'separate_z_above'.*number.*'3'"),
        ({"separate_z_above": True}, "'separate_z_above'.*number.*True"),
        ({"low_pass_above": "never"}, "'low_pass_above'.*number or null.*'never'"),
        ({"transpose": [True, False, 2]}, "'transpose'.*a list, each entry a whole number, got .True"),
        ({"transpose": "012"}, "'transpose'.*'012'"),
        ({"spacing": [True, 1.0, 1.0]}, "'spacing'.*True"),
        ({"spacing": "111"}, "'spacing'.*'111'"),
        ({"spacing": 5}, "'spacing'.*a list; got 5"),
        (
            {"regions": [1, 2]},
            "'regions'.*a list, each entry a list, each entry a whole number or null, got .1",
        ),
        ({"regions": "none"}, "'regions'.*'none'"),
        ({"notes": "text"}, "'notes'.*a mapping, got 'text'"),
        ({"notes": [1]}, r"'notes'.*\(1,\)"),
        ({"notes": None}, "'notes'.*None"),
        ({"channels": "3"}, "'channels'.*'3'"),
        ({"channels": 3.0}, r"'channels'.*3\.0"),
        ({"widths": "33"}, "'widths'.*'33'"),
        ({"widths": None}, "'widths'.*needs a value"),
        ({"strides": 2}, "'strides'.*a list; got 2"),
        ({"strides": [2, 2, 2]}, "'strides'.*a list; got 2"),
        ({"blocks": [10_000_000, 1, 1]}, "'blocks'.*at most 100"),
        ({"batch_size": 10**30}, "'batch_size'.*at most"),
        ({"patch": {"z": 1}}, "'patch'"),
        ({"kernels": [[3, 3, 3], 3, 3]}, "'kernels'.*a list; got 3"),
        ({"normalisation": 5}, "'normalisation'.*a list; got 5"),
        ({"_target_": "ingradient_pl.task.Task"}, "is not a plan: it needs the line"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(changed, entries, told):
    path = changed(**entries)
    with unchecked(), pytest.raises(ValueError, match=told) as caught:  # the product's own words
        read_plan(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["a: [1", "- 1", "just words", "", "\tx: 1", "a: !!python/name:os.system ''"]
)
def test_a_file_that_is_no_plan_is_named(tmp_path, text):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"odd\.yaml is no"):
        read_plan(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"away\.yaml.*ingradient plan"):
        read_plan(tmp_path / "away.yaml")


@pytest.mark.slow
def test_a_plan_is_made_for_the_spacing_and_quantiles_that_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, mm in (("fine", 1.0), ("middle", 1.2), ("coarse", 2.0)):
        write_phantoms(tmp_path / name, 1, (20, 24, 22), (mm, 1.0, 1.0))
    rows = [
        f"{name},{name}/imagesTr/phantom_000_0000.nii.gz,{name}/labelsTr/phantom_000.nii.gz"
        for name in ("fine", "middle", "coarse")
    ]
    (tmp_path / "table.csv").write_text("\n".join(["case,image_0,label", *rows]))
    build_store(read_source(tmp_path / "table.csv"), tmp_path / "store")

    def made(*told):
        code, _, err = outcome(monkeypatch, capsys, "plan", "--store", "store", *told)
        assert code == 0, err
        return read_plan(tmp_path / "plan.yaml")

    assert made().spacing[0] == pytest.approx(1.2)
    assert made("--quantile", "1").spacing[0] == pytest.approx(2.0)
    assert made("--threshold", "1.1", "--anisotropic_quantile", "0").spacing[0] == pytest.approx(1.0)
    told = made("--spacing", "[4,1,1]")
    assert told.spacing == (4.0, 1.0, 1.0)
    assert told.patch[0] < told.patch[1]
    for wrong in (["--planner", "nnunet", "--quantile", "1"], ["--spacing", "[1,1]"], ["--quantile", "50"]):
        code, _, err = outcome(monkeypatch, capsys, "plan", "--store", "store", *wrong)
        assert code == 2
        assert "Traceback" not in err


def test_an_axis_without_spacing_stays_as_it_is():
    native = Grid.of((5, 100, 100), (7.0, 0.6, 1.0))
    assert PLAN.grid(native).spacing[0] == 7.0
    assert PLAN.grid(native).shape[0] == 5
