"""Starting from trained weights against starting fresh, on five cases of Hippocampus, in pairs.

``scripts/benchmark finetune`` runs what is reported and not yet in docs/finetune.csv, where each row is one
case of one run. ``finetune.py TRIAL STEPS SEED`` adds one run, whichever; scripts/finetune_page.py makes the
tables of docs/finetune_study.md.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from figure import Figure
from recipe import ROOT, WORK, prepared

import ingradient_pl as ip
from ingradient_pl.inference.predict_cases import score_cases
from ingradient_pl.metrics.comparison import MEAN, Difference, compare
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.stored_cases import stored_cases

RESULTS = ROOT / "docs" / "finetune.csv"
FEW, HELD = 5, 40
"""Cases of Hippocampus that train and that validate; all others train the source."""
SOURCE_STEPS = 400
SMALL = {"plan.widths": [8, 16, 32, 64]}
"""Half as wide as conf/experiment/reference_cpu.yaml: two cores train it in a quarter of the time."""
SEEDS = (0, 1, 2)
END = 200
"""Steps of the run from scratch that others are held against."""
ADAMW, MUON = "optimizer@module.optimizer=adamw", "optimizer@module.optimizer=muon_finetune"


class Trial(NamedTuple):
    """How a run begins, and with which keys it goes on."""

    source: str | None
    keys: list[str]


TRIALS = {
    "scratch": Trial(None, ["recipe=fast"]),
    "hippocampus": Trial("hippocampus", ["recipe=finetune"]),
    "hippocampus, rates of fast": Trial("hippocampus", ["recipe=fast"]),
    "hippocampus, layer decay 0.8": Trial("hippocampus", ["recipe=finetune", "module.layer_decay=0.8"]),
    "hippocampus, adamw 1e-3": Trial("hippocampus", ["recipe=finetune", ADAMW, "module.optimizer.lr=1e-3"]),
    "hippocampus, adamw 1e-4": Trial("hippocampus", ["recipe=finetune", ADAMW, "module.optimizer.lr=1e-4"]),
    "hippocampus, muon at a quarter": Trial("hippocampus", ["recipe=finetune", MUON]),
    "acdc": Trial("acdc", ["recipe=finetune"]),
    "acdc, muon at a quarter": Trial("acdc", ["recipe=finetune", MUON]),
    "acdc, rates of fast": Trial("acdc", ["recipe=fast"]),
}
REPORTED = [
    (trial, steps, seed)
    for seed in SEEDS
    for trial, steps in (("scratch", END), ("hippocampus", END // 2), ("acdc", END))
]


class Row(NamedTuple):
    """One case of one run: its Dice for each label."""

    trial: str
    steps: int
    seed: int
    case: str
    anterior: float
    posterior: float


def rows() -> list[Row]:
    """Give what was run before."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [
            Row(trial, int(steps), int(seed), case, float(one), float(two))
            for trial, steps, seed, case, one, two in csv.reader(file)
        ]


def difference(first: tuple[str, int], second: tuple[str, int]) -> Difference:
    """Compare two trials over the seeds that both have, as ``ingradient compare`` does: second minus first.

    Args:
        first: Name and steps of a trial.
        second: The same of another.
    """
    runs = [[row for row in rows() if (row.trial, row.steps) == key] for key in (first, second)]
    both = set.intersection(*({row.seed for row in run} for run in runs))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.json" for number in range(2)]
        for file, run in zip(files, runs, strict=True):
            file.write_text(json.dumps({"metric_per_case": [_entry(row) for row in run if row.seed in both]}))
        found = compare(*files, np.random.default_rng(0), "Dice", r"^(.*)_seed\d+$")
    return next(row for row in found.rows if row.label == MEAN)


def _entry(row: Row) -> dict[str, object]:
    scores = {"1": {"Dice": row.anterior}, "2": {"Dice": row.posterior}}
    name = f"{row.case}_seed{row.seed}.nii.gz"
    return {"metrics": scores, "prediction_file": name, "reference_file": name}


def splits(store: Path) -> tuple[Path, Path]:
    """Write who trains and who validates: the many of the source, and the few of what starts from it."""
    names = sorted(CaseStore(store).cases)
    order = [names[place] for place in np.random.default_rng(12345).permutation(len(names))]
    few, held, many = order[:FEW], order[FEW : FEW + HELD], order[FEW + HELD :]
    files = WORK / "finetune_many.json", WORK / "finetune_few.json"
    for file, train in zip(files, (many, few), strict=True):
        file.write_text(json.dumps([{"train": train, "val": held}]))
    return files


def source(name: str) -> Path:
    """Train what others start from, where it is not there yet."""
    store, plan = prepared(name)
    run = WORK / f"finetune_source_{name}"
    if not (run / "checkpoints" / "last.ckpt").is_file():
        experiment = "reference_cpu" if name == "hippocampus" else "acdc_cpu"
        own = {"data.split.file": splits(store)[0]} if name == "hippocampus" else {}
        _train(store, plan, run, SOURCE_STEPS, 0, [f"experiment={experiment}", "recipe=fast"], own)
    return run


def run(trial: str, steps: int, seed: int) -> list[Row]:
    """Train, predict every validation case, and give its rows.

    Args:
        trial: Its name.
        steps: Length of the run.
        seed: Of its weights and patches.
    """
    store, plan = prepared("hippocampus")
    begins, keys = TRIALS[trial]
    own = {"data.split.file": splits(store)[1]}
    own |= {} if begins is None else {"init_from": source(begins)}
    with tempfile.TemporaryDirectory() as folder:
        _train(store, plan, Path(folder) / "run", steps, seed, ["experiment=reference_cpu", *keys], own)
        predictor = ip.load(Path(folder) / "run", "cpu")
    kept = set(predictor.model.validation)
    cases = [case for case in stored_cases(store, predictor.model.task).cases if case.name in kept]
    scored = score_cases(predictor, cases, say=lambda line: None).evaluation
    return [
        Row(trial, steps, seed, case.name, *(round(one["Dice"], 4) for one in case.scores.values()))
        for case in scored.cases
    ]


def _train(
    store: Path, plan: Path, folder: Path, steps: int, seed: int, keys: list[str], own: dict[str, Path]
) -> None:
    given = dict(key.split("=", 1) for key in keys)
    quiet = {"trainer.limit_val_batches": 0, "trainer.enable_progress_bar": False, "logger": "none"}
    length = {"epochs": 1, "batches_per_epoch": steps, "seed": seed, "trainer.log_every_n_steps": 50}
    numbers = {key: float(value) if value[0].isdigit() else value for key, value in given.items()}
    ip.train(store, plan, folder, **numbers, **SMALL, **quiet, **length, **own)


def figures() -> list[Figure]:
    known = {(row.trial, row.steps, row.seed) for row in rows()}
    for one in REPORTED:
        if one not in known:
            line = [sys.executable, __file__, *map(str, one)]
            subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    found = difference(("scratch", END), ("hippocampus", END // 2))
    against = f"scratch after {END} steps ({found.difference:+.4f}, {found.low:+.4f} to {found.high:+.4f})"
    return [Figure(f"finetuned_{END // 2}", found.second, "Dice", against, found.first, most=False)]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    name, wanted, seed = sys.argv[1:]
    done = run(name, int(wanted), int(seed))
    with RESULTS.open("a", newline="") as kept_rows:
        csv.writer(kept_rows).writerows(done)
    dice = float(np.mean([[row.anterior, row.posterior] for row in done]))
    print(name, wanted, seed, f"{dice:.4f}")
