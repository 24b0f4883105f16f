"""Let nnU-Net predict anisotropic cases with a network of drawn weights, and keep part of its answers.

Run it where nnU-Net 2.8.1 is installed, with Dataset027_ACDC beside the checkout:
python scripts/nnunet_prediction_oracle.py   It writes tests/expected/nnunet_anisotropic.json.
"""

import base64
import json
import zlib
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from nnunetv2.inference import predict_from_raw_data as program
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

ROOT = Path(__file__).parents[1]
ACDC = ROOT.parent / "shared" / "data" / "Dataset027_ACDC" / "imagesTr"
CASES = ("patient004_frame01", "patient031_frame10")
EVERY, MIRROR = 11, (1, 2)
DATASET = {
    "channel_names": {"0": "MR"},
    "labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3},
    "file_ending": ".nii.gz",
}


class Single:
    """Torch with single precision for half.

    nnU-Net adds windows up in half precision. A network of drawn weights is undecided at so many voxels that
    this rounding alone changes 0.2 % of them, more than what shall be found here; trained ones hardly are.
    """

    half = float16 = torch.float32

    def __getattr__(self, name: str):
        return getattr(torch, name)


def plans() -> dict:
    """A plan whose voxels are of another size than those of the cases: every axis is resampled."""
    order = {"data": 3, "seg": 1, "probabilities": 1}
    resampling: dict = {
        f"resampling_fn_{kind}": "resample_data_or_seg_to_shape" for kind in ("data", "seg", "probabilities")
    }
    for kind, value in order.items():
        settings = {"is_seg": kind == "seg", "order": value, "order_z": 0, "force_separate_z": None}
        resampling[f"resampling_fn_{kind}_kwargs"] = settings
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": [4, 8, 12],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "n_conv_per_stage": [1, 1, 1],
            "n_conv_per_stage_decoder": [1, 1],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 96, 80],
        "median_image_size_in_voxels": [12.0, 320.0, 270.0],
        "spacing": [8.0, 1.2, 1.3],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": architecture,
        **resampling,
    }
    return {
        "dataset_name": "Dataset027_ACDC",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [10.0, 1.5, 1.5],
        "original_median_shape_after_transp": [10, 256, 216],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
    }


def draw_weights(network: torch.nn.Module, fold: str = "") -> None:
    """Weights by the names of tensors, so that they need not be kept; each tensor has up to four names."""
    state = network.state_dict()
    for name, weight in state.items():
        known = name.replace("all_modules.0", "conv").replace("all_modules.1", "norm")
        known = fold + known.replace("decoder.encoder", "encoder")
        rng = np.random.default_rng(zlib.crc32(known.encode()))
        fresh = rng.standard_normal(weight.shape, dtype=np.float32) * 0.3
        weight.copy_(torch.from_numpy(fresh + known.endswith("norm.weight")))
    network.load_state_dict(state)


def made_up() -> np.ndarray:
    """Smooth steps with sharp edges, on which a spline overshoots; each slice of another brightness."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (9, 70, 60)), indexing="ij")
    image = (np.sin(y / 5) + np.cos(x / 7 + z) > 0) * (z + 1.0) + np.sin(x / 3 + y / 4)
    return image.astype(np.float32)[None]


def kept(label: np.ndarray) -> dict:
    packed = zlib.compress(label.astype(np.uint8).ravel()[::EVERY].tobytes(), 9)
    counts = np.bincount(label.ravel().astype(np.int64), minlength=4).tolist()
    return {"shape": label.shape, "counts": counts, "voxels": base64.b64encode(packed).decode()}


def main() -> None:
    torch.set_num_threads(2)
    made = PlansManager(plans())
    configuration = made.get_configuration("3d_fullres")
    build = nnUNetTrainer.build_network_architecture
    network = build(made, configuration, 1, 4, enable_deep_supervision=False)
    draw_weights(network)
    program.torch = Single()
    predictor = program.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    settings = (network, made, configuration, [network.state_dict()], DATASET, "nnUNetTrainer", MIRROR)
    predictor.manual_initialization(*settings)
    images = {"made_up": (made_up(), (10.0, 1.5, 1.5))}
    for name in CASES:
        image = SimpleITK.ReadImage(str(ACDC / f"{name}_0000.nii.gz"))
        voxels = SimpleITK.GetArrayFromImage(image).astype(np.float32)[None]
        images[name] = voxels, image.GetSpacing()[::-1]
    found = {
        name: kept(predictor.predict_single_npy_array(voxels, {"spacing": list(spacing)}))
        for name, (voxels, spacing) in images.items()
    }
    whole = {"plans": plans(), "dataset": DATASET, "mirror": MIRROR, "every": EVERY, "cases": found}
    (ROOT / "tests/expected/nnunet_anisotropic.json").write_text(json.dumps(whole), encoding="utf-8")


if __name__ == "__main__":
    main()
