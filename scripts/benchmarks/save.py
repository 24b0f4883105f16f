"""The check sums of a checkpoint: their share of its save."""

import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch
from figure import Figure

from ingradient_pl.inference import checkpoint_file

TENSORS, NUMBERS, ROUNDS = 30, 2**22, 5
"""500 MB, as a run of nnU-Net's size saves."""

BAR = 0.05


def figures() -> list[Figure]:
    content = {"state_dict": {str(i): torch.randn(NUMBERS) for i in range(TENSORS)}}
    seal, sealing, shares = checkpoint_file._seal, list[float](), list[float]()

    def timed(file):
        start = time.perf_counter()
        seal(file)
        sealing.append(time.perf_counter() - start)

    with tempfile.TemporaryDirectory() as folder, mock.patch.object(checkpoint_file, "_seal", timed):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            checkpoint_file.write_content(Path(folder) / "last.ckpt", content)
            shares.append(sealing[-1] / (time.perf_counter() - start))
    print(f"check sums take {1000 * statistics.median(sealing):.1f} ms of a save")
    return [Figure("checksum_share", statistics.median(shares), "of a save", "the whole save", BAR)]
