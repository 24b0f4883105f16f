"""Whole commands, cold start included: our predict against nnU-Net's and the bare network's passes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from figure import Figure, medians
from peers import ROOT, THEIRS, python_of
from torch import nn

from ingradient_pl.cases.formats import read_label
from ingradient_pl.cases.sources import images_only
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.cases_run import read_case
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.nnunet_model import import_nnunet
from ingradient_pl.inference.predictor import Predictor, finest

SHARED = ROOT.parent / "shared"
DATA, MODEL = SHARED / "data" / "Dataset004_Hippocampus", SHARED / "reference" / "nnunet_hippocampus"
CASES, ROUNDS = 40, 3
BATCHES = (1, 2, 4, 8)


def figures() -> list[Figure]:
    for folder in (DATA, MODEL):
        if not folder.is_dir():
            sys.exit(f"predict: {folder.name} is not beside the checkout, nothing to measure")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _linked(work / "images")
        import_nnunet(MODEL, work / "model.ckpt")
        model = checkpoint.read(work / "model.ckpt")
        bare, what = _bare(model, work / "images")
        ours, theirs, passes = medians([_ours(work), _theirs(work), bare], ROUNDS, warm=0)
        equal = _equal(work)
    print(
        f"{CASES} cases, mirrored, {torch.get_num_threads()} threads, seconds (median of {ROUNDS} in turns)"
    )
    for name, seconds in (("ingradient predict", ours), ("nnU-Net", theirs), (what, passes)):
        print(f"{name:<52}{seconds:>8.1f}")
    return [
        Figure(
            "predict_equal", 100 * equal, "% of voxels", "nnU-Net's answers in this run", 99.99, most=False
        ),
        Figure("predict_time", ours / theirs, "ratio", "nnU-Net's predict, whole commands", 0.5),
        Figure("predict_overhead", ours / passes, "ratio", f"the {what}", 1.25),
    ]


def _linked(folder: Path) -> None:
    """The first cases of those that the model's training kept for validation."""
    folder.mkdir()
    names = json.loads((MODEL / "splits_final.json").read_text())[0]["val"]
    for name in sorted(names)[:CASES]:
        file = f"{name}_0000.nii.gz"
        (folder / file).symlink_to(DATA / "imagesTr" / file)


def _ours(work: Path):
    line = [sys.executable, "-m", "ingradient_pl.cli.main", "predict", "--checkpoint", work / "model.ckpt"]
    return _command([*line, "--source", work / "images", "--output", work / "ours", "--device", "cpu"])


def _theirs(work: Path):
    driver = THEIRS / "predict.py"
    line = [python_of("nnunet"), driver, "-m", MODEL, "-f", "0", "-device", "cpu"]
    return _command([*line, "-i", work / "images", "-o", work / "theirs"])


def _command(line: list):
    folders = {f"nnUNet_{name}": "/nowhere" for name in ("raw", "preprocessed", "results")}
    target = Path(line[line.index("--output" if "--output" in line else "-o") + 1])

    def run() -> None:
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(line, check=True, capture_output=True, env={**os.environ, **folders})

    return run


def _bare(model: Model, images: Path):
    """Nothing but the network's passes over as many windows, together as many as is fastest."""

    class Counting(nn.Module):
        views = 0

        def forward(self, image):
            self.views += len(image)
            return image.new_zeros(len(image), model.plan.outputs, *image.shape[2:])

    counting = Counting()
    counter = Predictor(model._replace(networks=[counting]))
    for case in images_only(images, model.task):
        volume = read_case(case, model.task, model.plan.orientation)
        counter.predict(volume.voxels, volume.frame.spacing)
    network, shape = model.networks[0], (model.plan.channels, *model.plan.patch)
    image = torch.randn(max(BATCHES), *shape)

    def passes(batch: int, views: int) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(0, views, batch):
                finest(network, image[:batch])
        return time.perf_counter() - start

    passes(1, 2)
    best = min(BATCHES, key=lambda batch: min(passes(batch, 16) for _ in range(3)))
    return lambda: passes(best, counting.views), f"bare network's {counting.views} passes, {best} at a time"


def _equal(work: Path) -> float:
    equal = voxels = 0
    for file in sorted((work / "ours").glob("*.nii.gz")):
        one, other = (read_label(work / who / file.name, "stored").voxels for who in ("ours", "theirs"))
        equal, voxels = equal + int(np.sum(one == other)), voxels + one.size
    return equal / voxels
