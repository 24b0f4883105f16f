"""The whole path of a large case: its peak of memory, what resampling to native adds, how long that takes."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from figure import Figure
from peers import ROOT, python_of

HERE = Path(__file__).parent
SLICES, CLASSES = (200, 400, 800), (5, 30, 117)
ROUNDS = 3


def figures() -> list[Figure]:
    print(f"{'512 x 512 at 0.8 mm -> 1.5 mm, windows of 128':<46}{'seconds':>10}{'peak GB':>10}")
    growth = {count: _row("whole path", count, 5) for count in SLICES}
    whole = _row("whole path", 400, max(CLASSES))
    home = {count: _row("native grid", 400, count) for count in CLASSES}
    ours, theirs = _against_nnunet()
    native = 512 * 512 * (max(SLICES) - min(SLICES))
    grown = (growth[max(SLICES)]["peak"] - growth[min(SLICES)]["peak"]) / native
    most = max(row["peak"] - row["before"] for row in home.values()) / 1e9
    return [
        Figure("peak_memory", whole["peak"] / 1e9, "GB", "whole path, 117 classes, 400 slices", 4.0),
        Figure(
            "memory_growth", grown, "bytes", "a native voxel; image and label are 3, 800 - 200 slices", 5.0
        ),
        Figure(
            "way_home_memory",
            most,
            "GB",
            f"added by resampling to the native grid, most of {CLASSES} classes",
            0.5,
        ),
        Figure(
            "native_grid_time",
            theirs / ours,
            "times",
            "nnU-Net's export, 2 classes scaled to 117",
            30,
            most=False,
        ),
    ]


def _row(name: str, slices: int, classes: int) -> dict:
    found = _measured(sys.executable, "apart/large_case.py", name.split()[1], slices, classes)
    title = f"{name}, {slices} slices, {classes} classes"
    print(f"{title:<46}{found['seconds']:>10.1f}{found['peak'] / 1e9:>10.2f}", flush=True)
    return found


def _against_nnunet() -> tuple[float, float]:
    """Seconds for 117 classes; nnU-Net's for two of them, times the count: it takes one after the other."""
    slices, two = 400, 2
    pairs = []
    for _ in range(ROUNDS):
        ours = _measured(sys.executable, "apart/large_case.py", "home", slices, max(CLASSES))["seconds"]
        theirs = _measured(python_of("nnunet"), "theirs/export.py", slices, two)["seconds"]
        pairs.append((ours, theirs * max(CLASSES) / two))
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{'native grid, 117 classes: ingradient':<46}{ours:>10.1f}")
    print(f"{'nnU-Net (2 classes measured, times 117 / 2)':<46}{theirs:>10.1f}")
    return ours, theirs


def _measured(python, script: str, *arguments) -> dict:
    """What a script in a process of its own prints last."""
    line = [str(python), str(HERE / script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if python == sys.executable else os.environ
    done = subprocess.run(line, check=True, capture_output=True, encoding="utf-8", env=environment)
    return json.loads(done.stdout.splitlines()[-1])
