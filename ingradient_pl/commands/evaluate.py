"""``ingradient evaluate``: segmentations and labels -> scores per case and per label."""

from pathlib import Path

import numpy as np

from ingradient_pl.commands.cluster import choose_workers
from ingradient_pl.commands.dotted_name import make
from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.commands.inputs import AnyPath, to_paths
from ingradient_pl.datasets.descriptions import read_task
from ingradient_pl.datasets.groups import PATTERN, group_cases
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.pair_layout import holds_pairs
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.inference.answer_folder import holds_answers
from ingradient_pl.inference.dice_estimates import Estimates, describe_estimates, read_estimates
from ingradient_pl.messages import LARGEST_SEED, UsageError, check_range, say
from ingradient_pl.metrics import evaluation as evaluations
from ingradient_pl.metrics.evaluation import Evaluation, Measure
from ingradient_pl.metrics.evaluation_annotated import leave_unannotated
from ingradient_pl.metrics.evaluation_oddities import describe_copied
from ingradient_pl.metrics.evaluation_report import HEADLINE, table, write_csv, write_summary
from ingradient_pl.metrics.label_translation import describe_other_names
from ingradient_pl.metrics.lesions import LesionDetection
from ingradient_pl.metrics.patients import describe_patients, store_groups
from ingradient_pl.metrics.surface import SurfaceDistances
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import is_dataset, labels_task, store_annotated
from ingradient_pl.store.metadata import is_store
from ingradient_pl.task import Task

SHOWN = ("Dice", "HD95", "ASSD", "NSD", "lesion_F1", "lesion_sensitivity", "lesions_false")
COUNTS = ("IoU", "FP", "TP", "FN", "TN", "n_pred", "n_ref", "lesions_ref", "lesions_pred", "lesions_found")
"""Scores without a table; all of them are in the files."""

NOTES = 20
"""Remarks that are said; the report holds all."""


