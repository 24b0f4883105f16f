"""Cases that annotate one label of three against cases that annotate all: validation Dice at equal steps.

ACDC at a low resolution in patches of whole slices, as the planner's are, a run in each of five folds: one
run differs from the next by half the bar, one fold from another by all of it. Of each training case one label
is kept (RV, MYO and LV in turn), and all three of validation cases. A patient has two cases, which so keep
two labels. What cases lack is completed by pseudo-labels. Answers are scored as they are, and with the
largest component of all foreground alone (the first step of nnU-Net's post-processing).

``partial_labels.py STEPS SEED ... [plain]`` runs some seeds of the first fold by hand: also the harder way,
one label a patient, and with ``plain`` what cases lack stays unknown.
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
from ingradient_pl.inference.postprocess import LargestComponent
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

ALL, ONE, ONE_A_PATIENT = "acdc", "acdc_one_label_a_case", "acdc_one_label"
STEPS, FOLDS = 3000, range(5)
BELOW = 0.02
TRIAL = "low resolution"
COMPLETED = "low resolution, pseudo-labels"
LOW = ["recipe=fast", "plan.spacing=[10.0,3.0,3.0]", "plan.patch=[10,128,112]", "plan.widths=[8,16,32,64]"]
"""Half the plan's resolution within slices, and its field of view: 10 x 256 x 224 voxels of 1.5 mm."""

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
    pairs = [(dice(ALL, STEPS, 0, fold), dice(ONE, STEPS, 0, fold)) for fold in FOLDS]
    lost = [statistics.mean(every[way] - one[way] for every, one in pairs) for way in (0, 1)]
    against = "all labels, equal steps"
    return [
        Figure("partial_labels", lost[0], "Dice", against, BELOW),
        Figure("partial_labels [largest component]", lost[1], "Dice", against, BELOW),
    ]


def dice(name: str, steps: int, seed: int, fold: int = 0, *, plain: bool = False) -> tuple[float, float]:
    """Train on a store and give the mean Dice of the validation cases, as they are and of one component."""
    prepare(fold)
    trial = TRIAL if plain or name == ALL else COMPLETED
    row = recipe.Row(name if name == ALL else f"{name}{fold}", fold, steps, seed, trial)
    model = recipe.trained(row)
    component = LargestComponent(together=True)
    found = recipe.score(row, model), recipe.score(row, model, component)
    told = f"Dice {found[0]:.4f}, of the largest component {found[1]:.4f}"
    print(f"{name:22} {trial:30} {steps} steps, fold {fold}, seed {seed}: {told}", flush=True)
    return found


def prepare(fold: int = 0) -> None:
    """Make the stores of one label a case, and a patient, beside that of all."""
    recipe.TRIALS.update({TRIAL: LOW, COMPLETED: [*LOW, *PSEUDO]})
    store, plan = recipe.prepared(ALL)
    for name in (f"{ONE}{fold}", f"{ONE_A_PATIENT}{fold}"):
        recipe.DATA[name] = recipe.DATA[ALL]
        other = recipe.WORK / f"{name}.yaml"
        if other.exists():
            continue
        source = read_source(recipe.SHARED / "data" / recipe.DATA[ALL].folder)
        of_patients = name == f"{ONE_A_PATIENT}{fold}"
        kept = keep_one_label(source, CaseStore(store), fold, of_patients=of_patients)
        build_store(kept, recipe.WORK / name)
        other.write_bytes(plan.read_bytes())


def keep_one_label(source: Source, store: CaseStore, fold: int, *, of_patients: bool) -> Source:
    """Let each training case, or each patient, annotate one label, all in turn."""
    train = set(Fold(fold).split(store.cases).train)
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
    plain = "plain" in sys.argv
    steps, *seeds = (int(number) for number in sys.argv[1:] if number != "plain")
    for seed in seeds:
        for name in (ALL, ONE, ONE_A_PATIENT):
            dice(name, steps, seed, plain=plain)
