"""``ingradient postprocess``: segmentations -> without stray pieces and holes, by a learned list."""

import shlex
from pathlib import Path

from ingradient_pl.commands.evaluate import check_one_meaning, task_beside
from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.datasets.descriptions import read_description, read_places, task_of
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.images.formats import ending
from ingradient_pl.inference.answer_files import answer_parts, check_report, check_targets
from ingradient_pl.inference.answer_folder import copy_description, refuse_data_set
from ingradient_pl.inference.learn_postprocess import learn
from ingradient_pl.inference.postprocess import HEAD, Steps, read_steps, write_steps
from ingradient_pl.inference.postprocess_folder import process_folder
from ingradient_pl.messages import UsageError, say, say_failure
from ingradient_pl.metrics.label_translation import describe_other_names
from ingradient_pl.phrases import say_count
from ingradient_pl.store.label_maps import find_answers, labels_task


def postprocess(
    predictions: AnyPath,
    output: AnyPath,
    postprocess: AnyPath | None = None,
    learn: bool = False,  # noqa: FBT001 - a switch of the command line
    labels: AnyPath | None = None,
    dataset: str | None = None,
) -> Steps:
    """Clean finished segmentations by a list of steps, or learn that list from cases with labels.

    Args:
        predictions: Folder of segmentations, CASE.nii.gz each.
        output: Folder for the cleaned ones; with --learn true: the YAML file to write.
        postprocess: YAML file of steps (largest component, smallest size, holes filled), as --learn writes
            it.
        learn: Whether to find out, by nnU-Net's rule, where keeping only the largest component raises Dice.
            Learn on validation cases.
        labels: Reference labels to learn from: a folder of files, a raw data set, npz + pkl pairs, a table,
            or a case store.
        dataset: dataset.json or store that tells what the integers mean. If not given: the dataset.json
            beside the predictions or the labels.

    Returns:
        The steps that were applied, or learned.

    Raises:
        UsageError: If neither steps nor labels to learn from are given.
        EvaluationError: If predictions and labels do not go together.
    """
    if learn:
        if labels is None:
            raise UsageError("Learning needs references: name their folder with --labels DIR.")
        check_report(Path(output), [Path(predictions), Path(labels)], (".yaml", ".yml"), HEAD.encode())
        return _learn_steps(Path(predictions), Path(labels), Path(output), dataset)
    if postprocess is None:
        raise UsageError(
            "Name the steps with --postprocess FILE, or learn them with --learn true --labels DIR."
        )
    steps = read_steps(Path(postprocess))
    description = Path(predictions) / DESCRIPTION
    described = read_description(Path(predictions))
    overlap = None if described is None else read_places(described, Path(predictions))
    task = None if described is None or overlap is None else task_of(described, Path(predictions))
    answers = find_answers(Path(predictions), task)
    targets = {name: Path(output) / f"{name}{ending(answer.path)}" for name, answer in answers.items()}
    parts = [[target] if task is None else answer_parts(target, task) for target in targets.values()]
    check_targets([file for files in parts for file in files], [Path(predictions)])
    refuse_data_set(Path(output))
    written, failures = process_folder(Path(predictions), Path(output), steps, task)
    if description.is_file():
        copy_description(description, Path(output) / DESCRIPTION)
    say(f"{say_count(len(written), 'case')} written to {output}")
    if failures:
        say_failure("\n  ".join(map(str, [f"{say_count(len(failures), 'case')} failed:", *failures])))
    return steps


def _learn_steps(predictions: Path, labels: Path, output: Path, dataset: str | None) -> Steps:
    task = task_beside(predictions, labels, dataset)
    if dataset is None:
        check_one_meaning(predictions, labels)
    own = labels_task(labels)
    for remark in () if own is None else describe_other_names(own, task):
        say(f"Note: {remark}")
    learned = learn(predictions, labels, task)
    say("\n".join(map(str, learned.trials)))
    write_steps(output, learned.steps, [str(trial) for trial in learned.trials])
    say(f"Written to {output}. Use it: ingradient predict ... --postprocess {shlex.quote(str(output))}")
    return learned.steps
