"""Sliding windows and their blend against MONAI's: the same network, windows, batches and weights."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from figure import Figure
from peers import ROOT, python_of
from torch import nn

from ingradient_pl.inference.gaussian_weights import gaussian

HERE = Path(__file__).parent
EDGE, PATCH, OUTPUTS, BATCH, ROUNDS = 240, 96, 14, 2, 3
THEIRS = "MONAI's sliding_window_inference"


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        file = _work(Path(folder) / "work")
        pairs = []
        for _ in range(ROUNDS):
            theirs = _measured(python_of("monai"), "theirs", file)
            pairs.append((theirs, _measured(sys.executable, "apart", file)))
    print(f"{f'{EDGE}^3, windows of {PATCH}^3, {OUTPUTS} logits':<36}{'seconds':>10}{'added GB':>10}")
    for name, side in (("MONAI", 0), ("ingradient", 1)):
        seconds, held = (_median(pairs, side, number) for number in (_seconds, _held))
        print(f"{name:<36}{seconds:>10.2f}{held / 1e9:>10.2f}")
    ratios = [
        statistics.median(number(ours) / number(theirs) for theirs, ours in pairs)
        for number in (_seconds, _held)
    ]
    return [
        Figure("windows_time", ratios[0], "ratio", THEIRS, 1.0),
        Figure("windows_memory", ratios[1], "ratio", f"{THEIRS}, what each adds to its process", 1.0),
        Figure("windows_difference", max(ours["apart"] for _, ours in pairs), "of logits", THEIRS, 1e-4),
    ]


def _seconds(found: dict) -> float:
    return found["seconds"]


def _held(found: dict) -> float:
    return found["peak"] - found["before"]


def _median(pairs: list, side: int, number) -> float:
    return statistics.median(number(pair[side]) for pair in pairs)


def _work(file: Path) -> Path:
    """A case, a network that is quick so that the windows count, and nnU-Net's weights of a window."""
    torch.manual_seed(0)
    layers = nn.Conv3d(1, 8, 3, padding=1), nn.LeakyReLU(), nn.Conv3d(8, OUTPUTS, 1)
    image = torch.randn(1, *(EDGE,) * 3)
    weights = gaussian(PATCH).float()
    window = weights[:, None, None] * weights[:, None] * weights
    work = {"image": image, "map": window, "patch": [PATCH] * 3, "batch": BATCH, "outputs": OUTPUTS}
    torch.save(work, file)
    torch.jit.script(nn.Sequential(*layers)).save(f"{file}.network")
    return file


def _measured(python, side: str, file: Path) -> dict:
    """What a script in a process of its own prints last."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if side == "apart" else os.environ
    line = [str(python), str(HERE / side / "windows.py"), str(file)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment)
    return json.loads(done.stdout.splitlines()[-1])