def evaluate(  # noqa: PLR0913 - one argument an option
    predictions: AnyPath,
    labels: AnyPath | list[AnyPath],
    output: AnyPath | None = None,
    dataset: str | Path | CaseStore | Task | None = None,
    csv: AnyPath | None = None,
    complete: bool = False,  # noqa: FBT001 - a switch of the command line
    same_space: bool = True,  # noqa: FBT001
    surface: bool = False,  # noqa: FBT001
    tolerance: float = 2.0,
    lesions: bool = False,  # noqa: FBT001
    overlap: float = 0.1,
    seed: int = 0,
    group_pattern: str | None = None,
    measures: list[str | Measure] | None = None,
    image_formats: list[str] | None = None,
    cluster: str | None = None,
    cluster_options: dict[str, str | int] | None = None,
) -> Evaluation:
    """Score every segmentation of a folder against the label file of the same name.

    Args:
        predictions: Folder of segmentations, CASE.nii.gz each.
        labels: Reference labels with the same names: a folder of files, a raw data set, npz + pkl pairs, a
            table, or a case store (its folder or the store itself); or several stores (a b) that a model was
            trained on together, whose cases are called CASE@STORE.
        output: JSON file to write, with nnU-Net's keys: foreground_mean, mean, metric_per_case. None writes
            none.
        dataset: dataset.json or store that tells what the integers mean, and which labels were annotated in
            each case. If not given: the dataset.json
            beside the predictions, else what the labels tell, or the dataset.json beside them.
        csv: Table to write as well, a line for each case and label.
        complete: Whether a label without a prediction is a fault.
        same_space: Whether files must lie in the same place in mm, and not only have the same shape.
        surface: Whether to measure surface distances too: HD95 and ASSD in mm, and NSD. A label that only one
            of the two files holds is infinitely far (NSD 0); one that neither holds has no score.
        tolerance: Distance in mm up to which NSD takes surfaces to agree.
        lesions: Whether to count lesions (pieces whose voxels touch) found, missed and invented; each is
            matched with one predicted piece at most.
        overlap: Intersection over union, in [0, 1), that a lesion and its predicted piece must exceed for it
            to count as found; 0 asks for one common voxel.
        seed: Another seed, other resamples of the patients for the 95 % intervals.
        group_pattern: Regular expression that finds a patient's name in a case's name, in its first group. If
            not given: the patients that a store (of labels or dataset), a table or a data set of labels
            tells, else what the cases' names do, as for prepare.
        measures: Further scores by dotted name, such as [my_package.Volume]: a class or function that takes
            prediction and reference (z, y, x) and the voxels' size in mm, and gives numbers by name.
        image_formats: Further file formats by dotted name, such as [my_package.NPY]: an ImageFormat each.
        cluster: Where cases are scored: the address of a dask scheduler (tcp://host:8786) or its file, or
            slurm for jobs by submitit (local: the same on this machine). This machine does it if not given.
        cluster_options: Of submitit's jobs, such as {timeout_min: 60, cpus_per_task: 2, jobs: 8}.

    Returns:
        Scores of each case and label.

    Raises:
        FileNotFoundError: If a folder or the description is not there.
        EvaluationError: If files are missing or do not fit each other.
        GroupError: If group_pattern is not a regular expression with a group.
        UsageError: If predictions and labels give one name to two integers.
        OutputError: If the report would replace a file that is read, or one of a data set.
        ClusterError: If there is no such cluster, or it lost the same cases too often.
    """
    check_range("seed", seed, 0, LARGEST_SEED)
    add_image_formats(image_formats)
    if output is not None and csv is not None and Path(output).resolve() == Path(csv).resolve():
        raise UsageError(f"--output and --csv both name {output}: give two files.")
    references = to_paths(labels)
    read = [Path(predictions), *references, Path(predictions) / DESCRIPTION]
    check_report(output, read, (".json",), b"foreground_mean")
    check_report(csv, read, (".csv", ".tsv", ".txt"))
    group_cases([], group_pattern or PATTERN)  # refused before anything is read
    task = task_beside(Path(predictions), references[0], dataset)
    if dataset is None:
        check_one_meaning(Path(predictions), references[0])
    distances, detection = SurfaceDistances(tolerance), LesionDetection(overlap)  # or refused, wanted or not
    chosen: list[Measure] = [*([distances] if surface else []), *([detection] if lesions else [])]
    chosen += [make(one, "a measure") if isinstance(one, str) else one for one in measures or ()]
    beside = Path(predictions if output is None else output)
    with choose_workers(cluster, cluster_options, image_formats, beside=beside) as pool:
        ours, *theirs = (path.absolute() for path in read[:-1])  # the report names them, wherever it lies
        evaluation = evaluations.evaluate(
            *(ours, theirs, task),
            measures=chosen,
            complete=complete,
            same_space=same_space,
            pool=evaluations.TWO_AT_A_TIME if pool is None else pool,
        )
    evaluation = _leave_unannotated(evaluation, dataset)
    evaluation = evaluation._replace(groups=_groups(evaluation, dataset, group_pattern))
    if output is not None:
        write_summary(evaluation, Path(output), np.random.default_rng(seed))
    if csv is not None:
        write_csv(evaluation, Path(csv))
    _say_scores(evaluation, seed, read_estimates(Path(predictions)))
    for folder in filter(holds_answers, references):
        say(f"Note: {folder} holds what predict wrote. Is it the reference, or were the two exchanged?")
    if output is not None:
        say(f"Written to {output}")
    return evaluation


def _leave_unannotated(evaluation: Evaluation, dataset: object) -> Evaluation:
    """Leave labels unknown that ``dataset`` says nobody annotated, where the labels' folder cannot tell."""
    told = store_annotated(dataset)
    cases = [
        case._replace(scores=leave_unannotated(case.scores, evaluation.labels, told.get(case.name)))
        for case in evaluation.cases
    ]
    return evaluation._replace(cases=cases)


