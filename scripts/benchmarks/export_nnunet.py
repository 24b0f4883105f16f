"""Models exported to nnU-Net: the share of voxels for which ``nnUNetv2_predict`` answers as we do.

A trained plain model on Hippocampus, and plain and residual models of random weights on Hippocampus and ACDC.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from figure import Figure
from peers import ROOT, THEIRS, python_of

from ingradient_pl.datasets.sources import images_only
from ingradient_pl.images.formats import read_label
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predict_cases import save_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.planning.constructors import unet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

SHARED = ROOT.parent / "shared"
DATA, MODEL = SHARED / "data", SHARED / "reference" / "nnunet_hippocampus"
HIPPOCAMPUS, ACDC = DATA / "Dataset004_Hippocampus", DATA / "Dataset027_ACDC"
CASES = 6


def figures() -> list[Figure]:
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model, data) in enumerate(_models()):
            work = Path(folder) / str(number)
            share = 100 * _equal(model, data, work)
            out.append(
                Figure(f"exported [{name}]", share, "% of voxels", "nnUNetv2_predict", 99.9, most=False)
            )
            print(out[-1].line, flush=True)
    return out


def _models() -> list[tuple[str, Model, Path]]:
    small, thick = ((1.0, 1.0, 1.0), (40, 56, 40), (2, 2, 2)), ((10.0, 1.8, 1.8), (10, 96, 96), (1, 2, 2))
    return [
        ("plain, trained, Hippocampus", read_nnunet(MODEL), HIPPOCAMPUS),
        ("residual, Hippocampus", _random(HIPPOCAMPUS, *small, residual=True), HIPPOCAMPUS),
        ("plain, ACDC", _random(ACDC, *thick, residual=False), ACDC),
        ("residual, ACDC", _random(ACDC, *thick, residual=True), ACDC),
    ]


def _random(
    data: Path, spacing: tuple[float, ...], patch: tuple[int, ...], stride: tuple[int, ...], *, residual: bool
) -> Model:
    torch.manual_seed(0)
    task = Task(("MR",), {"background": 0, **{f"label {i}": i for i in range(1, 3 + ("ACDC" in data.name))}})
    kernel = (1, 3, 3) if stride[0] == 1 else (3, 3, 3)
    blocks, decoder = ((1, 2, 2), (1, 1)) if residual else ((2, 2, 2), (2, 2))
    shape = ((16, 32, 64), ((1, 1, 1), stride, stride), (kernel, kernel, (3, 3, 3)), blocks, decoder)
    plan = Plan(1, task.outputs, spacing, patch, 2, *shape, (ZScore(),), residual, orientation="stored")
    network = unet(plan).eval()
    return Model([network], plan, task, "random weights", (0, 1, 2))


def _equal(model: Model, data: Path, work: Path) -> float:
    """Predict a few cases with both, and give the share of voxels that agree."""
    images = work / "images"
    images.mkdir(parents=True)
    for file in sorted((data / "imagesTr").iterdir())[:CASES]:
        shutil.copy(file, images)
    export_nnunet(model, work / "model")
    line = [python_of("nnunet"), "-W", "ignore", THEIRS / "predict.py", "-m", work / "model", "-i", images]
    line += ["-o", work / "theirs", "-f", "0", "-device", "cpu", "-npp", "1", "-nps", "1"]
    folders = {f"nnUNet_{name}": str(work) for name in ("raw", "preprocessed", "results")}
    subprocess.run(list(map(str, line)), check=True, stdout=subprocess.DEVNULL, env={**os.environ, **folders})
    cases = images_only(images, model.task).cases
    save_cases(Predictor(model, device="cpu"), cases, work / "ours")
    equal = total = 0
    for file in sorted((work / "theirs").glob("*.nii.gz")):
        theirs, ours = (
            read_label(folder / file.name, "stored").voxels for folder in (file.parent, work / "ours")
        )
        equal, total = equal + int(np.sum(theirs == ours)), total + ours.size
    return equal / total
