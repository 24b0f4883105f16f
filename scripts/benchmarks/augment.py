"""CPU time of all that is done to a batch after it is read, against batchgeneratorsv2's; one thread each."""

import statistics
import time

import numpy as np
import torch
from figure import Figure
from peers import Peer

from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import PlannedDraws
from ingradient_pl.geometry import Grid
from ingradient_pl.losses.deep_supervision import downsample_label
from ingradient_pl.transforms.augment import Augment
from ingradient_pl.transforms.patch import Patch
from ingradient_pl.transforms.patch_sampling import lay_patch
from ingradient_pl.transforms.prepare_batch import Prepare

PATCH, CASE, BATCH, ROUNDS, LEVELS = (128, 128, 128), (200, 220, 220), 2, 100, 5
THEIRS = "batchgeneratorsv2, nnU-Net's transforms"
SPACINGS = {"as stored": (1.0, 1.0, 1.0), "resampled": (1.2, 1.2, 1.2)}


def figures() -> list[Figure]:
    torch.set_num_threads(1)
    ours = {name: Ours(spacing) for name, spacing in SPACINGS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in (*ours, "theirs")}
    with Peer("nnunet", "augment") as peer:
        peer.seconds(0)
        for turn in range(ROUNDS):
            for name, work in ours.items():
                seconds[name].append(work.seconds(turn))
            seconds["theirs"].append(sum(peer.seconds(BATCH * turn + i) for i in range(BATCH)))
    print(f"{'CPU seconds a batch of ' + str(BATCH):<28}{'mean':>8}{'median':>8}{'most':>8}")
    for name, taken in seconds.items():
        print(f"{name:<28}{statistics.mean(taken):>8.3f}{statistics.median(taken):>8.3f}{max(taken):>8.3f}")
    theirs = statistics.mean(seconds["theirs"])
    return [
        Figure(
            f"augment_{name.replace(' ', '_')}",
            statistics.mean(seconds[name]) / theirs,
            "ratio",
            THEIRS,
            1 / 3,
        )
        for name in ours
    ]


class Ours:
    """Normalise, resample with motions, change intensities, thin the label: all between read and network."""

    def __init__(self, spacing: tuple[float, float, float]) -> None:
        rng = np.random.default_rng(0)
        self.grid, self.spacing = Grid.of(CASE, (1.0, 1.0, 1.0)), spacing
        self.image = rng.normal(0, 300, (1, *CASE)).astype(np.int16)
        away = sum(axis**2 for axis in np.meshgrid(*(np.arange(n) - n / 2 for n in CASE), indexing="ij"))
        self.label = (away < 50**2).astype(np.uint8) + (away < 20**2)  # an organ, and a lesion in it
        voxels = np.argwhere(self.label).astype(np.int32)
        self.cases = [Candidate("case", self.grid, {1: voxels}, (1,))]
        self.draws = PlannedDraws(PATCH, spacing, BATCH)
        self.prepare, self.augment = Prepare(PATCH, [False]), Augment()

    def seconds(self, turn: int) -> float:
        patches = [self.patch(BATCH * turn + i) for i in range(BATCH)]
        start = time.process_time()
        batch = self.augment(self.prepare(patches))
        for level in range(LEVELS):
            downsample_label(batch.label, [voxels >> level for voxels in PATCH]).contiguous()
        return time.process_time() - start

    def patch(self, number: int) -> Patch:
        draw = self.draws.draw(number, self.cases)
        wanted = lay_patch(self.grid, Grid(PATCH, self.spacing), draw.centre, draw.affine)
        image = torch.from_numpy(self.image[(slice(None), *wanted.image_box.slices)].copy())
        label = torch.from_numpy(self.label[wanted.label_box.slices].copy())
        terms = torch.tensor([[-1e4, 1e4, 0.0, 300.0]])
        return Patch(draw.case, number, image, label, wanted.start, None, terms, wanted.sampling)
