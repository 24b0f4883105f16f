"""``ingradient calibrate``: a checkpoint and labelled cases -> the checkpoint, its confidence corrected."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.commands.load import checkpoint_files, load
from ingradient_pl.commands.model_output import CALIBRATED, check_model_output
from ingradient_pl.commands.prediction_cases import (
    VALIDATION,
    find_cases,
    find_labels_task,
    say_other_names,
    say_remarks,
)
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images.packed_masks import take_mask
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.inference.answer_folder import identify
from ingradient_pl.inference.calibration import TEMPERATURES, Calibration
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.inference.checkpoint_file import OURS, read_content, write_content
from ingradient_pl.inference.measure_calibration import FEWEST, Reliability, fit_line
from ingradient_pl.inference.predict_cases import find_meaning, read_true_masks, read_truth
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.probabilities import scratch_maps
from ingradient_pl.inference.uncertainty import expected_dice_at
from ingradient_pl.messages import UsageError, say
from ingradient_pl.metrics.agreement import count_agreement
from ingradient_pl.metrics.evaluation_masks import score_masks
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.store.image_sums import read_image_sums
from ingradient_pl.store.metadata import is_store
from ingradient_pl.task import Task

FEW = 3


class Calibrated(NamedTuple):
    """What calibrating found.

    Args:
        calibration: What the checkpoint holds now.
        cases: Cases it was learned from.
        error_before: Expected calibration error over the voxels of these cases, in [0, 1].
        error_after: The same with the temperature found.
        pairs: Expected (before the line) and found Dice of each case and label.
    """

    calibration: Calibration
    cases: int
    error_before: float
    error_after: float
    pairs: list[tuple[float, float]]


def calibrate(  # noqa: PLR0913 - one argument an option
    checkpoint: AnyPath,
    source: AnyPath,
    output: AnyPath,
    only: str | list[str] = VALIDATION,
    mirror: bool = True,  # noqa: FBT001 - a switch of the command line
    step: float = 0.5,
    device: str | None = None,
    trust: list[str] | None = None,
    image_formats: list[str] | None = None,
) -> Calibrated:
    """Learn on labelled cases how far a model's probabilities can be believed; write that into a checkpoint.

    The temperature is the one under which the labels are likeliest; segmentations stay as they are. A line
    from the Dice that probabilities let expect to the one found makes estimates of predict --uncertainty true
    on average.

    Args:
        checkpoint: File that training or import-nnunet wrote, or a run's folder.
        source: A case store, a raw data set, pairs or a table with labels.
        output: Checkpoint to write: the same model, calibrated.
        only: Names of cases, or 'validation' for those of the checkpoint's fold. Not cases it was trained on.
        mirror: Whether to average over mirrored passes, as predictions will.
        step: Step between windows as a fraction of the patch size, in (0, 1].
        device: cpu, cuda, cuda:1, mps; the best there is if not given.
        trust: Packages outside this one whose networks the checkpoint may name, such as monai.
        image_formats: Further file formats by dotted name, such as [my_package.NPY]: an ImageFormat each.

    Returns:
        Temperature, line and calibration errors.

    Raises:
        UsageError: If no case has a label.
        OutputError: If the output would replace something that is read, or a checkpoint that this command
            has not written.
        CheckpointError: If the file is not a checkpoint.
    """
    add_image_formats(image_formats)
    (file,) = checkpoint_files(checkpoint)
    if Path(output).resolve() == file.resolve() or Path(output).suffix != ".ckpt":
        raise UsageError(f"{output}: name another file that ends in .ckpt for the calibrated model.")
    check_report(Path(output).with_suffix(""), [Path(source)])
    check_model_output(Path(output), CALIBRATED)
    predictor = load(file, device, step, "auto", mirror, trust)
    if predictor.model.others:
        raise UsageError(
            f"{file} averages models of several plans, each of which has a temperature of its own: calibrate "
            "the checkpoints that it was made from."
        )
    plain = replace(predictor, model=predictor.model._replace(calibration=Calibration()))
    chosen, there = find_cases(source, predictor.model, only)
    say_remarks(there)
    told = find_labels_task(source)
    labelled = [case for case in chosen if case.label is not None]
    cases = _find_known(labelled, predictor.model.task, told, source)
    content = dict(read_content(file))
    say_other_names(cases, predictor.model.task, told)
    for remark in _remark_cases(content[OURS].get("run"), source, cases):
        say(remark)
    found = _measure(plain, cases, told)
    calibrated = {"calibration": found.calibration._asdict(), CALIBRATED: identify([file])}
    content[OURS] = {**content[OURS], **calibrated}
    write_content(Path(output), content)
    say(
        f"{say_count(len(cases), 'case')}: temperature {found.calibration.temperature:.2f}, expected "
        f"calibration error {found.error_before:.4f} before, {found.error_after:.4f} after. "
        f"Written to {output}"
    )
    line = found.calibration
    if line.has_line:
        say(f"Estimates of Dice hold where {line.least:.2f} to {line.most:.2f} are expected, as here.")
    for remark in _remark_result(found):
        say(remark)
    return found


def _find_known(cases: list[CaseFiles], task: Task, told: Task | None, source: AnyPath) -> list[CaseFiles]:
    """Leave the cases of which every voxel's label is known: of classes, those that annotate all labels."""
    if not cases:
        raise UsageError(f"{source} holds no labelled case among those to calibrate on.")
    known = [case for case in cases if task.has_regions or _find_annotated(case, task, told) is None]
    if not known:
        raise UsageError(
            f"No case of {source} annotates all of {', '.join(task.foreground)}: what is background is not "
            "known, and probabilities cannot be held against it. Name cases that do: --only [a,b]"
        )
    if len(known) < len(cases):
        left = [case.name for case in cases if case not in known]
        words = f"{say_count(len(left), 'case')} left out, which annotate some labels only"
        say(f"Note: {words}: {name_some(left)}.")
    return known


