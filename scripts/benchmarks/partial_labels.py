"""Cases that annotate one label of three against cases that annotate all: validation Dice at equal steps.

ACDC at a low resolution, fold 0; of each training patient one label is kept (RV, MYO and LV in turn), and all
three of validation patients. ``partial_labels.py STEPS SEED ...`` runs some seeds by hand.
"""

import statistics
import sys
import warnings

import recipe
from figure import Figure

from ingradient_pl.datasets.annotated import check_annotated
from ingradient_pl.datasets.records import Source
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

ALL, ONE = "acdc", "acdc_one_label"
STEPS, SEEDS = 400, (0, 1, 2)
BELOW = 0.02
TRIAL = "low resolution"
LOW = ["recipe=fast", "plan.spacing=[10.0,3.0,3.0]", "plan.patch=[10,64,64]", "plan.widths=[8,16,32,64]"]


def figures() -> list[Figure]:
    prepare()
    found = {name: [dice(name, STEPS, seed) for seed in SEEDS] for name in (ALL, ONE)}
    lost = statistics.mean(found[ALL]) - statistics.mean(found[ONE])
    return [Figure("partial_labels", lost, "Dice", "all labels, equal steps", BELOW)]


def dice(name: str, steps: int, seed: int) -> float:
    """Train on a store, predict the validation cases, and give their mean Dice over labels."""
    found = recipe.run(recipe.Row(name, 0, steps, seed, TRIAL)).dice
    print(f"{name:16} {steps} steps, seed {seed}: Dice {found:.4f}", flush=True)
    return found


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
