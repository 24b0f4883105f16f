"""Cases that annotate one label of three against cases that annotate all: validation Dice at equal steps.

ACDC at a low resolution, fold 0; of each training patient one label is kept (RV, MYO and LV in turn), and all
three of validation patients. Filled: a model of a third of the steps segments all cases, and another trains
the rest of the steps on what was annotated and, elsewhere, on that. ``partial_labels.py STEPS SEED ...`` runs
some seeds by hand.
"""

import shutil
import statistics
import sys
import tempfile
import warnings
from pathlib import Path

import recipe
from figure import Figure

import ingradient_pl as ip
from ingradient_pl.datasets.annotated import check_annotated
from ingradient_pl.datasets.records import Source
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

ALL, ONE = "acdc", "acdc_one_label"
STEPS, SEEDS = 400, (0, 1, 2)
TEACHER = 3
"""The first model trains one of so many parts of the steps."""
BELOW = 0.02
TRIAL, FILLED = "low resolution", "low resolution, filled"
LOW = ["recipe=fast", "plan.spacing=[10.0,3.0,3.0]", "plan.patch=[10,64,64]", "plan.widths=[8,16,32,64]"]


def figures() -> list[Figure]:
    prepare()
    found = {name: [dice(name, STEPS, seed) for seed in SEEDS] for name in (ALL, ONE)}
    found["filled"] = [filled(STEPS, seed) for seed in SEEDS]
    best = statistics.mean(found.pop(ALL))
    return [
        Figure(
            f"partial_labels_{name}", best - statistics.mean(dice), "Dice", "all labels, equal steps", BELOW
        )
        for name, dice in found.items()
    ]


def dice(name: str, steps: int, seed: int) -> float:
    """Train on a store, predict the validation cases, and give their mean Dice over labels."""
    found = recipe.run(recipe.Row(name, 0, steps, seed, TRIAL)).dice
    print(f"{name:16} {steps} steps, seed {seed}: Dice {found:.4f}", flush=True)
    return found


def filled(steps: int, seed: int) -> float:
    """Train a model on what was annotated, fill the rest by it, and train and score another."""
    volumes = recipe.WORK / f"pseudo_labels_{steps}_{seed}"
    if not volumes.exists():
        with tempfile.TemporaryDirectory() as folder:
            row = recipe.Row(ONE, 0, steps // TEACHER, seed, TRIAL)
            predictor = Predictor(recipe.train(row, Path(folder) / "last.ckpt"), "cpu", mirror=())
            write_pseudo_labels(predictor, Path(folder) / "volumes")
            shutil.move(Path(folder) / "volumes", volumes)
    recipe.TRIALS[FILLED] = [*LOW, "augment@data.augment=pseudo_labels", f"data.extra={volumes}"]
    found = recipe.run(recipe.Row(ONE, 0, steps - steps // TEACHER, seed, FILLED)).dice
    print(f"{'filled':16} {steps} steps in all, seed {seed}: Dice {found:.4f}", flush=True)
    return found


def write_pseudo_labels(predictor: Predictor, folder: Path) -> None:
    """Segment every case of the store."""
    store = CaseStore(recipe.prepared(ONE)[0])
    for name, case in store.cases.items():
        image = store.read(name, case.grid.whole).image
        ip.write_volume(folder, store, name, predictor.predict(image, case.grid.spacing))


def prepare() -> None:
    """Make the store of one label a patient beside that of all."""
    recipe.TRIALS[TRIAL] = LOW
    recipe.DATA[ONE] = recipe.DATA[ALL]
    store, plan = recipe.prepared(ALL)
    other = recipe.WORK / f"{ONE}.yaml"
    if other.exists():
        return
    source = read_source(recipe.SHARED / "data" / recipe.DATA[ALL].folder)
    build_store(keep_one_label(source, CaseStore(store)), recipe.WORK / ONE)
    other.write_bytes(plan.read_bytes())


def keep_one_label(source: Source, store: CaseStore) -> Source:
    """Let each training patient annotate one label, all in turn."""
    train = set(Fold().split(store.cases).train)
    patients = sorted({case.group for case in source.cases if case.name in train})
    names = list(source.task.foreground)
    kept = {patient: names[number % len(names)] for number, patient in enumerate(patients)}
    cases = [
        case._replace(annotated=(kept[case.group],)) if case.name in train else case for case in source.cases
    ]
    return check_annotated(source._replace(cases=cases), source.path)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    prepare()
    steps, *seeds = map(int, sys.argv[1:])
    for seed in seeds:
        for name in (ALL, ONE):
            dice(name, steps, seed)
        filled(steps, seed)