def _find_annotated(case: CaseFiles, task: Task, told: Task | None) -> tuple[str, ...] | None:
    """Give the labels that a case knows of a task's; None where those are all."""
    found = find_meaning(case, task, told).translate_annotated(case.annotated)
    return None if found is None or set(task.foreground) <= set(found) else found


def _remark_cases(run: Any, source: AnyPath, cases: Sequence[CaseFiles]) -> Iterator[str]:
    """Say which cases the model was trained on, by name or image, or that it does not tell."""
    trained, images = (_read_part(run, *keys) for keys in (("split", "train"), ("images",)))
    if not isinstance(trained, (list, tuple)):
        yield (
            "Note: the checkpoint does not tell which cases it was trained on. On those it is surer than on "
            "any other: see to it that none is among these."
        )
        return
    names = [case.name for case in cases]
    sums = read_image_sums(Path(source), names) if is_store(Path(source)) else {}
    known = [_read_part(images, name) for name in trained if isinstance(name, str)]
    seen = [
        case.name for case in cases if case.name in trained or sums.get(case.name, "") in filter(None, known)
    ]
    if seen:
        yield (
            f"Note: {len(seen)} of {len(cases)} cases trained this model ({name_some(seen)}), and on "
            "those it is surer than on any other: the temperature will be too low. Take others, such as "
            "--only validation."
        )


def _read_part(node: Any, *keys: str) -> Any:
    """Read what a checkpoint says of its run; None where it does not say so, or something else."""
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _remark_result(found: Calibrated) -> Iterator[str]:
    """Say what is to be minded about what was found."""
    ends, line = (TEMPERATURES[0], TEMPERATURES[-1]), found.calibration
    if not line.has_line:
        yield (
            f"Note: no line from expected to found Dice was fitted: that takes {FEWEST} labels of cases "
            "or more whose Dice rises with what is expected. Estimates of Dice may be far too high."
        )
    if line.at_end:
        yield (
            f"Note: {line.temperature:g} is the end of the temperatures that are tried, "
            f"{ends[0]:g} to {ends[1]:g}: the model is barely trained, or its labels are not those of these "
            "cases. Its probabilities and estimates of Dice cannot be relied on."
        )
    if found.error_after > found.error_before:
        yield (
            "Note: the calibration error is larger than before, though the labels are likelier: the cases "
            "are few, or unlike each other."
        )
    if found.cases < FEW:
        told = f"{say_count(found.cases, 'case')} {'tells' if found.cases == 1 else 'tell'}"
        yield f"Note: {told} little of others; calibrate on {FEW} or more."


