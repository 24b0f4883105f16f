"""Train nnU-Net's own way from end to end for so many steps, or seconds of steps, and score fold 0's cases.

python dice_per_minute.py DATASET WORK LIMIT DEVICE: LIMIT is "1000 steps" or "60 s". Printed last, as JSON:
steps, seconds (of steps), whole (training with its start), dice and cases.
"""

import json
import sys
import time
from pathlib import Path

from train import linked

EPOCH = 250
NAME = "3d_fullres"


def plan(name: str) -> None:
    """Plan and preprocess as nnU-Net does by itself."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    number = int(name[len("Dataset") :].partition("_")[0])
    api.extract_fingerprints([number], num_processes=2, show_progress_bar=False)
    api.plan_experiments([number])
    api.preprocess([number], configurations=[NAME], num_processes=[2], show_progress_bar=False)


def make_trainer(name: str, work: Path, device: str, steps: int):
    """Make nnU-Net's trainer of fold 0 for so many steps, in epochs of at most 250."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder = work / "preprocessed" / name
    plans, dataset = (
        json.loads((folder / file).read_text(encoding="utf-8"))
        for file in ("nnUNetPlans.json", "dataset.json")
    )

    class Timed(nnUNetTrainer):
        ends: list[float] = []  # noqa: RUF012 - one trainer at a time

        def train_step(self, batch):
            found = super().train_step(batch)
            self.ends.append(time.perf_counter())
            return found

    settings = {"configuration": NAME, "fold": 0, "dataset_json": dataset, "device": torch.device(device)}
    trainer = Timed({**plans, "continue_training": False}, **settings)
    Timed.ends = []
    trainer.num_iterations_per_epoch = min(EPOCH, steps)
    trainer.num_epochs = max(1, steps // trainer.num_iterations_per_epoch)
    trainer.num_val_iterations_per_epoch = 1
    torch.manual_seed(0)
    return trainer


def main(data: str, work: str, limit: str, device: str) -> None:
    source, place = Path(data).resolve(), Path(work).resolve()
    name = linked(source, place)
    plan(name)
    number, unit = limit.split()
    steps = int(number) if unit == "steps" else None
    if steps is None:
        probe = make_trainer(name, place, device, 150 if device == "cuda" else 8)
        probe.run_training()
        ends = probe.ends[len(probe.ends) // 3 :]
        steps = max(1, int(float(number) / ((ends[-1] - ends[0]) / (len(ends) - 1))))
    trainer = make_trainer(name, place, device, steps)
    began = time.perf_counter()
    trainer.run_training()
    whole = time.perf_counter() - began
    trainer.perform_actual_validation(save_probabilities=False)
    file = Path(trainer.output_folder) / "validation" / "summary.json"
    scores = json.loads(file.read_text(encoding="utf-8"))
    ends = trainer.ends
    answer = {"steps": len(ends), "seconds": ends[-1] - ends[0], "whole": whole}
    dice = scores["foreground_mean"]["Dice"]
    print(json.dumps({**answer, "dice": dice, "cases": len(scores["metric_per_case"])}))


if __name__ == "__main__":
    main(*sys.argv[1:])
