"""``ingradient predict``: a checkpoint and images -> segmentations on the images' own grid."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.commands.cluster import choose_workers
from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.commands.inputs import AnyPath, to_paths
from ingradient_pl.commands.load import WindowBatch, checkpoint_files, load, without_postprocess
from ingradient_pl.commands.predict_on_cluster import ModelOptions, save_cases_on
from ingradient_pl.commands.prediction_cases import find_cases, find_labels_task, say_remarks, take_part
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images import dicom_seg
from ingradient_pl.inference.answer_files import input_files, target_files
from ingradient_pl.inference.answer_folder import AnswerFolder, identify
from ingradient_pl.inference.case_pictures import check_pictures, map_answers, write_pictures
from ingradient_pl.inference.case_pipeline import Failure
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.inference.predict_cases import SaveReport, save_cases, score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.uncertainty_files import describe_limits
from ingradient_pl.messages import UsageError, say, say_failure
from ingradient_pl.metrics.evaluation import Change, Evaluation
from ingradient_pl.metrics.evaluation_report import table
from ingradient_pl.phrases import say_count
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import TRUSTED

Save = Callable[..., SaveReport]
"""Segments cases into a folder: from cases, folder and how answers are written."""


class Predictions(NamedTuple):
    """What a prediction of cases wrote or scored.

    Args:
        written: Files, in the order of the cases; none where nothing was to be written.
        skipped: Names of cases whose file was there already.
        failures: Cases that could not be done, and why; all others are done.
        evaluation: Scores against the cases' labels, where nothing was written.
    """

    written: list[Path]
    skipped: list[str]
    failures: list[Failure]
    evaluation: Evaluation | None = None

    def __repr__(self) -> str:
        return short_repr(self)


def predict(  # noqa: PLR0913 - one argument an option
    checkpoint: AnyPath | list[AnyPath],
    source: AnyPath | list[AnyPath],
    output: AnyPath | None = None,
    only: str | list[str] | None = None,
    mirror: bool = True,  # noqa: FBT001 - a switch of the command line
    step: float = 0.5,
    device: str | None = None,
    window_batch: WindowBatch = "auto",
    resume: bool = False,  # noqa: FBT001
    pictures: AnyPath | None = None,
    postprocess: AnyPath | None = None,
    dicom: bool = False,  # noqa: FBT001
    save_probabilities: bool = False,  # noqa: FBT001
    uncertainty: bool = False,  # noqa: FBT001
    part: int = 0,
    parts: int = 1,
    trust: list[str] | None = None,
    image_formats: list[str] | None = None,
    cluster: str | None = None,
    cluster_options: dict[str, str | int] | None = None,
) -> Predictions:
    """Segment every case of a folder or table, each on its own grid, in its own orientation and format.

    A case that cannot be read is named at the end and does not hold up the others. Without an output folder
    nothing is written: each case is scored against its label (Dice).

    Args:
        checkpoint: File that training or import-nnunet wrote, or the folder of a run or of a
            cross-validation; several (a.ckpt b.ckpt) are averaged.
        source: Folder of CASE_0000.nii.gz files or of DICOM series (a folder each), a raw data set, a case
            store, npz + pkl pairs, or a table of paths; or several stores (a b) that a model was
            trained on together, whose cases are called CASE@STORE.
        output: Folder for the segmentations, CASE.nii.gz each; where labels may overlap a file (or a channel,
            as the data set has them) for each label.
        only: Names of cases, or 'validation' for those of the checkpoint's fold.
        mirror: Whether to average over mirrored passes, along the axes that training mirrored.
        step: Step between windows as a fraction of the patch size, in (0, 1]: nnU-Net's tile_step_size;
            windows overlap by 1 - step.
        device: cpu, cuda, cuda:1, mps; the best there is if not given.
        window_batch: Windows that go through the network together; auto: as many as is fastest and fits.
        resume: Whether to leave out cases whose file is there already.
        pictures: Folder for a PNG of each case.
        postprocess: YAML file of what is done to each segmentation, as ingradient postprocess learns it; it
            stands in the place of what the checkpoint brings.
        dicom: Whether a case that is a DICOM series is written as a DICOM segmentation (CASE.dcm), not NIfTI.
        save_probabilities: Whether to write CASE.npz beside each segmentation: the array 'probabilities', one
            map for each output in half precision, axes (output, z, y, x) as SimpleITK reads the image.
        uncertainty: Whether to write entropy/CASE.nii.gz and disagreement/CASE.nii.gz (of folds, mirrored
            passes and windows), percentages, and dice_estimates.json: the Dice to be expected by case and
            label. Calibrate the model first (ingradient calibrate).
        part: Which of several parts of the cases is done here, from 0; for launchers, one part a job.
        parts: How many parts there are.
        trust: Packages outside this one whose networks the checkpoint may name, such as monai.
        image_formats: Further file formats by dotted name, such as [my_package.NPY]: an ImageFormat each.
        cluster: Where cases are segmented: the address of a dask scheduler (tcp://host:8786) or its file, or
            slurm for jobs by submitit (local: the same on this machine). This machine does it if not given.
        cluster_options: Of submitit's jobs, such as {timeout_min: 60, slurm_partition: gpu, jobs: 8}.

    Returns:
        The files, or the scores, and the cases that failed.

    Raises:
        UsageError: If options contradict each other.
        CheckpointError: If a file is not a checkpoint, or the files do not fit together.
        SourceError: If the source is not a data set that can be read.
        OutputError: If something of the user's would be written over.
        ClusterError: If there is no such cluster, or it lost the same cases too often.
    """
    add_image_formats(image_formats)
    _check_written(
        *(output, to_paths(source)),
        cluster=cluster,
        pictures=pictures,
        save_probabilities=save_probabilities,
        uncertainty=uncertainty,
        resume=resume,
        dicom=dicom,
    )
    _check_dicom(pictures, dicom=dicom)
    after = None if postprocess is None else read_steps(Path(postprocess), (*TRUSTED, *(trust or ())))
    there = device if cluster is None else "cpu"
    predictor = _choose_postprocess(load(checkpoint, there, step, window_batch, mirror, trust), after)
    model, sources = predictor.model, [path.resolve() if cluster else path for path in to_paths(source)]
    for remark in describe_limits(model, predictor.mirror_axes) if uncertainty else ():
        say(remark)
    chosen, found = find_cases(sources, model, only)
    told = say_remarks(found)
    unread = take_part(told if only is None else [], part, parts)
    cases = take_part(chosen, part, parts)
    if output is None:
        result = _score(predictor, _require_labels(cases), after, sources)
    else:
        options = {"resume": resume, "dicom": dicom, "uncertainty": uncertainty}
        options["probabilities"] = save_probabilities
        files = [file.resolve() for file in checkpoint_files(checkpoint)]
        save: Save = partial(save_cases, predictor, after=after, progress=True, say=say)
        if cluster is not None:
            steps = None if postprocess is None else Path(postprocess).resolve()
            how = ModelOptions(tuple(files), device, step, window_batch, mirror, tuple(trust or ()), steps)
            pool = choose_workers(cluster, cluster_options, image_formats, beside=Path(output))
            save = partial(save_cases_on, pool, how)
        answers = AnswerFolder(Path(output), model.task, identify(files))
        result = _write(save, cases, answers, options, None if pictures is None else Path(pictures))
    return _say_failures(result._replace(failures=[*unread, *result.failures]))


def _score(
    predictor: Predictor, cases: list[CaseFiles], after: Change | None, sources: list[Path]
) -> Predictions:
    """Segment cases and say how they agree with their labels."""
    told = find_labels_task(sources)
    scored = score_cases(predictor, cases, after=after, progress=sys.stderr.isatty(), say=say, told=told)
    say(table(scored.evaluation))
    for remark in scored.evaluation.remarks:
        say(f"Note: {remark}")
    return Predictions([], [], scored.failures, scored.evaluation)


def _choose_postprocess(predictor: Predictor, after: Change | None) -> Predictor:
    """Leave the post-processing that the checkpoint brings, and say so, unless another was named."""
    model = predictor.model
    if after is not None:
        return without_postprocess(predictor)
    if model.postprocess.steps:
        steps = ", ".join(map(str, model.postprocess.steps))
        say(f"Post-processing that the checkpoint brings: {steps} (--postprocess FILE takes its place).")
    return predictor


def _write(
    save: Save, cases: list[CaseFiles], answers: AnswerFolder, options: dict[str, bool], pictures: Path | None
) -> Predictions:
    """Segment cases into a folder that holds nothing of the user's; write down what they are made from."""
    targets = target_files(cases, answers.folder, answers.task, dicom=options["dicom"])
    if pictures is not None:
        check_pictures(cases, pictures, [*input_files(cases), *targets.values()])
    for line in answers.begin(cases, targets, resume=options["resume"]):
        say(line)
    report = save(cases, answers.folder, **options)
    answers.finish(targets)
    say(f"{say_count(len(report.written), 'case')} written to {answers.folder} in {report.seconds:.1f} s")
    if report.skipped:
        say(f"{say_count(len(report.skipped), 'case')} there already")
    if pictures is not None:
        left_out = {*report.skipped, *(failure.case for failure in report.failures)}
        done = [case for case in cases if case.name not in left_out]
        found = map_answers(done, report.written, answers.folder, answers.task)
        write_pictures(done, found, answers.task, pictures)
    return Predictions(report.written, report.skipped, report.failures)


def _say_failures(result: Predictions) -> Predictions:
    """Name the cases that could not be done."""
    if result.failures:
        lines = [f"{say_count(len(result.failures), 'case')} failed:", *result.failures]
        say_failure("\n  ".join(map(str, lines)))
    return result


def _require_labels(cases: list[CaseFiles]) -> list[CaseFiles]:
    """Refuse cases without any label where nothing but their scores is wanted."""
    if not any(case.label for case in cases):
        raise ValueError(
            f"No case has a label to be scored against ({len(cases)} without): name a folder to write to, "
            "--output DIR, or a source with labels (a store, a raw data set, pairs with 'y')."
        )
    return cases


def _check_written(output: AnyPath | None, sources: list[Path], **wanted: object) -> None:
    """Refuse what is for answers that are written where none are, and answers among the images."""
    if output is None and len(sources) > 1:
        raise UsageError("Cases of several stores are written, then scored: name a folder, --output DIR.")
    if output is not None and Path(output).resolve() in [source.resolve() for source in sources]:
        raise UsageError(f"{output} is the folder of the images: name another one for the segmentations.")
    for name, given in wanted.items():
        if given and output is None:
            raise UsageError(
                f"--{name} is for segmentations that are written: name their folder, --output DIR."
            )


def _check_dicom(pictures: AnyPath | None, *, dicom: bool) -> None:
    if dicom:
        dicom_seg.check_installed()
    if dicom and pictures is not None:
        raise UsageError(f"Pictures are made of NIfTI answers: leave out --dicom, or --pictures {pictures}.")
