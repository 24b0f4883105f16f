"""Recipes side by side: mean validation Dice after few steps, on two data sets, over seeds.

``scripts/benchmark recipe`` runs what is reported (hours on two cores). Rows are kept in docs/recipe.csv,
so a stopped benchmark goes on where it was. ``recipe.py DATA FOLD STEPS SEED TRIAL`` adds one row, whichever.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytorch_lightning as pl
from figure import Figure
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

import ingradient_pl as ip
from ingradient_pl.cli.plan_overrides import with_plans
from ingradient_pl.cli.train_config import instantiate_group
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.predict_cases import score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.metrics.evaluation import Change
from ingradient_pl.metrics.evaluation_report import summary
from ingradient_pl.store.build import build_store
from ingradient_pl.store.stored_cases import stored_cases

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
WORK = ROOT / ".study"
RESULTS = ROOT / "docs" / "recipe.csv"
CONF = "ingradient_pl.conf"
EPOCH = 50
SEEDS = (0, 1, 2)


class Data(NamedTuple):
    """A data set, the work done on it, and who validates."""

    folder: str
    experiment: str
    splits: str | None = None
    mirror: bool = True  # in prediction, where training mirrored


DATA = {
    "hippocampus": Data(
        "Dataset004_Hippocampus", "reference_cpu", "reference/nnunet_hippocampus/splits_final.json"
    ),
    "acdc": Data("Dataset027_ACDC", "acdc_cpu", mirror=False),
}

MIRROR = "data.draws.affine.mirror"
MUON = ["recipe=fast"]
MIRRORED = [*MUON, f"{MIRROR}=[true,true,true]"]
WARM = ["scheduler@module.scheduler=warmup_poly"]
RESIDUAL = ["plan.residual=true", "plan.blocks=[1,3,4,6]", "plan.decoder_blocks=[1,1,1]"]


def adam(rate: float) -> list[str]:
    return [f"module.optimizer.adam_lr={rate}"]


def average(decay: float) -> list[str]:
    made = "ingradient_pl.lightning.callbacks.weight_average.WeightAverage"
    return [f"+callbacks.average._target_={made}", f"+callbacks.average.decay={decay}"]


def levels(*weights: float) -> list[str]:
    listed = ",".join(str(weight) for weight in weights)
    return [f"module.network.levels={len(weights)}", f"module.loss.weights=[{listed}]"]


def parts(*names: str) -> list[str]:
    """Send some kinds of layers to AdamW, or heads to Muon."""
    return ["module.optimizer._target_=recipe_variants.MuonOf", f"+module.optimizer.adam=[{','.join(names)}]"]


def started(name: str) -> list[str]:
    """Weights at the start by another rule."""
    return [f"module.network._target_=recipe_variants.{name}"]


BASE = [*MIRRORED, *adam(1e-2)]
"""What trials of one change each start from: they were made when the fast recipe still mirrored."""

TRIALS: dict[str, list[str]] = {
    "nnunet": ["recipe=nnunet"],
    "fast": MUON,
    "fast-mirrored": MIRRORED,
    "nnunet-unmirrored": ["recipe=nnunet", f"{MIRROR}=[false,false,false]"],
    "nnunet-resenc": ["recipe=nnunet", *RESIDUAL],
    "fast-resenc": [*MUON, *RESIDUAL],
    "fast-resenc-mirrored": [*MIRRORED, *RESIDUAL],
    "adamw 1e-3": ["optimizer@module.optimizer=adamw", *WARM],
    "adamw 3e-3": ["optimizer@module.optimizer=adamw", *WARM, "module.optimizer.lr=3e-3"],
    "base": BASE,
    "adam 1e-3": [*MIRRORED, *adam(1e-3)],
    "adam 6e-3": [*MIRRORED, *adam(6e-3)],
    "adam 3e-3": [*MIRRORED, *adam(3e-3)],
    "adam 2e-2": [*MIRRORED, *adam(2e-2)],
    "lr 0.01": [*BASE, "module.optimizer.lr=0.01"],
    "lr 0.03": [*BASE, "module.optimizer.lr=0.03"],
    "lr 0.04": [*BASE, "module.optimizer.lr=0.04"],
    "momentum 0.9": [*BASE, "module.optimizer.momentum=0.9"],
    "momentum 0.98": [*BASE, "module.optimizer.momentum=0.98"],
    "warm-up 0": [*BASE, "module.scheduler.warmup=0"],
    "warm-up 0.15": [*BASE, "module.scheduler.warmup=0.15"],
    "power 0.5": [*BASE, "module.scheduler.power=0.5"],
    "power 1.5": [*BASE, "module.scheduler.power=1.5"],
    "decay 0.01": [*BASE, "module.optimizer.weight_decay=0.01"],
    "decay 0.1": [*BASE, "module.optimizer.weight_decay=0.1"],
    "decay 1": [*BASE, "module.optimizer.weight_decay=1"],
    "ema 0.95": [*BASE, *average(0.95)],
    "ema 0.98": [*BASE, *average(0.98)],
    "batch 1": [*BASE, "plan.batch_size=1", "data.draws.cases_per_batch=1"],
    "batch 4": [*BASE, "plan.batch_size=4"],
    "no clipping": [*BASE, "trainer.gradient_clip_val=null"],
    "clip 1": [*BASE, "trainer.gradient_clip_val=1.0"],
    "finest level alone": [*BASE, *levels(1)],
    "three levels": [*BASE, *levels(4 / 7, 2 / 7, 1 / 7)],
    "levels alike": [*BASE, *levels(0.5, 0.5)],
    "transposed by adam": [*BASE, *parts("transposed", "head")],
    "stem by adam": [*BASE, *parts("stem", "head")],
    "heads by muon": [*BASE, *parts()],
    "orthogonal start": [*BASE, *started("orthogonal_start")],
    "heads from zero": [*BASE, *started("heads_from_zero")],
    "intensities as they are": [*BASE, "augment@data.augment=none"],
    "no mirroring": [*BASE, f"{MIRROR}=[false,false,false]"],
    "no turns": [*BASE, "data.draws.affine.rotation_p=0", "data.draws.affine.scaling_p=0"],
}


class Row(NamedTuple):
    """One run; without its Dice: one to do."""

    data: str
    fold: int
    steps: int
    seed: int
    trial: str
    dice: float = float("nan")


def reported() -> list[Row]:
    """What is reported: fold 0, which chose nothing."""
    work = [("hippocampus", steps, "fast") for steps in (150, 250, 400, 1000)]
    work += [("hippocampus", steps, "nnunet") for steps in (250, 400, 1000)]
    work += [("hippocampus", 250, "fast-resenc"), ("hippocampus", 1000, "nnunet-resenc")]
    work += [("acdc", 250, "fast"), ("acdc", 250, "nnunet"), ("acdc", 1000, "nnunet"), ("acdc", 1000, "fast")]
    return [Row(data, 0, steps, seed, trial) for data, steps, trial in work for seed in SEEDS]


def figures() -> list[Figure]:
    for name in DATA:
        prepared(name)
    known = {row[:-1] for row in rows()}
    missing = [row for row in reported() if row[:-1] not in known]
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1))) as pool:
        list(pool.map(_apart, missing))
    found = means()
    for (data, trial, steps), (mean, low, high) in sorted(found.items()):
        print(f"{data:12} {trial:14} {steps:5} steps   Dice {mean:.4f}   {low:.4f} to {high:.4f}")
    return [
        _bar(found, "hippocampus", "fast", 250, 0.836, "what nnU-Net reaches in 1000 steps"),
        _bar(found, "hippocampus", "fast", 1000, 0.870, "0.836 of nnU-Net"),
        _bar(found, "hippocampus", "fast-resenc", 250, found["hippocampus", "nnunet-resenc", 1000][0]),
        _bar(found, "acdc", "fast", 250, found["acdc", "nnunet", 1000][0]),
    ]


def means() -> dict[tuple[str, str, int], tuple[float, float, float]]:
    """Mean, smallest and largest Dice over the seeds, of each (data, trial, steps) of fold 0."""
    return {key: (statistics.mean(dice), min(dice), max(dice)) for key, dice in by_trial(fold=0).items()}


def by_trial(fold: int) -> dict[tuple[str, str, int], list[float]]:
    """Give the Dice of each seed, by (data, trial, steps)."""
    grouped: dict[tuple[str, str, int], list[float]] = {}
    for row in rows():
        if row.fold == fold:
            grouped.setdefault((row.data, row.trial, row.steps), []).append(row.dice)
    return grouped


def rows() -> list[Row]:
    """What was run before."""
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return [
            Row(data, int(fold), int(steps), int(seed), trial, float(dice))
            for data, fold, steps, seed, trial, dice in csv.reader(file)
        ]


def run(row: Row) -> Row:
    """Train, predict every validation case, and give the row with its mean Dice."""
    return row._replace(dice=score(row, trained(row)))


def trained(row: Row) -> Model:
    """Train as a row says."""
    store, plan = prepared(row.data)
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "last.ckpt"
        with _composed(row, [f"store={store}", f"plan={plan}"], Path(folder)) as config:
            pl.seed_everything(config.seed)
            module, patches = instantiate(config.module), instantiate(config.data)
            trainer = instantiate(config.trainer, callbacks=instantiate_group(config.callbacks))
            trainer.fit(module, patches)
            trainer.save_checkpoint(saved)
        return checkpoint.read([saved])


def score(row: Row, model: Model, after: Change | None = None) -> float:
    """Predict every validation case, change each answer where ``after`` does, and give the mean Dice."""
    store, _ = prepared(row.data)
    kept = set(model.validation)
    cases = [case for case in stored_cases(store, model.task).cases if case.name in kept]
    predictor = Predictor(model, "cpu", mirror=None if DATA[row.data].mirror else ())
    scored = score_cases(predictor, cases, after=after, say=lambda line: None)
    return float(summary(scored.evaluation)["foreground_mean"]["Dice"])


@contextmanager
def _composed(row: Row, given: list[str], folder: Path) -> Iterator[object]:
    data, batches = DATA[row.data], min(EPOCH, row.steps)
    overrides = [f"experiment={data.experiment}", *given, f"seed={row.seed}"]
    overrides += [f"data.split.number={row.fold}", "callbacks=none", "logger=none"]
    overrides += [f"data.split.file={SHARED / data.splits}"] if data.splits else []
    overrides += [f"epochs={row.steps // batches}", f"batches_per_epoch={batches}"]
    overrides += ["trainer.limit_val_batches=0", "++trainer.enable_checkpointing=false"]
    overrides += ["++trainer.enable_progress_bar=false", "++trainer.enable_model_summary=false"]
    with initialize_config_module(CONF, version_base="1.3"):
        known = with_plans([*overrides, *TRIALS[row.trial]], folder)
        config = compose("train", [*known, f"hydra.runtime.output_dir={folder}"], return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        yield config


def prepared(name: str) -> tuple[Path, Path]:
    """Make a data set's store and plan where they are not there yet."""
    store, plan = WORK / name, WORK / f"{name}.yaml"
    if not plan.exists():
        build_store(read_source(SHARED / "data" / DATA[name].folder), store)
        ip.plan(store=str(store), output=str(plan), planner="nnunet")
    return store, plan


def _bar(
    found: dict[tuple[str, str, int], tuple[float, float, float]],
    data: str,
    trial: str,
    steps: int,
    bar: float,
    against: str = "nnU-Net's recipe after 1000 steps",
) -> Figure:
    name = f"{data}_{trial}_{steps}".replace("-", "_")
    return Figure(name, found[data, trial, steps][0], "Dice", against, bar, most=False)


def _apart(row: Row) -> None:
    """Run a row in a process with one thread: two runs side by side use two cores better than one."""
    line = [sys.executable, __file__, *(str(value) for value in row[:-1])]
    subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    wanted_data, fold, steps, seed, trial = sys.argv[1:]
    done = run(Row(wanted_data, int(fold), int(steps), int(seed), trial))
    with RESULTS.open("a", newline="") as kept_rows:
        csv.writer(kept_rows).writerow([*done[:-1], f"{done.dice:.4f}"])
    print(*done)
