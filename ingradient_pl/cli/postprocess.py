"""``ingradient postprocess``: segmentations -> without stray pieces and holes, by a learned list."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.commands import run
from ingradient_pl.cli.evaluate import DESCRIPTION, task_beside
from ingradient_pl.cli.failures import FAILED, UsageError
from ingradient_pl.inference.postprocess import read_steps, write_steps
from ingradient_pl.inference.postprocess_folder import learn, process_folder


def postprocess_folder(
    predictions: str,
    output: str,
    postprocess: str | None = None,
    learn: bool = False,  # noqa: FBT001 - a switch of the command line
    labels: str | None = None,
    dataset: str | None = None,
) -> None:
    """Clean finished segmentations by a list of steps, or learn that list from cases with labels.

    Args:
        predictions: Folder of segmentations, CASE.nii.gz each.
        output: Folder for the cleaned ones; with --learn true: the YAML file to write.
        postprocess: YAML file of steps (largest component, smallest size, holes filled), as --learn writes
            it.
        learn: Whether to find out, by nnU-Net's rule, where keeping only the largest component raises Dice.
            Learn on cases that were kept from training.
        labels: Folder of reference labels to learn from.
        dataset: dataset.json or store that tells what the integers mean. If not given: the dataset.json
            beside the predictions or the labels.
    """
    if learn:
        if labels is None:
            raise UsageError("Learning needs references: name their folder with --labels DIR.")
        _learn_steps(Path(predictions), Path(labels), Path(output), dataset)
        return
    if postprocess is None:
        raise UsageError(
            "Name the steps with --postprocess FILE, or learn them with --learn true --labels DIR."
        )
    written, failures = process_folder(Path(predictions), Path(output), read_steps(Path(postprocess)))
    description = Path(predictions) / DESCRIPTION
    if description.is_file():
        shutil.copyfile(description, Path(output) / DESCRIPTION)
    print(f"{len(written)} cases written to {output}")
    if failures:
        print(f"{len(failures)} cases failed:", *failures, sep="\n  ", file=sys.stderr)
        sys.exit(FAILED)


def _learn_steps(predictions: Path, labels: Path, output: Path, dataset: str | None) -> None:
    learned = learn(predictions, labels, task_beside(predictions, labels, dataset))
    print(*learned.trials, sep="\n")
    write_steps(output, learned.steps, [str(trial) for trial in learned.trials])
    print(f"Written to {output}. Use it: ingradient predict ... --postprocess {output}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(postprocess_folder, arguments)
