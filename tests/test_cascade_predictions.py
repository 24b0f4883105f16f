"""A cascade brought along from nnU-Net gives nnU-Net's answers, stage after stage, out of one file."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunet_models import drawn, equal_share, made_up

from ingradient_pl.datasets.descriptions import task_of
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference.checkpoint import read
from ingradient_pl.inference.checkpoint_file import OURS, read_content
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.model import import_nnunet
from ingradient_pl.nnunet.plans import read_nnunet_plans

EXPECTED = json.loads((Path(__file__).parent / "expected" / "nnunet_cascade.json").read_text())
FIRST, SECOND = "3d_lowres", "3d_cascade_fullres"
BIAS = "decoder.seg_layers.1.bias"


def write_results(folder, name):
    """nnU-Net's results of a data set, both stages side by side; give the second one's folder."""
    model = EXPECTED[name]
    for stage in (FIRST, SECOND):
        place = folder / f"nnUNetTrainer__nnUNetPlans__{stage}"
        place.mkdir(parents=True)
        (place / "plans.json").write_text(json.dumps(model["plans"]))
        (place / "dataset.json").write_text(json.dumps(model["dataset"]))
        task = task_of(model["dataset"], place)
        plan = read_nnunet_plans(place / "plans.json", task)[stage]
        inputs = plan.channels + (3 if stage == SECOND else 0)
        stages = plan.widths, plan.strides, plan.kernels, plan.blocks, plan.decoder_blocks
        for fold, shift in zip(model["folds"][stage], model["shifts"][stage], strict=True):
            weights = drawn(UNet(inputs, plan.outputs, *stages, levels=1), f"{stage}{fold}")
            weights[BIAS] += torch.tensor(shift)
            content = {
                "network_weights": weights,
                "init_args": {"configuration": stage},
                "trainer_name": "nnUNetTrainer",
                "inference_allowed_mirroring_axes": tuple(model["mirror"][stage]),
            }
            (place / f"fold_{fold}").mkdir()
            torch.save(content, place / f"fold_{fold}" / "checkpoint_final.pth")
    return place


def model(folder, name):
    import_nnunet(write_results(folder / "results", name), folder / "model.ckpt")
    return read(folder / "model.ckpt")


def body():
    """The script's: two channels of steps and waves in an ellipsoid, nothing about it."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (40, 46, 36)), indexing="ij")
    inside = ((z - 21) / 17) ** 2 + ((y - 20) / 19) ** 2 + ((x - 18) / 15) ** 2 < 1
    steps = (np.sin(y / 4) + np.cos(x / 5 + z / 6) > 0) * 3 + np.sin(x / 3 + y / 4)
    waves = np.cos(z / 3) * np.sin(y / 5) + np.floor(x / 7)
    return (np.stack([steps, waves]) * inside + 5 * inside).astype(np.float32)


CASES = {
    "anisotropic": (made_up, (10.0, 1.5, 1.5)),
    "isotropic": (body, (1.0, 1.25, 1.5)),
}


SPLITS = [{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["c", "b"], "val": ["a", "d"]}]


@pytest.mark.parametrize(
    ("told", "first", "trained", "kept"),
    [
        ((SECOND,), "0", "ab", ()),  # whom the first stage saw is not known
        ((FIRST,), "0", None, ()),
        ((FIRST, SECOND), "0", "ab", ("c", "d")),
        ((FIRST, SECOND), "1", "abc", ("d",)),
    ],
)
def test_who_trained_either_stage_comes_along(tmp_path, told, first, trained, kept):
    second = write_results(tmp_path / "results", "anisotropic")
    for stage in second.parent.iterdir():
        for number in (0, 1):  # the same weights do for a test of who trained them
            fold = stage / f"fold_{number}"
            fold.exists() or shutil.copytree(next(stage.glob("fold_*")), fold)
        if stage.name.endswith(told):
            (stage / "splits_final.json").write_text(json.dumps(SPLITS))
    import_nnunet(second, tmp_path / "model.ckpt", ["0"], previous_folds=[first])
    run = read_content(tmp_path / "model.ckpt")[OURS].get("run")
    assert (run and "".join(run["split"]["train"])) == trained
    assert read(tmp_path / "model.ckpt").validation == kept


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_both_stages_give_nnunets_answers(tmp_path, name):
    """Slices far apart; and turned axes, regions, two channels, zeros about the body."""
    cascade, (image, spacing) = model(tmp_path, name), CASES[name]
    expected = EXPECTED[name]["cases"]["made_up"]
    first = Predictor(cascade.previous).predict(image(), spacing)
    assert equal_share(first, expected[FIRST]) >= 0.9999
    assert equal_share(Predictor(cascade).predict(image(), spacing), expected[SECOND]) >= 0.9999


@pytest.mark.real
@pytest.mark.slow
def test_a_real_case_with_slices_far_apart_gets_nnunets_answer(tmp_path, real_data):
    name = "patient004_frame01"
    volume = read_volume([real_data / "Dataset027_ACDC" / "imagesTr" / f"{name}_0000.nii.gz"], "stored")
    found = Predictor(model(tmp_path, "anisotropic")).predict(volume.voxels, volume.frame.spacing)
    assert equal_share(found, EXPECTED["anisotropic"]["cases"][name][SECOND]) >= 0.9999
