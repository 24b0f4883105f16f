"""``ingradient evaluate``: segmentations and labels -> scores per case and per label."""

import json
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cases.sources import task_of
from ingradient_pl.cases.store import CaseStore
from ingradient_pl.cases.task import Task
from ingradient_pl.cli.commands import run
from ingradient_pl.metrics.evaluation import evaluate
from ingradient_pl.metrics.evaluation_report import table, write_csv, write_summary

DESCRIPTION = "dataset.json"


def evaluated(
    predictions: str,
    labels: str,
    output: str = "summary.json",
    dataset: str | None = None,
    csv: str | None = None,
    complete: bool = False,  # noqa: FBT001 - a switch of the command line
) -> None:
    """Score every segmentation of a folder against the label file of the same name.

    Args:
        predictions: Folder of segmentations, CASE.nii.gz each.
        labels: Folder of reference labels with the same names.
        output: JSON file to write, with nnU-Net's keys: foreground_mean, mean, metric_per_case.
        dataset: dataset.json or store that tells what the integers mean. If not given: the dataset.json
            beside the predictions or the labels.
        csv: Table to write as well, a line for each case and label.
        complete: Whether a label without a prediction is a fault.
    """
    task = _task(Path(predictions), Path(labels), dataset)
    evaluation = evaluate(Path(predictions), Path(labels), task, complete=complete)
    write_summary(evaluation, Path(output))
    if csv is not None:
        write_csv(evaluation, Path(csv))
    print(table(evaluation))
    print(f"\nWritten to {output}")


def _task(predictions: Path, labels: Path, dataset: str | None) -> Task:
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}: check the path.")
    if dataset is not None and Path(dataset).is_dir():
        return CaseStore(Path(dataset)).task
    beside = [folder / DESCRIPTION for folder in (predictions, labels, labels.parent)]
    found = Path(dataset) if dataset is not None else next((file for file in beside if file.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"No {DESCRIPTION} beside {predictions} or {labels}: name the one that tells what the integers "
            f"mean with --dataset FILE."
        )
    return task_of(json.loads(found.read_text(encoding="utf-8")), found.parent)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(evaluated, arguments)
