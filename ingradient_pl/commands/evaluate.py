"""``ingradient evaluate``: segmentations and labels -> scores per case and per label."""

import json
from pathlib import Path

import numpy as np

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.datasets.sources import task_of
from ingradient_pl.messages import say
from ingradient_pl.metrics import evaluation as evaluations
from ingradient_pl.metrics.evaluation import Evaluation, Measure
from ingradient_pl.metrics.evaluation_report import table, write_csv, write_summary
from ingradient_pl.metrics.lesions import LesionDetection
from ingradient_pl.metrics.surface import SurfaceDistances
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.task import Task

SHOWN = ("Dice", "HD95", "ASSD", "NSD", "lesion_F1", "lesion_sensitivity", "lesions_false")
"""Scores that get a table; all of them are in the files."""

DESCRIPTION = "dataset.json"


def evaluate(  # noqa: PLR0913 - one argument an option
    predictions: AnyPath,
    labels: AnyPath,
    output: AnyPath | None = None,
    dataset: str | Path | CaseStore | Task | None = None,
    csv: AnyPath | None = None,
    complete: bool = False,  # noqa: FBT001 - a switch of the command line
    same_space: bool = True,  # noqa: FBT001
    surface: bool = False,  # noqa: FBT001
    tolerance: float = 2.0,
    lesions: bool = False,  # noqa: FBT001
    overlap: float = 0.0,
    seed: int = 0,
) -> Evaluation:
    """Score every segmentation of a folder against the label file of the same name.

    Args:
        predictions: Folder of segmentations, CASE.nii.gz each.
        labels: Folder of reference labels with the same names.
        output: JSON file to write, with nnU-Net's keys: foreground_mean, mean, metric_per_case. None writes
            none.
        dataset: dataset.json or store that tells what the integers mean. If not given: the dataset.json
            beside the predictions or the labels.
        csv: Table to write as well, a line for each case and label.
        complete: Whether a label without a prediction is a fault.
        same_space: Whether files must lie in the same place in mm, and not only have the same shape.
        surface: Whether to measure surface distances too: HD95 and ASSD in mm, and NSD. A label that only one
            of the two files holds is infinitely far (NSD 0); one that neither holds has no score.
        tolerance: Distance in mm up to which NSD takes surfaces to agree.
        lesions: Whether to count lesions (pieces whose voxels touch) found, missed and invented.
        overlap: Share of a lesion, in [0, 1), of which more must be covered for it to count as found; 0 asks
            for one voxel.
        seed: Another seed, other resamples of the cases for the 95 % intervals.

    Returns:
        Scores of each case and label.

    Raises:
        FileNotFoundError: If a folder or the description is not there.
        EvaluationError: If files are missing or do not fit each other.
    """
    task = task_beside(Path(predictions), Path(labels), dataset)
    measures: list[Measure] = [SurfaceDistances(tolerance)] if surface else []
    if lesions:
        measures.append(LesionDetection(overlap))
    evaluation = evaluations.evaluate(
        *(Path(predictions), Path(labels), task), measures=measures, complete=complete, same_space=same_space
    )
    if output is not None:
        write_summary(evaluation, Path(output), np.random.default_rng(seed))
    if csv is not None:
        write_csv(evaluation, Path(csv))
    known = next(iter(evaluation.cases[0].scores.values()))
    for name in SHOWN:
        if name in known:
            text = table(evaluation, name, cases=name == SHOWN[0], rng=np.random.default_rng(seed))
            say(f"{text}\n")
    if output is not None:
        say(f"Written to {output}")
    return evaluation


def task_beside(predictions: Path, labels: Path, dataset: str | Path | CaseStore | Task | None) -> Task:
    """Find out what the integers of two folders of labels mean.

    Raises:
        FileNotFoundError: If a folder or the description is not there.
    """
    for folder in (predictions, labels):
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}: check the path.")
    if isinstance(dataset, (CaseStore, Task)):
        return dataset.task if isinstance(dataset, CaseStore) else dataset
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