def _measure(predictor: Predictor, cases: list[CaseFiles], told: Task | None) -> Calibrated:
    """Predict each case once: its probabilities tell what they would be at any temperature."""
    reliability, expected, found = Reliability(), [], []
    task = predictor.model.task
    for case in tqdm(cases, desc="calibrating", unit="case", disable=None):
        shares, label, truth = _predict(predictor, case, told)
        reliability.add(*_by_output(shares, truth, task))
        expected.append(expected_dice_at(shares, TEMPERATURES, regions=task.has_regions))
        found.append(_find_dice(label, truth, task))
    pairs = [
        (dict(zip(task.output_names, of_case[reliability.best], strict=True))[name], dice)
        for of_case, scores in zip(expected, found, strict=True)
        for name, dice in scores.items()
    ]
    before = TEMPERATURES.index(min(TEMPERATURES, key=lambda one: abs(one - 1)))
    return Calibrated(
        Calibration(TEMPERATURES[reliability.best], *fit_line(pairs)),
        len(cases),
        reliability.error(before),
        reliability.error(reliability.best),
        pairs,
    )


class Truth(NamedTuple):
    """What is right in a case.

    Args:
        label: The model's integers, or packed masks where its labels may overlap.
        names: The labels or regions that somebody annotated.
    """

    label: NDArray[Any]
    names: Collection[str]


def _predict(
    predictor: Predictor, case: CaseFiles, told: Task | None
) -> tuple[NDArray[Any], NDArray[Any], Truth]:
    """Give probabilities, segmentation and label of a case; the first lie in a file without a name."""
    model = predictor.model
    volume = read_case(case, model.task, model.plan.orientation)
    shares = scratch_maps((model.plan.outputs, *volume.voxels.shape[1:]), dtype=np.float32)
    label = predictor.segment(volume.voxels, volume.frame.spacing, shares)
    if model.task.overlap is not None:
        masks = read_true_masks(case, volume, model, told)
        return shares, label, Truth(masks.packed, masks.known)
    truth = find_meaning(case, model.task, told).apply(read_truth(case, volume, model.plan.orientation))
    annotated = _find_annotated(case, model.task, told)
    return shares, label, Truth(truth, model.task.foreground if annotated is None else annotated)


def _find_dice(label: NDArray[Any], truth: Truth, task: Task) -> dict[str, float]:
    """Give the Dice of each foreground label or region that was annotated, by its name."""
    described = task.in_files
    if described.overlap is not None:
        scores = score_masks(label, truth.label, list(range(1, described.outputs + 1)))
        dice = {name: scores[number]["Dice"] for number, name in enumerate(described.foreground, 1)}
    else:
        values = {name: one[0] if len(one) == 1 else one for name, one in described.foreground.items()}
        agreement = count_agreement(label, truth.label, list(values.values()), described.ignore)
        dice = {name: agreement[value].dice for name, value in values.items()}
    return {name: one for name, one in dice.items() if name in truth.names}


def _by_output(shares: NDArray[Any], truth: Truth, task: Task) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give probabilities and what is right: of each output, or yes and no of each region that is known."""
    label = truth.label
    if not task.has_regions:
        return shares, np.stack([label == value for value in task.written])
    if task.overlap is not None:
        regions = [take_mask(label, number) for number in range(1, task.outputs + 1)]
        known = ~take_mask(label, task.outputs + 1)
    else:
        regions = [np.isin(label, values) for values in task.in_files.foreground.values()]
        ignored = task.in_files.ignore
        known = np.ones(label.shape, bool) if ignored is None else label != ignored
    told = [number for number, name in enumerate(task.foreground) if name in truth.names]
    yes = np.concatenate([regions[number].reshape(-1) & known.reshape(-1) for number in told])
    no = np.concatenate([~regions[number].reshape(-1) & known.reshape(-1) for number in told])
    flat = np.concatenate([np.asarray(shares[number]).reshape(-1) for number in told])
    return np.stack([flat, 1 - flat])[:, :, None, None], np.stack([yes, no])[:, :, None, None]
