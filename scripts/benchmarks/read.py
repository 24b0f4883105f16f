"""CPU time of a patch from a large store to collated tensors, one core; and beside batchgeneratorsv2's.

Both take turns, for a machine that others share has slow minutes. The first batches of a turn are not
counted (a worker that trains never rests), nor is the check of what a process reads for the first time.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from figure import Figure
from peers import Peer
from scipy import ndimage

from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.images import nifti
from ingradient_pl.images.frame import Frame
from ingradient_pl.loading.patches import CasePatches, PatchLoader, PatchNumbers
from ingradient_pl.planning.plan import Plan
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

SHAPE, SPACING = (300, 512, 512), (1.0, 0.8, 0.8)
PATCH, BATCH = (128, 128, 128), 2
TURNS, WARM_UP, BATCHES, THEIR_PATCHES = 5, 4, 20, 40
NEARLY = (0.99, 0.792, 0.792)
WORKS = {
    "cut": (SPACING, None),
    "margin": (NEARLY, None),
    "motions": (SPACING, RandomAffine()),
    "coarser, motions": ((1.25, 1.0, 1.0), RandomAffine()),
}


def figures() -> list[Figure]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Peer("nnunet", "augment") as peer:
        store = CaseStore(large_store(Path(folder)))
        for name, case in store.cases.items():
            store.read(name, case.grid.whole)
        taken: dict[str, list[float]] = {name: [] for name in WORKS}
        voxels: dict[str, list[int]] = {name: [] for name in WORKS}
        loaders = {name: _loader(store, *work) for name, work in WORKS.items()}
        theirs = []
        for turn in range(TURNS):
            for name, loader in loaders.items():
                loader.numbers.set_epoch(turn)
                _read(loader, taken[name], voxels[name])
            theirs += [peer.seconds(turn * THEIR_PATCHES + number) for number in range(THEIR_PATCHES)]
    print(f"{'CPU ms a patch':<20}{'mean':>8}{'median':>8}{'most':>8}{'voxels read':>14}")
    for name, seconds in taken.items():
        print(f"{name:<20}{_row(seconds)}{statistics.mean(voxels[name]):>14.3g}")
    print(f"{'batchgeneratorsv2':<20}{_row(theirs)}")
    mean = {name: statistics.mean(seconds) for name, seconds in taken.items()}
    against = "batchgeneratorsv2, nnU-Net's transforms"
    bar = "a 128 cubed patch of a 512 x 512 x 300 int16 store"
    return [
        Figure("read_cut", mean["cut"] * 1e3, "ms of one core", bar, 15),
        Figure("read_margin", mean["margin"] * 1e3, "ms of one core", f"{bar}, spline's margin included", 15),
        Figure("read_ratio", statistics.mean(theirs) / mean["margin"], "times less", against, 50, most=False),
    ]


def _row(seconds: list[float]) -> str:
    shown = (statistics.mean(seconds), statistics.median(seconds), max(seconds))
    return "".join(f"{entry * 1e3:>8.1f}" for entry in shown)


def large_store(folder: Path) -> Path:
    """A patient in air with the grain of a CT, and an organ with a lesion."""
    rng = np.random.default_rng(0)
    axes = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in SHAPE)]
    away = sum(axis.astype(np.float32) ** 2 for axis in axes)
    label = (away < 0.16).astype(np.uint8) + (away < 0.02)
    grain = ndimage.gaussian_filter(rng.standard_normal(SHAPE, np.float32), 0.7)
    image = np.where(away < 0.8, 40 + 60 * label + 60 * grain, -1000 + 15 * grain).astype(np.int16)
    files = []
    for name, voxels in (("image", image), ("label", label)):
        files.append(folder / f"{name}.nii")
        nifti.write(files[-1], voxels[None], Frame.of(SPACING, (0.0, 0.0, 0.0), np.eye(3).ravel()), None)
    task = Task(("CT",), {"background": 0, "organ": 1, "lesion": 2})
    case = CaseFiles("case", (files[0],), files[1], "case")
    build_store(Source(task, [case]), folder / "store", workers=1, progress=False)
    return folder / "store"


def _loader(store: CaseStore, spacing: tuple[float, ...], motion: RandomAffine | None) -> PatchLoader:
    stages = ((1, 1, 1), (2, 2, 2))
    plan = Plan(1, 3, spacing, PATCH, BATCH, (8, 16), stages, ((3, 3, 3),) * 2, (1, 1), (1,), [ZScore()])
    draws = TrainingDraws(affine=motion)
    numbers = PatchNumbers(BATCH * (WARM_UP + BATCHES), 0, 1)
    return PatchLoader(CasePatches(store, plan, draws, list(store.cases)), numbers, BATCH, workers=0)


def _read(loader: PatchLoader, taken: list[float], voxels: list[int]) -> None:
    """Note the CPU seconds of each patch, its batch shared out, and the voxels that it read."""
    batches = iter(loader)
    for number in range(WARM_UP + BATCHES):
        start = time.process_time()
        batch = next(batches)
        if number >= WARM_UP:
            taken.append((time.process_time() - start) / BATCH)
            voxels += [patch.image.numel() for patch in batch]
