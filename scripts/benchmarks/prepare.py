"""Whole process, cold start included: our prepare and plan against nnU-Net's plan_and_preprocess."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from figure import Figure, medians
from peers import ROOT, python_of

DATA = ROOT.parent / "shared" / "data" / "Dataset004_Hippocampus"
ROUNDS = 3


def figures() -> list[Figure]:
    if not DATA.is_dir():
        sys.exit(f"prepare: no data set {DATA.name} beside the checkout, nothing to measure")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ours, theirs = _ours(work), _theirs(work)
        seconds = medians([ours, theirs], ROUNDS, warm=0)
        store = _bytes(work / "store") / sum(file.stat().st_size for file in DATA.glob("*/*.nii.gz"))
    print(f"{'program':<12}{'seconds (median of ' + str(ROUNDS) + ')':>24}")
    print(f"{'ingradient':<12}{seconds[0]:>24.2f}\n{'nnU-Net':<12}{seconds[1]:>24.2f}")
    return [
        Figure("prepare_time", seconds[0] / seconds[1], "ratio", "nnU-Net's plan_and_preprocess", 1 / 3),
        Figure("store_size", store, "ratio", "the source files", 2.5),
    ]


def _ours(work: Path):
    def run() -> None:
        shutil.rmtree(work / "store", ignore_errors=True)
        command = [sys.executable, "-m", "ingradient_pl.cli.main"]
        for line in (
            ["prepare", "--source", DATA, "--store", work / "store"],
            ["plan", "--store", work / "store", "--output", work / "plan.yaml", "--planner", "nnunet"],
        ):
            subprocess.run([*command, *line], check=True, capture_output=True)

    return run


def _theirs(work: Path):
    python = python_of("nnunet")
    folders = {f"nnUNet_{name}": str(work / name) for name in ("raw", "preprocessed", "results")}
    for name in folders.values():
        Path(name).mkdir()
    (work / "raw" / DATA.name).symlink_to(DATA)
    module = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"
    code = f"from {module} import plan_and_preprocess_entry as enter; enter()"

    def run() -> None:
        shutil.rmtree(work / "preprocessed" / DATA.name, ignore_errors=True)
        line = [python, "-c", code, "-d", "4", "-c", "3d_fullres", "-np", "2", "-npfp", "2"]
        subprocess.run(line, check=True, capture_output=True, env={**os.environ, **folders})

    return run


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("**/*") if file.is_file())
