"""Dice after so many steps, and after so many seconds of steps, of one device: ours and nnU-Net's trainer.

On a CUDA device ``scripts/benchmark dice_per_minute`` runs what docs/dice_per_minute.csv lacks for it and
adds each run as a row; scripts/dice_per_minute_page.py makes the page of the rows. Elsewhere it tries the way
on phantoms and keeps nothing. One run, whichever: ``python dice_per_minute.py DATA TRAINER "1000 steps"``
(or ``"60 s"``).
"""

import csv
import math
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from composed import composed
from figure import Figure
from hydra.utils import instantiate
from peers import ROOT, answer

import ingradient_pl as ip
from ingradient_pl.cli.train_config import instantiate_group
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.predict_cases import score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.metrics.evaluation_report import summary
from ingradient_pl.store.build import build_store
from ingradient_pl.store.stored_cases import stored_cases

RESULTS = ROOT / "docs" / "dice_per_minute.csv"
DATA = {"hippocampus": ROOT.parent / "shared" / "data" / "Dataset004_Hippocampus"}
TRAINERS = ("ours", "nnunet")
LIMITS = ("1000 steps", "2500 steps", "10000 steps", "10 s", "60 s", "300 s", "900 s")
EPOCH = 250
PROBED, SETTLING = (150, 50) if torch.cuda.is_available() else (12, 4)
"""Steps of the short run that tells how long one takes, and how many of them are left out."""
REHEARSED = ("12 steps", "3 s")


class Row(NamedTuple):
    """One run.

    Args:
        data: Name of the data set; fold 0 of nnU-Net's five is held out.
        trainer: ``ours`` (recipe=fast) or ``nnunet`` (its trainer, compiled, its schedule over these steps).
        device: As its driver names it.
        limit: What was asked for: ``N steps``, or ``N s`` of steps.
        steps: How many were made.
        seconds: From the first step's end to the last's.
        whole: Seconds of training with its start; prediction is not in it.
        dice: Mean over labels and held-out cases, predicted whole.
        cases: How many were held out.
        note: What else is to be known; empty for a run of this script.
    """

    data: str
    trainer: str
    device: str
    limit: str
    steps: int = 0
    seconds: float = math.nan
    whole: float = math.nan
    dice: float = math.nan
    cases: int = 0
    note: str = ""


class StepClock(pl.Callback):
    """When each step ended, on the host's clock."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())


def rows() -> list[Row]:
    """What was run."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="", encoding="utf-8") as file:
        found = []
        for one in csv.DictReader(file):
            numbers = {key: float(one[key] or "nan") for key in ("seconds", "whole", "dice")}
            counts = {key: int(one[key]) for key in ("steps", "cases")}
            found.append(Row(**{**one, **numbers, **counts}))
        return found


def keep(row: Row) -> None:
    """Add a row to the file."""
    begins = not RESULTS.exists()
    with RESULTS.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if begins:
            writer.writerow(Row._fields)
        writer.writerow(row)


def figures() -> list[Figure]:
    if not torch.cuda.is_available():
        with tempfile.TemporaryDirectory() as folder:
            raw = write_phantoms(Path(folder) / "Dataset999_Phantoms", 10, (20, 24, 20), (1.0, 1.0, 1.0))
            for limit in REHEARSED:
                print(run_ours(Row("phantoms", "ours", device_name(), limit), raw), flush=True)
        print("There is no CUDA device: this was a rehearsal, and no row is kept.")
        return []
    known = {row[:4] for row in rows() if not row.note}
    wanted = [
        Row(data, trainer, device_name(), limit) for data in DATA for trainer in TRAINERS for limit in LIMITS
    ]
    for row in wanted:
        if row[:4] in known:
            continue
        line = [sys.executable, __file__, *row[:2], row.limit]
        if subprocess.run(line, check=False).returncode:  # one that fails leaves the others
            print(f"{row.data}, {row.trainer}, {row.limit} was not run to its end: see above", flush=True)
    for row in rows():
        print(row)
    return []


def run_ours(row: Row, raw: Path) -> Row:
    """Train by the fast recipe, predict the held-out cases, and give the row with what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        build_store(read_source(raw), work / "store", progress=False)
        ip.plan(store=str(work / "store"), output=str(work / "plan.yaml"))
        steps = count_steps(row.limit)
        if steps is None:
            clock, _ = train(work / "probe", work, PROBED)
            ends = clock.ends[SETTLING:]
            pace = (ends[-1] - ends[0]) / (len(ends) - 1)
            steps = max(1, int(float(row.limit.split()[0]) / pace))
        began = time.perf_counter()
        clock, saved = train(work / "run", work, steps)
        whole = time.perf_counter() - began
        model = checkpoint.read([saved])
        held = set(model.validation)
        cases = [case for case in stored_cases(work / "store", model.task).cases if case.name in held]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        scored = score_cases(Predictor(model, device), cases, say=lambda line: None)
    dice = float(summary(scored.evaluation)["foreground_mean"]["Dice"])
    spent = clock.ends[-1] - clock.ends[0]
    return row._replace(steps=len(clock.ends), seconds=spent, whole=whole, dice=dice, cases=len(cases))


def train(place: Path, work: Path, steps: int) -> tuple[StepClock, Path]:
    """Train for so many steps (of several epochs, whole ones); give when each ended, and the checkpoint."""
    place.mkdir()
    batches = min(EPOCH, steps)
    overrides = [f"store={work / 'store'}", f"plan={work / 'plan.yaml'}", "recipe=fast", "logger=none"]
    overrides += [f"epochs={max(1, steps // batches)}", f"batches_per_epoch={batches}", "callbacks=none"]
    overrides += ["trainer.limit_val_batches=0", "++trainer.enable_checkpointing=false"]
    config = composed([*overrides, "++trainer.enable_progress_bar=false"], place)
    pl.seed_everything(config.seed, verbose=False)
    clock, saved = StepClock(), place / "last.ckpt"
    callbacks = [*instantiate_group(config.callbacks), clock]
    trainer: Any = instantiate(config.trainer, callbacks=callbacks)
    trainer.fit(instantiate(config.module), instantiate(config.data))
    trainer.save_checkpoint(saved)
    return clock, saved


def run_theirs(row: Row, raw: Path) -> Row:
    """Train nnU-Net's own way from end to end, in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        found = answer("nnunet", "dice_per_minute", raw, folder, row.limit, device)
    return row._replace(**found)


def count_steps(limit: str) -> int | None:
    """Give how many steps a limit asks for; None where it is one of time."""
    number, unit = limit.split()
    return int(number) if unit == "steps" else None


def device_name() -> str:
    """Name the device as its driver does."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def main() -> None:
    data, trainer, limit = sys.argv[1:]
    run = {"ours": run_ours, "nnunet": run_theirs}[trainer]
    found = run(Row(data, trainer, device_name(), limit), DATA[data])
    keep(found)
    print(found)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    try:
        main()
    except Exception:  # noqa: BLE001 - whoever started it goes on with the next
        traceback.print_exc()
        sys.exit(1)
