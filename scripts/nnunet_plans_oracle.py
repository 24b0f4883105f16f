"""Ask nnU-Net for its plans and keep the answers for the tests.

Run it where nnU-Net 2.8.1 is installed (it needs neither our package nor a GPU):

    python scripts/nnunet_plans_oracle.py [--data FOLDER_OF_NNUNET_RAW_DATA_SETS]

It writes tests/expected/nnunet_plans.json.gz: for each made-up data set of tests/fingerprints.py, and each
real one found under --data, the decisions of nnU-Net's four planners. nnU-Net builds a network for every
patch it considers; here a network is built once for each way to stride, without memory (on the meta device),
and asked by nnU-Net's own method.
"""

import argparse
import contextlib
import functools
import gzip
import importlib
import io
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
FOLDER = tempfile.TemporaryDirectory()
for name in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{name}"] = str(Path(FOLDER.name) / name)

import fingerprints  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

PLANNERS = "nnunetv2.experiment_planning.experiment_planners"
RESENC = f"{PLANNERS}.residual_unets.residual_encoder_unet_planners"
PRESETS = {
    "default": (f"{PLANNERS}.default_experiment_planner", "ExperimentPlanner"),
    "resenc_m": (RESENC, "nnUNetPlannerResEncM"),
    "resenc_l": (RESENC, "nnUNetPlannerResEncL"),
    "resenc_xl": (RESENC, "nnUNetPlannerResEncXL"),
}
REAL = ("Dataset004_Hippocampus", "Dataset027_ACDC", "Dataset013_BraTS2013")
INTENSITIES = {"mean": 0.0, "median": 1.0, "std": 2.0, "min": -3.0, "max": 4.0}


def estimate(
    patch: Sequence[int],
    channels: int,
    labels: int,
    network: str,
    arguments: dict[str, Any],
    imported: Sequence[str],
) -> int:
    """Stand in for nnU-Net's estimate: the same count, asked of a network that was built before."""
    net = built(network, labels, json.dumps(arguments | {"kernel_sizes": 3}, default=list), tuple(imported))
    return net.compute_conv_feature_map_size(patch)


@functools.cache
def built(network: str, labels: int, arguments: str, imported: tuple[str, ...]) -> torch.nn.Module:
    """Build a network of nnU-Net's without memory for its weights."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    with torch.device("meta"):
        return get_network_from_plans(network, json.loads(arguments), imported, 1, labels, allow_init=False)


def planner(preset: str, memory_gb: float | None) -> Any:
    """One of nnU-Net's planners for the data set that lies in the temporary folder."""
    module, name = PRESETS[preset]
    chosen = getattr(importlib.import_module(module), name)
    chosen.static_estimate_VRAM_usage = staticmethod(estimate)
    arguments = {} if memory_gb is None else {"gpu_memory_target_in_gb": memory_gb}
    return chosen("Dataset001_Asked", **arguments)


def decisions(plans: dict[str, Any]) -> dict[str, Any]:
    """What matters in nnU-Net's plans, short."""
    answer = {"transpose": plans["transpose_forward"]}
    for name, one in plans["configurations"].items():
        if "inherits_from" in one:
            answer[name] = [one["inherits_from"], one["previous_stage"]]
            continue
        net = one["architecture"]["arch_kwargs"]
        answer[name] = {
            "spacing": list(one["spacing"]),
            "patch": list(one["patch_size"]),
            "batch_size": one["batch_size"],
            "widths": list(net["features_per_stage"]),
            "strides": net["strides"],
            "kernels": net["kernel_sizes"],
            "blocks": list(net.get("n_conv_per_stage") or net["n_blocks_per_stage"]),
            "decoder_blocks": list(net["n_conv_per_stage_decoder"]),
            "batch_dice": one["batch_dice"],
            "median_shape": list(one["median_image_size_in_voxels"]),
        }
        answer["normalisation"] = list(
            map(list, zip(one["normalization_schemes"], one["use_mask_for_norm"], strict=True))
        )
    return answer


def asked(numbers: dict[str, Any]) -> dict[str, Any]:
    """Lay a fingerprint out as nnU-Net wants it and collect the answer of each planner."""
    raw, done = (Path(FOLDER.name) / name / "Dataset001_Asked" for name in ("raw", "preprocessed"))
    for folder in (raw, done):
        folder.mkdir(parents=True, exist_ok=True)
    told = {
        "channel_names": dict(enumerate(numbers["channels"])),
        "labels": numbers["labels"],
        "numTraining": len(numbers["shapes"]),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {"case": {"images": ["case_0000.nii.gz"], "label": "case.nii.gz"}},
    }
    measured = {
        "spacings": numbers["spacings"],
        "shapes_after_crop": numbers["shapes"],
        "median_relative_size_after_cropping": numbers["relative_size"],
        "foreground_intensity_properties_per_channel": {
            str(channel): INTENSITIES for channel in range(len(numbers["channels"]))
        },
    }
    (raw / "dataset.json").write_text(json.dumps(told))
    (done / "dataset_fingerprint.json").write_text(json.dumps(measured))
    answers = {}
    for preset in PRESETS:
        for old in done.glob("*Plans.json"):
            old.unlink()
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers[preset] = decisions(planner(preset, numbers["memory_gb"]).plan_experiment())
    return answers


def measured(folder: Path) -> dict[str, Any]:
    """Let nnU-Net measure a real data set, one case after the other."""
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    told = json.loads((folder / "dataset.json").read_text())
    labels = sorted((folder / "labelsTr").glob(f"*{told['file_ending']}"))
    extractor = fingerprint_extractor.DatasetFingerprintExtractor
    cases = []
    for label in labels:
        stem = label.name.removesuffix(told["file_ending"])
        images = [
            str(folder / "imagesTr" / f"{stem}_{channel:04}{told['file_ending']}")
            for channel in range(len(told["channel_names"]))
        ]
        cases.append(
            extractor.analyze_case(images, str(label), SimpleITKIO, 100_000_000 // len(labels) // 10)
        )
    pooled = []
    for channel in range(len(told["channel_names"])):
        values = np.concatenate([case[2][channel] for case in cases])
        percentiles = np.percentile(values, [0, 0.5, 50, 99.5, 100])
        pooled.append([float(one) for one in (values.mean(), values.std(), *percentiles)])
    return {
        "shapes": [list(map(int, case[0])) for case in cases],
        "spacings": [list(map(float, case[1])) for case in cases],
        "labels": told["labels"],
        "channels": list(told["channel_names"].values()),
        "relative_size": float(np.median([case[4] for case in cases])),
        "memory_gb": None,
        "intensities": pooled,
    }


def main() -> None:
    """Ask about every data set and write what nnU-Net answered."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--data", type=Path, help="folder that holds real data sets in nnU-Net's raw layout")
    options.add_argument("--output", type=Path, default=ROOT / "tests" / "expected" / "nnunet_plans.json.gz")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    content = {"made_up": {}, "real": {}}
    for number in fingerprints.NUMBERS:
        numbers = fingerprints.fingerprint(number)
        content["made_up"][number] = [fingerprints.checksum(numbers), asked(numbers)]
        print(f"data set {number}", end="\r", flush=True)
    for name in REAL if chosen.data else ():
        numbers = measured(chosen.data / name)
        content["real"][name] = {"fingerprint": numbers, "plans": asked(numbers)}
    text = json.dumps(content, separators=(",", ":")).encode()
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{chosen.output}: {chosen.output.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
