"""Post-processing applied to a whole folder of finished segmentations."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingradient_pl.files import keeps_all_out
from ingradient_pl.images import formats
from ingradient_pl.inference.answer_files import answer_parts
from ingradient_pl.inference.case_pipeline import FAULTS, Failure
from ingradient_pl.inference.postprocess import Step, Steps
from ingradient_pl.inference.predict_cases import write_answer
from ingradient_pl.metrics.evaluation import EvaluationError
from ingradient_pl.store.label_maps import LabelError, LabelMap, find_answers
from ingradient_pl.task import Task


def process_folder(
    predictions: Path, output: Path, step: Step, task: Task | None = None, workers: int = 2
) -> tuple[list[Path], list[Failure]]:
    """Apply a step to every segmentation of a folder; each answer keeps its file's grid and name.

    Args:
        predictions: Folder of segmentations.
        output: Another folder, for the answers.
        step: What to do.
        task: What the predictions mean; None where their integers are all that is needed.
        workers: Cases at a time.

    Returns:
        The files written, and the cases that could not be done.

    Raises:
        EvaluationError: If there is nothing to read.
        ValueError: If both folders are the same.
        OSError: If the disk takes nothing more: what follows is not tried.
    """
    predictions, output = Path(predictions), Path(output)
    if predictions.resolve() == output.resolve():
        raise ValueError(f"{output} holds the predictions themselves. Name another folder for the answers.")
    try:
        answers = sorted(find_answers(predictions, task).items())
    except LabelError as error:
        raise EvaluationError(str(error)) from error

    refused = list[BaseException]()

    def process(entry: tuple[str, LabelMap]) -> Path | Failure:
        name, answer = entry
        if refused:
            raise refused[0]
        try:
            volume = answer.read()
            if task is None or task.overlap is None:
                target = output / answer.path.name
                formats.write_label(target, step(volume.voxels[0], volume.frame.spacing), volume)
                return target
            target = output / f"{name}{formats.ending(answer.path)}"
            write_answer(target, Steps((step,))(volume.voxels, volume.frame.spacing), volume, task)
        except FAULTS as error:
            if keeps_all_out(error):
                refused.append(error)
                raise
            return Failure(name, str(error))
        return answer_parts(target, task)[0]

    with ThreadPoolExecutor(workers) as pool:
        done = list(pool.map(process, answers))
    failures = [one for one in done if isinstance(one, Failure)]
    return [one for one in done if isinstance(one, Path)], failures
