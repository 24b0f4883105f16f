"""Where slices are far apart and every axis is resampled, answers are nnU-Net's too."""

import base64
import collections
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from ingradient_pl.datasets.sources import task_of
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.nnunet.plans import read_nnunet_plans
from ingradient_pl.nnunet.weights import nnunet_names

EXPECTED = json.loads((Path(__file__).parent / "expected" / "nnunet_anisotropic.json").read_text())


def drawn(network, fold=""):
    """Weights by nnU-Net's names, drawn as the script drew them."""
    weights = collections.OrderedDict()
    for name, theirs in nnunet_names(network):
        shape = network.state_dict()[name].shape
        known = theirs.replace("all_modules.0", "conv").replace("all_modules.1", "norm")
        known = fold + known.replace("decoder.encoder", "encoder")
        rng = np.random.default_rng(zlib.crc32(known.encode()))
        fresh = rng.standard_normal(tuple(shape), dtype=np.float32) * 0.3
        weights[theirs] = torch.from_numpy(fresh + known.endswith("norm.weight"))
    return weights


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


def equal_share(found, expected):
    """Of the voxels that were kept; counts of labels must agree as closely."""
    kept = np.frombuffer(zlib.decompress(base64.b64decode(expected["voxels"])), np.uint8)
    assert list(found.shape) == expected["shape"]
    off = np.abs(np.bincount(found.ravel(), minlength=4) - expected["counts"]).max()
    assert off <= 1e-4 * found.size
    return (found.ravel()[:: EXPECTED["every"]] == kept).mean()


def made_up():
    """The script's: steps that a spline overshoots, each slice of another brightness."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (9, 70, 60)), indexing="ij")
    image = (np.sin(y / 5) + np.cos(x / 7 + z) > 0) * (z + 1.0) + np.sin(x / 3 + y / 4)
    return image.astype(np.float32)[None]


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
