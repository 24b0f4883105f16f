"""A model of ours as a model folder of nnU-Net, which ``nnUNetv2_predict_from_modelfolder`` runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ingradient_pl.files import whole_folder
from ingradient_pl.geometry import AXES
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.torch_files import write_torch
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.overlap import to_regions
from ingradient_pl.nnunet.plans import INTENSITIES, ORDERS, RESAMPLING
from ingradient_pl.nnunet.weights import to_nnunet_weights
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import BACKGROUND, Task
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, Normaliser, ZScore

TRAINER, PLANS = "nnUNetTrainer", "nnUNetPlans"
READERS = {"RAS": "NibabelIOWithReorient"}
"""nnU-Net's readers by the orientation they turn images to; all others take the axes as the file has them."""
AS_STORED = "SimpleITKIO"
SCHEMES: dict[type[Normaliser], str] = {
    ZScore: "ZScoreNormalization",
    CT: "CTNormalization",
    NoNormalisation: "NoNormalization",
    MinMax01: "RescaleTo01Normalization",
    RGB01: "RGBTo01Normalization",
}
Weights = Mapping[str, Tensor]
SEPARATE_Z_ABOVE = 3.0
"""nnU-Net's threshold, which is not an entry of its plans."""


class ExportError(ValueError):
    """A model that nnU-Net cannot run; the message says why and what to do."""


def export_nnunet(model: Model, output: Path) -> list[str]:
    """Write plans, data set description and one checkpoint for each network, as nnU-Net 2 reads them.

    Args:
        model: A plain or residual UNet, of one stage or several folds.
        output: The folder to make: plans.json, dataset.json, dataset_fingerprint.json, fold_0 and so on.

    Returns:
        Remarks: where nnU-Net will treat images or labels in another way than this package does.

    Raises:
        ExportError: If nnU-Net has nothing that gives the same answer.
        FileExistsError: If the folder holds something already.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"{output} holds files already: name a new folder.")
    _check(model)
    remarks = _remarks(model)
    model, rows = _without_overlap(model)
    name = str(model.plan.notes.get("configuration") or ("2d" if _is_2d(model.plan) else "3d_fullres"))
    plans, dataset = _plans(model, name), _dataset(model.task)
    with whole_folder(output) as folder:
        for file, plain in {
            "plans.json": plans,
            "dataset.json": dataset,
            "dataset_fingerprint.json": _fingerprint(model.plan),
        }.items():
            (folder / file).write_bytes(json.dumps(plain, indent=4).encode())
        for fold, network in enumerate(model.networks):
            assert isinstance(network, UNet)
            settings = {"plans": plans, "configuration": name, "fold": fold, "dataset_json": dataset}
            weights = to_nnunet_weights(network, flat=_is_2d(model.plan))
            heads = {key: weight[rows] for key, weight in weights.items() if ".seg_layers." in key}
            _write_fold(folder / f"fold_{fold}", {**weights, **heads}, model, settings)
    return remarks


def _without_overlap(model: Model) -> tuple[Model, list[int]]:
    """Give a model as nnU-Net has it, and which output each of its outputs is."""
    if model.task.overlap is None:
        return model, list(range(model.task.outputs))
    regions = to_regions(model.task)
    return model._replace(task=regions.task), list(regions.order)


def _write_fold(folder: Path, weights: Weights, model: Model, settings: Mapping[str, Any]) -> None:
    flat = _is_2d(model.plan)
    mirror = tuple(axis - flat for axis in model.mirror if axis >= flat)
    entries = {
        "network_weights": weights,
        "optimizer_state": None,
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 0,
        "init_args": dict(settings),
        "trainer_name": TRAINER,
        "inference_allowed_mirroring_axes": mirror or None,  # of an empty tuple it wants the largest
    }
    folder.mkdir()
    with (folder / "checkpoint_final.pth").open("wb") as file:
        write_torch(file, lambda to: torch.save(entries, to))


def _check(model: Model) -> None:
    """Refuse what nnU-Net has no word for."""
    plan = model.plan
    others = [type(network).__name__ for network in model.networks if not isinstance(network, UNet)]
    schemes = [type(one).__name__ for one in plan.normalisation if type(one) not in SCHEMES]
    wrong = {
        f"its network is {others[:1]}, and nnU-Net builds plain and residual UNets only": others,
        _describe_overlap(model.task): _describe_overlap(model.task),
        "it averages models of several plans, and a model folder has one": model.others,
        "it is a later stage of a cascade; export the first stage alone, or predict here": model.previous,
        f"its normaliser {schemes[:1]} is not one of {[kind.__name__ for kind in SCHEMES]}": schemes,
        f"low_pass_above is {plan.low_pass_above}, and nnU-Net does not average before it downsamples": (
            plan.low_pass_above is not None
        ),
        f"separate_z_above is {plan.separate_z_above}, and nnU-Net's is {SEPARATE_Z_ABOVE}": (
            plan.separate_z_above != SEPARATE_Z_ABOVE
        ),
    }
    found = [reason for reason, is_so in wrong.items() if is_so]
    if found:
        raise ExportError(f"{model.origin} cannot be exported to nnU-Net: {'; '.join(found)}.")


def _describe_overlap(task: Task) -> str:
    """Say why labels that may overlap cannot be regions of nnU-Net's; nothing where they can."""
    try:
        if task.overlap is not None:
            to_regions(task)
    except ValueError as error:
        return f"{error}; predict here (ingradient predict)"
    return ""


