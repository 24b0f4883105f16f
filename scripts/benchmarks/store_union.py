"""Two stores whose labels differ, trained together and each alone: Dice of each label on held-out phantoms.

One store annotates the organ, the other the lesion. Together they train as many steps as both alone, so that
each gives as many patches.
"""

import json
import statistics
import tempfile
import warnings
from pathlib import Path

import nibabel
import numpy as np
from figure import Figure

import ingradient_pl as ip

STEPS, CASES, HELD_OUT, SEEDS = 360, 8, 8, (0, 1, 2)
BELOW = 0.02
KEPT = {"organ": [0, 1, 0], "lesion": [0, 0, 1]}
SETTINGS = {
    "trainer": "cpu",
    "logger": "none",
    "recipe": "fast",
    "data.workers": 0,
    "data.split.number": None,
    "trainer.limit_val_batches": 0,
    "plan.patch": [16, 24, 24],
    "plan.batch_size": 2,
    "plan.widths": [8, 16, 16, 16],
    "epochs": 1,
}


def figures() -> list[Figure]:
    warnings.filterwarnings("ignore")
    lost = [one for seed in SEEDS for one in compare(seed).values()]
    return [Figure("store_union", statistics.mean(lost), "Dice", "each store alone", BELOW)]


def compare(seed: int) -> dict[str, float]:
    """Train both ways; give by how much each label scores lower together than alone."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        stores = {name: make_store(place, name, number + 2 * seed) for number, name in enumerate(KEPT)}
        held_out = ip.prepare(ip.phantoms(place / "held out", HELD_OUT, seed=1000 + seed), place / "test")
        plan = ip.plan([str(store) for store in stores.values()])
        together = train(list(stores.values()), plan, place / "both", len(stores) * STEPS, seed)
        scored = dice(together, held_out)
        lost = {}
        for name, store in stores.items():
            alone = dice(train([store], ip.plan(store), place / name, STEPS, seed), held_out)
            lost[name] = alone[name] - scored[name]
            print(f"seed {seed}, {name}: alone {alone[name]:.4f}, together {scored[name]:.4f}", flush=True)
        return lost


def make_store(place: Path, name: str, seed: int) -> Path:
    """Make a store of phantoms that knows one label alone, as 1."""
    data = ip.phantoms(place / f"{name} data", CASES, seed=seed)
    for file in sorted((data / "labelsTr").iterdir()):
        image = nibabel.load(file)
        voxels = np.array(KEPT[name], np.uint8)[np.asarray(image.dataobj).astype(np.uint8)]
        nibabel.save(nibabel.Nifti1Image(voxels.clip(0, 1), image.affine), file)
    described = json.loads((data / "dataset.json").read_text())
    described["labels"] = {"background": 0, name: 1}
    (data / "dataset.json").write_text(json.dumps(described))
    return ip.prepare(data, place / f"{name} store").path


def train(stores: list[Path], plan: ip.Plan, output: Path, steps: int, seed: int) -> Path:
    paths = [str(store) for store in stores]
    return ip.train(paths, plan, output, batches_per_epoch=steps, seed=seed, **SETTINGS).checkpoint


def dice(checkpoint: Path, store: ip.CaseStore) -> dict[str, float]:
    """Score a model on held-out cases that annotate both labels."""
    found = ip.predict(str(checkpoint), str(store.path), device="cpu").evaluation
    assert found is not None
    return {
        name: statistics.mean(case.scores[label]["Dice"] for case in found.cases)
        for label, name in found.labels.items()
    }
