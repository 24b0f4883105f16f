"""Train nnU-Net for some minutes on flat voxels, at another spacing than the images', on a split by patients.

python train.py DATASET WORK: DATASET is a raw data set whose cases are named PATIENT_..., WORK a folder for
nnU-Net's own. Printed last, as JSON: the model's folder and the names of the validation cases. The
network is small, so that a processor trains it; what it needs beside is nnU-Net's own way from end to end
(fingerprint, plan, preprocessing, training), but for the entries below.
"""

import json
import os
import sys
from pathlib import Path

NAME = "flat"
WIDTHS = [8, 16, 32, 64]
STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 2]]
KERNELS = [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]]
PLANNED = {
    "data_identifier": NAME,
    "batch_size": 2,
    "patch_size": [12, 112, 96],
    "spacing": [8.0, 1.8, 1.9],  # of images with about 10 x 1.5 x 1.5 mm
}
EPOCHS, ITERATIONS, VALIDATION_ITERATIONS = 15, 100, 2
PATIENTS_SHARE = 5
"""Of so many patients one validates."""


def linked(data: Path, work: Path) -> str:
    """Lay nnU-Net's three folders out and tell it of them; give the data set's name."""
    for name in ("raw", "preprocessed", "results"):
        (work / name).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(work / name)
    raw = work / "raw" / data.name
    if not raw.exists():
        raw.symlink_to(data)
    return data.name


def planned(name: str, work: Path) -> None:
    """nnU-Net's plan with a configuration of our own beside its others."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    number = int(name[len("Dataset") :].partition("_")[0])
    api.extract_fingerprints([number], num_processes=2, show_progress_bar=False)
    api.plan_experiments([number])
    file = work / "preprocessed" / name / "nnUNetPlans.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    architecture["arch_kwargs"] |= {
        "n_stages": len(WIDTHS),
        "features_per_stage": WIDTHS,
        "kernel_sizes": KERNELS,
        "strides": STRIDES,
        "n_conv_per_stage": [2] * len(WIDTHS),
        "n_conv_per_stage_decoder": [2] * (len(WIDTHS) - 1),
    }
    plans["configurations"][NAME] = {
        "inherits_from": "3d_fullres",
        "architecture": architecture,
        **PLANNED,
    }
    file.write_text(json.dumps(plans), encoding="utf-8")
    api.preprocess([number], configurations=[NAME], num_processes=[2], show_progress_bar=False)


def split(data: Path, file: Path) -> list[str]:
    """Keep every fifth patient, with all frames, from training; give the cases kept."""
    cases = sorted(one.name.removesuffix("_0000.nii.gz") for one in (data / "imagesTr").glob("*_0000.nii.gz"))
    patients = sorted({case.partition("_")[0] for case in cases})
    kept = set(patients[::PATIENTS_SHARE])
    validation = [case for case in cases if case.partition("_")[0] in kept]
    training = [case for case in cases if case.partition("_")[0] not in kept]
    file.write_text(json.dumps([{"train": training, "val": validation}]), encoding="utf-8")
    return validation


def trained(name: str, work: Path) -> Path:
    """Train fold 0 as nnU-Net does, but shorter; give the model's folder."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = work / "preprocessed" / name
    plans, dataset = (
        json.loads((folder / file).read_text(encoding="utf-8"))
        for file in ("nnUNetPlans.json", "dataset.json")
    )
    settings = {"configuration": NAME, "fold": 0, "dataset_json": dataset, "device": torch.device("cpu")}
    trainer = nnUNetTrainer({**plans, "continue_training": False}, **settings)
    trainer.num_epochs, trainer.num_iterations_per_epoch = EPOCHS, ITERATIONS
    trainer.num_val_iterations_per_epoch = VALIDATION_ITERATIONS
    torch.manual_seed(0)
    trainer.run_training()
    return Path(trainer.output_folder_base)


def main(data: str, work: str) -> None:
    source, place = Path(data).resolve(), Path(work).resolve()
    name = linked(source, place)
    planned(name, place)
    validation = split(source, place / "preprocessed" / name / "splits_final.json")
    folder = trained(name, place)
    print(json.dumps({"model": str(folder), "validation": validation}))


if __name__ == "__main__":
    main(*sys.argv[1:])
