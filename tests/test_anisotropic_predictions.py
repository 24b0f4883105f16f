"""Where slices are far apart and every axis is resampled, answers are nnU-Net's too."""

import json
from pathlib import Path

import pytest
import torch
from nnunet_models import drawn, equal_share, made_up

from ingradient_pl.datasets.descriptions import task_of
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.nnunet.plans import read_nnunet_plans

EXPECTED = json.loads((Path(__file__).parent / "expected" / "nnunet_anisotropic.json").read_text())


@pytest.fixture
def predictor(tmp_path):
    """A model folder with weights drawn as the script drew them, brought along."""
    (tmp_path / "fold_0").mkdir()
    (tmp_path / "plans.json").write_text(json.dumps(EXPECTED["plans"]))
    (tmp_path / "dataset.json").write_text(json.dumps(EXPECTED["dataset"]))
    task = task_of(EXPECTED["dataset"], tmp_path)
    plan = read_nnunet_plans(tmp_path / "plans.json", task)["3d_fullres"]
    stages = plan.widths, plan.strides, plan.kernels, plan.blocks, plan.decoder_blocks
    ours = UNet(1, 4, *stages, levels=1)
    content = {
        "network_weights": drawn(ours),
        "init_args": {"configuration": "3d_fullres"},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(EXPECTED["mirror"]),
    }
    torch.save(content, tmp_path / "fold_0" / "checkpoint_final.pth")
    return Predictor(read_nnunet(tmp_path))


def test_a_made_up_case_with_slices_far_apart_gets_nnunets_answer(predictor):
    found = predictor.predict(made_up(), (10.0, 1.5, 1.5))
    assert equal_share(found, EXPECTED["cases"]["made_up"]) >= 0.9999


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(EXPECTED["cases"]) - {"made_up"}))
def test_real_cases_with_slices_far_apart_get_nnunets_answers(predictor, real_data, name):
    volume = read_volume([real_data / "Dataset027_ACDC" / "imagesTr" / f"{name}_0000.nii.gz"], "stored")
    found = predictor.predict(volume.voxels, volume.frame.spacing)
    assert equal_share(found, EXPECTED["cases"][name]) >= 0.9999
