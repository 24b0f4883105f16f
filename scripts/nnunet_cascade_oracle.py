"""Let nnU-Net predict with cascades of drawn weights, and keep part of its answers.

Run it where nnU-Net 2.8.1 is installed, with Dataset027_ACDC beside the checkout:
python scripts/nnunet_cascade_oracle.py   It writes tests/expected/nnunet_cascade.json.
"""

import copy
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK
import torch
from nnunet_prediction_oracle import ACDC, DATASET, ROOT, Single, draw_weights, kept, made_up, plans
from nnunetv2.inference import predict_from_raw_data as program
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import (
    convert_labelmap_to_one_hot,
    determine_num_input_channels,
)
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

STAGES = ("3d_lowres", "3d_cascade_fullres")
REAL = "patient004_frame01"
BIAS = "decoder.seg_layers.1.bias"
"""Of the finest logits, in a network of three stages."""


def cascade(full: dict, coarse: dict, **whole: object) -> dict:
    """A plan with both stages, written as nnU-Net's planner writes them."""
    made = plans() | whole
    made["configurations"] = {
        "3d_fullres": made["configurations"]["3d_fullres"] | full,
        "3d_lowres": {"inherits_from": "3d_fullres", **coarse, "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    return made


def models() -> dict:
    """Slices far apart; and turned axes, zeros about the body, two channels and regions."""
    cube = plans()["configurations"]["3d_fullres"]["architecture"]
    cube["arch_kwargs"] |= {"kernel_sizes": [[3, 3, 3]] * 3, "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
    masked = {"normalization_schemes": ["ZScoreNormalization"] * 2, "use_mask_for_norm": [True, True]}
    turned = {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}
    regions = {
        "channel_names": {"0": "T1", "1": "FLAIR"},
        "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3},
        "regions_class_order": [1, 2, 3],
        "file_ending": ".nii.gz",
    }
    return {
        "anisotropic": {
            "plans": cascade(
                {"patch_size": [8, 48, 48]}, {"patch_size": [8, 32, 24], "spacing": [8, 2.4, 2.6]}
            ),
            "dataset": DATASET,
            "mirror": {"3d_lowres": [0, 1, 2], "3d_cascade_fullres": [1, 2]},
            "folds": {"3d_lowres": [0], "3d_cascade_fullres": [0, 1]},
        },
        "isotropic": {
            "plans": cascade(
                {"patch_size": [32, 24, 40], "spacing": [1.2, 1.1, 1.0], "architecture": cube, **masked},
                {"patch_size": [16, 16, 16], "spacing": [2.5, 2.4, 2.2]},
                **turned,
                foreground_intensity_properties_per_channel={"0": {}, "1": {}},
            ),
            "dataset": regions,
            "mirror": {"3d_lowres": [1, 2], "3d_cascade_fullres": [0]},
            "folds": {"3d_lowres": [0, 1], "3d_cascade_fullres": [0]},
        },
    }


def body() -> np.ndarray:
    """Two channels of steps and waves in an ellipsoid, nothing about it."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (40, 46, 36)), indexing="ij")
    inside = ((z - 21) / 17) ** 2 + ((y - 20) / 19) ** 2 + ((x - 18) / 15) ** 2 < 1
    steps = (np.sin(y / 4) + np.cos(x / 5 + z / 6) > 0) * 3 + np.sin(x / 3 + y / 4)
    waves = np.cos(z / 3) * np.sin(y / 5) + np.floor(x / 7)
    return (np.stack([steps, waves]) * inside + 5 * inside).astype(np.float32)


def write_images(folder: Path, model: str) -> None:
    voxels, spacing = (made_up(), (10.0, 1.5, 1.5)) if model == "anisotropic" else (body(), (1.0, 1.25, 1.5))
    for channel, values in enumerate(voxels):
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing(spacing[::-1])
        SimpleITK.WriteImage(image, str(folder / f"made_up_{channel:04}.nii.gz"))
    if model == "anisotropic":
        image = SimpleITK.ReadImage(str(ACDC / f"{REAL}_0000.nii.gz"))
        SimpleITK.WriteImage(image, str(folder / f"{REAL}_0000.nii.gz"))


def in_single_precision() -> None:
    """Let windows be weighed and added up in single precision, for the reason that Single gives.

    In half precision the Gaussian is nothing in a window's corners, where nnU-Net then takes its smallest
    value instead: with drawn weights that alone changes up to 0.2 % of the labels of these cases.
    """
    gaussian = program.compute_gaussian
    program.torch = Single()
    program.compute_gaussian = partial(gaussian, dtype=torch.float32)
    program.compute_gaussian.cache_clear = gaussian.cache_clear


def predictor(model: dict, stage: str) -> program.nnUNetPredictor:
    made = PlansManager(model["plans"])
    configuration = made.get_configuration(stage)
    inputs = determine_num_input_channels(made, configuration, model["dataset"])
    outputs = made.get_label_manager(model["dataset"]).num_segmentation_heads
    folds = []
    for fold in model["folds"][stage]:
        network = nnUNetTrainer.build_network_architecture(
            made, configuration, inputs, outputs, enable_deep_supervision=False
        )
        draw_weights(network, f"{stage}{fold}")
        folds.append(copy.deepcopy(network.state_dict()))
    found = program.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    mirror = tuple(model["mirror"][stage])
    found.manual_initialization(
        network, made, configuration, folds, model["dataset"], "nnUNetTrainer", mirror
    )
    return found


def centre(found: program.nnUNetPredictor, images: list[str], before: str | None) -> list[list[float]]:
    """Shift each fold's logits to a mean of zero over a case: drawn weights like one label only."""
    preprocessor = found.configuration_manager.preprocessor_class(verbose=False)
    settings = found.plans_manager, found.configuration_manager, found.dataset_json
    data, label, _ = preprocessor.run_case(images, before, *settings)
    if before is not None:
        values = found.label_manager.foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(label[0], values, data.dtype)))
    shifts = []
    for fold in found.list_of_parameters:
        found.network.load_state_dict(fold)
        logits = found.predict_sliding_window_return_logits(torch.from_numpy(data))
        shifts.append([-round(float(mean), 3) for mean in logits.mean((1, 2, 3))])
        fold[BIAS] += torch.tensor(shifts[-1])
    return shifts


def answers(name: str, model: dict) -> dict:
    """What each stage answers for each case; the first stage's files are the second's input."""
    found: dict = {}
    with tempfile.TemporaryDirectory() as work:
        images, before = Path(work, "images"), None
        images.mkdir()
        write_images(images, name)
        for stage in STAGES:
            output = Path(work, stage)
            output.mkdir()
            program_of_stage = predictor(model, stage)
            files = sorted(map(str, images.glob("made_up_*")))
            label = None if before is None else f"{before}/made_up.nii.gz"
            model.setdefault("shifts", {})[stage] = centre(program_of_stage, files, label)
            program_of_stage.predict_from_files_sequential(
                str(images), str(output), folder_with_segs_from_prev_stage=before
            )
            for file in sorted(output.glob("*.nii.gz")):
                label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))
                found.setdefault(file.name.removesuffix(".nii.gz"), {})[stage] = kept(label)
            before = str(output)
    return found


def main() -> None:
    torch.set_num_threads(2)
    in_single_precision()
    whole = {name: model | {"cases": answers(name, model)} for name, model in models().items()}
    (ROOT / "tests/expected/nnunet_cascade.json").write_text(json.dumps(whole), encoding="utf-8")


if __name__ == "__main__":
    main()
