"""Models exported to nnU-Net: the share of voxels for which ``nnUNetv2_predict`` answers as we do.

A trained plain model of Hippocampus, a residual one of random weights, and plain and residual ones trained
briefly on ACDC. Each is imported again, and its weights counted that differ in a bit.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from figure import Figure
from peers import ROOT, THEIRS, python_of

import ingradient_pl as ip
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
CASES, STEPS = 6, 30
ACDC_NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {"blocks": (2, 2, 2, 2), "decoder_blocks": (2, 2, 2)},
    "residual": {"residual": True, "blocks": (1, 2, 2, 2), "decoder_blocks": (1, 1, 1)},
}
SMALL: dict[str, Any] = {
    "spacing": (10.0, 1.8, 1.8),
    "patch": (10, 96, 96),
    "widths": (8, 16, 32, 64),
    "batch_size": 2,
    "strides": ((1, 1, 1), *((1, 2, 2),) * 3),
    "kernels": ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3)),
}
SHORT: dict[str, Any] = {
    "trainer": "cpu",
    "logger": "none",
    "recipe": "fast",
    "epochs": 1,
    "trainer.limit_val_batches": 0,
}


def figures() -> list[Figure]:
    out = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, model, data) in enumerate(_models(Path(folder))):
            work = Path(folder) / str(number)
            share = 100 * _equal(model, data, work)
            changed = _changed(model, read_nnunet(work / "model"))
            out += [
                Figure(f"exported [{name}]", share, "% of voxels", "nnUNetv2_predict", 99.9, most=False),
                Figure(f"imported again [{name}]", changed, "weights changed", "the exported model", 0),
            ]
            print(*(figure.line for figure in out[-2:]), sep="\n", flush=True)
    return out


def _models(folder: Path) -> Iterator[tuple[str, Model, Path]]:
    yield "plain, trained, Hippocampus", read_nnunet(MODEL), HIPPOCAMPUS
    yield "residual, Hippocampus", _random(), HIPPOCAMPUS
    store = ip.prepare(ACDC, folder / "store", orientation="stored")
    plan = ip.plan(store)
    for kind, changes in ACDC_NETWORKS.items():
        small = replace(plan, **SMALL, **changes)
        run = ip.train(store, small, folder / kind, batches_per_epoch=STEPS, **SHORT)
        yield f"{kind}, trained, ACDC", run.load().model, ACDC


def _random() -> Model:
    torch.manual_seed(0)
    task = Task(("MR",), {"background": 0, "label 1": 1, "label 2": 2})
    halved = ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    shape = ((16, 32, 64), halved, ((3, 3, 3),) * 3, (1, 2, 2), (1, 1))
    plan = Plan(
        *(1, task.outputs, (1.0, 1.0, 1.0), (40, 56, 40), 2, *shape, (ZScore(),), True), orientation="stored"
    )
    return Model([unet(plan).eval()], plan, task, "random weights", (0, 1, 2))


def _changed(model: Model, again: Model) -> int:
    """Count the weights whose bits are others after export and import."""
    pairs = zip(model.networks, again.networks, strict=True)
    held = [(one.state_dict(), other.state_dict()) for one, other in pairs]
    return sum(int((one[name] != other[name]).sum()) for one, other in held for name in other)


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