def _remarks(model: Model) -> list[str]:
    remarks = []
    if model.task.overlap is not None:
        meaning = ", ".join(f"{value} for {held}" for value, held in to_regions(model.task).meaning.items())
        remarks.append(
            f"Labels overlap, and nnU-Net's answers hold one integer a voxel: {meaning}. Where the network "
            "finds labels together in another way the last of them decides (nnUNetv2_predict "
            "--save_probabilities keeps a map of each)."
        )
    orientation = model.plan.orientation
    if orientation not in ("stored", *READERS):
        remarks.append(
            f"The model sees images turned to {orientation}, and nnU-Net has no reader that does so: it "
            f"takes axes as files have them. Give it files whose voxels run along {orientation} (for LPS: "
            "SimpleITK's direction is the identity), or train from a store prepared with "
            "--orientation stored."
        )
    if isinstance(model.task.ignore, int):
        remarks.append("Voxels of the label 'ignore' are background in the exported data set description.")
    if model.postprocess.steps:
        remarks.append("The model's post-processing is not exported: nnU-Net keeps its own in a pickle.")
    if model.calibration.temperature != 1:
        remarks.append(
            f"The model's temperature of {model.calibration.temperature:g} is not exported: labels stay, "
            "nnU-Net's probabilities are those before calibrating."
        )
    held, exported = model.task.in_files.foreground_values, model.task.consecutive().foreground_values
    if held != exported and model.task.overlap is None:
        pairs = ", ".join(f"{new} for {old}" for old, new in zip(held, exported, strict=True))
        remarks.append(f"nnU-Net wants consecutive integers: its answers hold {pairs}.")
    return remarks


def _plans(model: Model, name: str) -> dict[str, Any]:
    plan, notes = model.plan, model.plan.notes
    intensities = {
        str(channel): _intensities(normaliser) for channel, normaliser in enumerate(plan.normalisation)
    }
    return {
        "dataset_name": model.task.name or "Dataset001_exported",
        "plans_name": PLANS,
        "original_median_spacing_after_transp": [mm or 1.0 for mm in plan.spacing],
        "original_median_shape_after_transp": list(notes.get("median_shape") or plan.patch),  # type: ignore[call-overload]
        "image_reader_writer": READERS.get(plan.orientation, AS_STORED),
        "transpose_forward": list(plan.transpose),
        "transpose_backward": [int(axis) for axis in np.argsort(plan.transpose)],
        "configurations": {name: _configuration(plan, name)},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        INTENSITIES: intensities,
    }


def _configuration(plan: Plan, name: str) -> dict[str, Any]:
    flat = int(_is_2d(plan))
    resampling = {
        key: value
        for kind, order in ORDERS.items()
        for key, value in (
            (f"resampling_fn_{kind}", RESAMPLING),
            (
                f"resampling_fn_{kind}_kwargs",
                {"is_seg": kind == "seg", "order": order, "order_z": 0, "force_separate_z": None},
            ),
        )
    }
    return {
        "data_identifier": f"{PLANS}_{name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan.batch_size,
        "patch_size": list(plan.patch[flat:]),
        "median_image_size_in_voxels": list(plan.patch[flat:]),
        "spacing": list(plan.spacing[flat:]),
        "normalization_schemes": [SCHEMES[type(one)] for one in plan.normalisation],
        "use_mask_for_norm": [one.masked for one in plan.normalisation],
        **resampling,
        "architecture": _architecture(plan, flat),
        "batch_dice": plan.batch_dice,
    }


def _architecture(plan: Plan, flat: int) -> dict[str, Any]:
    axes = AXES - flat
    kind, blocks = (
        ("ResidualEncoderUNet", "n_blocks_per_stage")
        if plan.residual
        else ("PlainConvUNet", "n_conv_per_stage")
    )
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
        "arch_kwargs": {
            "n_stages": len(plan.widths),
            "features_per_stage": list(plan.widths),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [list(kernel[flat:]) for kernel in plan.kernels],
            "strides": [list(stride[flat:]) for stride in plan.strides],
            blocks: list(plan.blocks),
            "n_conv_per_stage_decoder": list(reversed(plan.decoder_blocks)),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _intensities(normaliser: Normaliser) -> dict[str, float]:
    """Give the statistics of a channel that nnU-Net's normalisation reads: those of a CT."""
    found = normaliser if isinstance(normaliser, CT) else CT(0.0, 1.0, 0.0, 1.0)
    return {
        "max": found.high,
        "mean": found.mean,
        "median": found.mean,
        "min": found.low,
        "percentile_00_5": found.low,
        "percentile_99_5": found.high,
        "std": found.std,
    }


def _dataset(task: Task) -> dict[str, Any]:
    """Describe channels and labels in consecutive integers, as nnU-Net wants them."""
    task = task.consecutive()
    labels: dict[str, Any] = {"background": BACKGROUND}
    for name, values in task.foreground.items():
        labels[name] = list(values) if task.has_regions else values[0]
    order = task.regions_class_order
    return {
        "name": task.name,
        "channel_names": {str(i): channel for i, channel in enumerate(task.channels)},
        "labels": labels,
        **({} if order is None else {"regions_class_order": list(order)}),
        "numTraining": 0,
        "file_ending": task.file_ending,
    }


def _fingerprint(plan: Plan) -> dict[str, Any]:
    return {
        "spacings": [[mm or 1.0 for mm in plan.spacing]],
        "shapes_after_crop": [list(plan.patch)],
        "median_relative_size_after_cropping": 1.0,
        INTENSITIES: {str(i): _intensities(one) for i, one in enumerate(plan.normalisation)},
    }


def _is_2d(plan: Plan) -> bool:
    return plan.patch[0] == 1 and plan.spacing[0] is None