def _groups(evaluation: Evaluation, dataset: object, pattern: str | None) -> dict[str, str]:
    if pattern is not None:
        return group_cases([case.name for case in evaluation.cases], pattern)
    return {**evaluation.groups, **store_groups(dataset)}


def _say_scores(evaluation: Evaluation, seed: int, estimates: Estimates) -> None:
    known = next(iter(evaluation.cases[0].scores.values()))
    own = [name for name in known if name not in (*SHOWN, *COUNTS)]
    for name in (*(name for name in SHOWN if name in known), *own):
        text = table(evaluation, name, cases=name == HEADLINE, rng=np.random.default_rng(seed))
        say(f"{text}\n")
    say(describe_patients(evaluation.patients))
    if estimates:
        say(describe_estimates(evaluation, estimates))
    for remark in [*describe_copied(evaluation.entries), *evaluation.remarks[:NOTES]]:
        say(f"Note: {remark}")
    if len(evaluation.remarks) > NOTES:
        say(f"... and {len(evaluation.remarks) - NOTES} more notes; --output FILE keeps them all.")


def task_beside(predictions: Path, labels: Path, dataset: str | Path | CaseStore | Task | None) -> Task:
    """Find out what the integers of predictions and of labels mean.

    Args:
        predictions: Folder of segmentations.
        labels: Folder of label files, data set, pairs, table or store.
        dataset: What tells it instead: a dataset.json, a store or its folder, or the task itself.

    Raises:
        FileNotFoundError: If a folder or the description is not there.
        ValueError: If ``predictions`` is a file.
    """
    _check_folders(predictions, labels)
    if isinstance(dataset, (CaseStore, Task)):
        return (dataset.task if isinstance(dataset, CaseStore) else dataset).in_files
    if dataset is not None and Path(dataset).is_dir():
        return _task_of_folder(Path(dataset))
    beside = [folder / DESCRIPTION for folder in (predictions, labels, labels.parent)]
    if dataset is None and not (predictions / DESCRIPTION).is_file():
        own = labels_task(labels)
        if own is not None:
            return own
    found = Path(dataset) if dataset is not None else next((file for file in beside if file.is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"No {DESCRIPTION} beside {predictions} or {labels}: name the one that tells what the integers "
            f"mean with --dataset FILE."
        )
    return read_task(found)


def _check_folders(predictions: Path, labels: Path) -> None:
    for path in (predictions, labels):
        if not path.exists():
            raise FileNotFoundError(f"There is no folder {path}: check the path.")
    if predictions.is_file():
        raise ValueError(f"{predictions} is a file. Name the folder of segmentations that it is in.")


def check_one_meaning(predictions: Path, labels: Path) -> None:
    """Refuse predictions and labels whose descriptions give one name to two integers; say if they share none.

    Args:
        predictions: Folder of segmentations.
        labels: Folder of label files, data set, pairs, table or store.

    Raises:
        UsageError: If they do.
    """
    ours, beside = predictions / DESCRIPTION, (labels / DESCRIPTION, labels.parent / DESCRIPTION)
    theirs = next((file for file in beside if file.is_file() and file != ours), None)
    by_name = is_store(labels) or labels.is_file() or is_dataset(labels) or holds_pairs(labels)
    if (
        not ours.is_file() or theirs is None or by_name
    ):  # what tells its own task is read by the labels' names
        return
    task, reference = read_task(ours), read_task(theirs)
    mine, others = task.labels, reference.labels
    other = [name for name in mine if name in others and mine[name] != others[name]]
    if other:
        raise UsageError(
            f"{ours} says that '{other[0]}' is {mine[other[0]]}, {theirs} says "
            f"{others[other[0]]}: the scores would be of other structures. Name the description that is "
            "right for both with --dataset FILE, or correct one."
        )
    for remark in describe_other_names(reference, task):
        say(f"Note: {remark}")


def _task_of_folder(folder: Path) -> Task:
    own = labels_task(folder)
    return read_task(folder / DESCRIPTION) if own is None else own
