"""Whole commands, cold start included: our predict against nnU-Net's and the bare network's passes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from figure import Figure, medians
from peers import ROOT, THEIRS, python_of
from torch import nn

from ingradient_pl.datasets.sources import images_only
from ingradient_pl.images.formats import read_label
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.forward import finest
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.metrics.agreement import count_agreement
from ingradient_pl.nnunet.model import import_nnunet

SHARED = ROOT.parent / "shared"
DATA, MODEL = SHARED / "data" / "Dataset004_Hippocampus", SHARED / "reference" / "nnunet_hippocampus"
CASES, ROUNDS = 40, 3
BATCHES = (1, 2, 4, 8)


class Agreement(NamedTuple):
    """How our answers agree with nnU-Net's.

    Args:
        equal: Share of all voxels that are the same.
        apart: The most that the Dice of a label in a case differs.
        dice: Mean Dice of nnU-Net's answers: whether the model segments at all.
    """

    equal: float
    apart: float
    dice: float

    def figures(self, name: str) -> list[Figure]:
        against = "nnU-Net's answers in this run"
        return [
            Figure(f"{name}_equal", 100 * self.equal, "% of voxels", against, 99.99, most=False),
            Figure(f"{name}_dice", self.apart, "Dice, the most of any label and case", against, 1e-3),
        ]


def figures() -> list[Figure]:
    for folder in (DATA, MODEL):
        if not folder.is_dir():
            sys.exit(f"predict: {folder.name} is not beside the checkout, nothing to measure")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        names = json.loads((MODEL / "splits_final.json").read_text())[0]["val"]
        link(DATA, sorted(names)[:CASES], work / "images")
        model = import_nnunet(MODEL, work / "model.ckpt")
        bare, what = _bare(model, work / "images")
        ours, theirs, passes = medians([by_us(work), by_nnunet(work, MODEL), bare], ROUNDS, warm=0)
        agreement = agreed(work, DATA / "labelsTr")
    print(
        f"{CASES} cases, mirrored, {torch.get_num_threads()} threads, seconds (median of {ROUNDS} in turns)"
    )
    for name, seconds in (("ingradient predict", ours), ("nnU-Net", theirs), (what, passes)):
        print(f"{name:<52}{seconds:>8.1f}")
    return [
        *agreement.figures("predict"),
        Figure("predict_time", ours / theirs, "ratio", "nnU-Net's predict, whole commands", 0.5),
        Figure("predict_overhead", ours / passes, "ratio", f"the {what}", 1.25),
    ]


def link(data: Path, cases: list[str], folder: Path) -> None:
    """Lay the images of some cases of a raw data set into a folder of their own."""
    folder.mkdir()
    for file in (f"{case}_0000.nii.gz" for case in cases):
        (folder / file).symlink_to(data / "imagesTr" / file)


def by_us(work: Path) -> Callable[[], None]:
    """Our command over the images of ``work``."""
    line = [sys.executable, "-m", "ingradient_pl.cli.main", "predict", "--checkpoint", work / "model.ckpt"]
    return _command([*line, "--source", work / "images", "--device", "cpu", "--output", work / "ours"])


def by_nnunet(work: Path, model: Path) -> Callable[[], None]:
    """nnU-Net's command over the same images."""
    line = [python_of("nnunet"), THEIRS / "predict.py", "-m", model, "-f", "0", "-device", "cpu"]
    return _command([*line, "-i", work / "images", "-o", work / "theirs"])


def _command(line: list) -> Callable[[], None]:
    folders = {f"nnUNet_{name}": "/nowhere" for name in ("raw", "preprocessed", "results")}

    def run() -> None:
        shutil.rmtree(line[-1], ignore_errors=True)
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
    for case in images_only(images, model.task).cases:
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


def agreed(work: Path, labels: Path) -> Agreement:
    """Hold both commands' answers against each other, voxel by voxel and by their Dice."""
    equal = voxels = 0
    apart, dice = [], []
    for file in sorted((work / "theirs").glob("*.nii.gz")):
        folders = (work / "ours", work / "theirs", labels)
        one, other, truth = (read_label(folder / file.name, "stored").voxels[0] for folder in folders)
        equal, voxels = equal + int(np.sum(one == other)), voxels + one.size
        foreground = [int(label) for label in np.unique(truth) if label]
        our, their = (count_agreement(answer, truth, foreground) for answer in (one, other))
        apart += [abs(our[label].dice - their[label].dice) for label in foreground]
        dice += [their[label].dice for label in foreground]
    return Agreement(equal / voxels, max(apart), float(np.mean(dice)))
