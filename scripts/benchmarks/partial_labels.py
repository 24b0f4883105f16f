"""Cases that annotate one label of three against cases that annotate all: validation Dice at equal steps.

ACDC at a low resolution, fold 0; of each training case one label is kept (RV, MYO and LV in turn), and all
three of validation cases. A patient has two cases, which so keep two labels; the harder way, one label a
patient, is run beside it. What cases lack is completed by pseudo-labels, or with ``plain`` left unknown.
``partial_labels.py STEPS SEED ... [plain]`` runs some seeds by hand.
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

ALL, ONE, ONE_A_PATIENT = "acdc", "acdc_one_label_a_case", "acdc_one_label"
STEPS, SEEDS = 3000, range(6)  # one run differs from the next by half the bar
BELOW = 0.02
TRIAL = "low resolution"
COMPLETED = "low resolution, pseudo-labels"
LOW = ["recipe=fast", "plan.spacing=[10.0,3.0,3.0]", "plan.patch=[10,64,64]", "plan.widths=[8,16,32,64]"]

CALLBACKS = "ingradient_pl.lightning.callbacks"
PSEUDO = [
    f"+callbacks.average._target_={CALLBACKS}.WeightAverage",
    "+callbacks.average.decay=0.99",
    f"+callbacks.pseudo_labels._target_={CALLBACKS}.PseudoLabels",
    "+callbacks.pseudo_labels.folder=${hydra:runtime.output_dir}/pseudo_labels",
    "module.loss.level_loss.absent=0.2",
]
"""What ``callbacks=pseudo_labels`` has beside the usual callbacks; and fewer false positives before."""


def figures() -> list[Figure]:
    prepare()
    found = {name: [dice(name, STEPS, seed) for seed in SEEDS] for name in (ALL, ONE)}
    lost = statistics.mean(found[ALL]) - statistics.mean(found[ONE])
    return [Figure("partial_labels", lost, "Dice", "all labels, equal steps", BELOW)]


def dice(name: str, steps: int, seed: int, *, plain: bool = False) -> float:
    """Train on a store, predict the validation cases, and give their mean Dice over labels."""
    trial = TRIAL if plain or name == ALL else COMPLETED
    found = recipe.run(recipe.Row(name, 0, steps, seed, trial)).dice
    print(f"{name:22} {trial:30} {steps} steps, seed {seed}: Dice {found:.4f}", flush=True)
    return found


def prepare() -> None:
    """Make the stores of one label a case, and a patient, beside that of all."""
    recipe.TRIALS.update({TRIAL: LOW, COMPLETED: [*LOW, *PSEUDO]})
    store, plan = recipe.prepared(ALL)
    for name in (ONE, ONE_A_PATIENT):
        recipe.DATA[name] = recipe.DATA[ALL]
        other = recipe.WORK / f"{name}.yaml"
        if other.exists():
            continue
        source = read_source(recipe.SHARED / "data" / recipe.DATA[ALL].folder)
        kept = keep_one_label(source, CaseStore(store), of_patients=name == ONE_A_PATIENT)
        build_store(kept, recipe.WORK / name)
        other.write_bytes(plan.read_bytes())


def keep_one_label(source: Source, store: CaseStore, *, of_patients: bool) -> Source:
    """Let each training case, or each patient, annotate one label, all in turn."""
    train = set(Fold().split(store.cases).train)
    owner = {case.name: case.group if of_patients else case.name for case in source.cases}
    owners = sorted({owner[name] for name in train})
    names = list(source.task.foreground)
    kept = {one: names[number % len(names)] for number, one in enumerate(owners)}
    cases = [
        case._replace(annotated=(kept[owner[case.name]],)) if case.name in train else case
        for case in source.cases
    ]
    return check_annotated(source._replace(cases=cases), source.path)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    prepare()
    plain = "plain" in sys.argv
    steps, *seeds = (int(number) for number in sys.argv[1:] if number != "plain")
    for seed in seeds:
        for name in (ALL, ONE, ONE_A_PATIENT):
            dice(name, steps, seed, plain=plain)
