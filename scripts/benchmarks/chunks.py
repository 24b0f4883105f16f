"""Codecs, chunks and blocks of the store side by side: a random box of 144³ on one core, and bytes on disk.

Real cases of every size beside the checkout, and two made-up ones up to 512 x 512 x 600. What the store does
is one of the rows; the bars hold it against the best of them.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import blosc2
import numpy as np
from figure import Figure
from peers import ROOT
from scipy import ndimage

from ingradient_pl.images.formats import read_volume
from ingradient_pl.store import chunks

DATA = ROOT.parent / "shared" / "data"
REAL = {
    "hippocampus": "Dataset004_Hippocampus/imagesTr/hippocampus_001_0000.nii.gz",
    "acdc": "Dataset027_ACDC/imagesTr/patient004_frame01_0000.nii.gz",
    "brats": "Dataset013_BraTS2013/imagesTr/*_0000.nii.gz",
    "chaos ct": "single_cases/chaos_ct/images/*.nii.gz",
}
EDGE, BOXES = 144, 24


class Way(NamedTuple):
    """How an array may lie on the disk."""

    codec: str
    level: int
    chunk: int
    block: tuple[int, int, int]
    split: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        split = blosc2.SplitMode.ALWAYS_SPLIT if self.split else blosc2.SplitMode.NEVER_SPLIT
        cparams = {"codec": blosc2.Codec[self.codec], "clevel": self.level, "splitmode": split}
        return {"FAST": cparams, "DENSE": cparams, "CHUNK": self.chunk, "BLOCK": self.block, "SMALL": 0}

    def __str__(self) -> str:
        together = "" if self.split else ", bytes together"
        return f"{self.codec} {self.level}, {self.chunk}, {'x'.join(map(str, self.block))}{together}"


BLOCK = chunks.BLOCK
WAYS = [
    *(Way(codec, level, 64, BLOCK) for codec, level in (("LZ4", 5), ("LZ4HC", 5), ("LZ4HC", 9), ("ZSTD", 1))),
    Way("ZSTD", 5, 64, BLOCK),
    Way("BLOSCLZ", 5, 64, BLOCK),
    Way("LZ4HC", 5, 64, BLOCK, split=False),
    Way("LZ4HC", 5, 32, BLOCK),
    Way("LZ4HC", 5, 128, BLOCK),
    *(
        Way("LZ4HC", 5, 64, block)
        for block in (
            (8, 16, 16),
            (8, 16, 32),
            (16, 16, 16),
            (16, 16, 32),
            (16, 32, 32),
            (8, 16, 64),
            (32, 32, 32),
            (64, 64, 64),
        )
    ),
]


class Row(NamedTuple):
    """Milliseconds of a box (median), bytes on disk over bytes of the voxels, seconds to write."""

    ms: float
    size: float
    packing: float


def figures() -> list[Figure]:
    slow, large = [], []
    for name, voxels in _cases():
        print(
            f"\n{name}: {'x'.join(map(str, voxels.shape[1:]))} {voxels.dtype}, {voxels.nbytes / 2**20:.1f} MB"
        )
        print(f"{'':<40}{'ms a box':>10}{'size':>8}{'s to write':>12}")
        ours = _row("the store's way", voxels, {"SMALL": chunks.SMALL})
        others = [_row(str(way), voxels, way.settings) for way in WAYS]
        slow.append(ours.ms / min(row.ms for row in others))
        large.append(ours.size / min(row.size for row in others))
    return [
        Figure("chunks_time", statistics.mean(slow), "ratio", "the fastest row of each case, mean", 1.5),
        Figure("chunks_size", statistics.mean(large), "ratio", "the smallest row of each case, mean", 1.25),
    ]


def _cases() -> Iterator[tuple[str, np.ndarray]]:
    for name, pattern in REAL.items():
        found = sorted(DATA.glob(pattern))
        if found:
            yield name, read_volume([found[0]], "stored").voxels
    yield "made-up ct", _made_up((300, 512, 512))
    yield "made-up long ct", _made_up((600, 512, 512))


def _made_up(shape: tuple[int, int, int]) -> np.ndarray:
    """A body in air, both with the grain of a CT."""
    rng = np.random.default_rng(0)
    away = sum(axis.astype(np.float32) ** 2 for axis in np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)])
    grain = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 0.7)
    return np.where(away < 0.8, 40 + 60 * grain, -1000 + 15 * grain).astype(np.int16)[None]


def _row(title: str, voxels: np.ndarray, settings: dict[str, Any]) -> Row:
    with tempfile.TemporaryDirectory() as folder, patch.multiple(chunks, **settings):
        file, start = Path(folder) / "image.b2nd", time.perf_counter()
        made = chunks.pack(voxels)
        seconds = time.perf_counter() - start
        file.write_bytes(made.content)
        array = chunks.Chunks(file, chunks.ChunkSums(len(made.content), made.sums))
        taken = [list(_times(array, voxels.shape)) for _ in range(2)][1]  # the first reading checks sums
    row = Row(1e3 * statistics.median(taken), len(made.content) / voxels.nbytes, seconds)
    print(f"{title:<40}{row.ms:>10.2f}{row.size:>8.2f}{row.packing:>12.2f}", flush=True)
    return row


def _times(array: chunks.Chunks, shape: tuple[int, ...]) -> Iterator[float]:
    rng = np.random.default_rng(1)
    for _ in range(BOXES):
        starts = [int(rng.integers(0, max(0, n - EDGE) + 1)) for n in shape[1:]]
        ends = [min(start + EDGE, n) for start, n in zip(starts, shape[1:], strict=True)]
        box = [slice(0, shape[0]), *(slice(*pair) for pair in zip(starts, ends, strict=True))]
        start = time.process_time()
        array.read(box)
        yield time.process_time() - start
