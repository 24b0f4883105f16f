"""The checkpoint that a command writes: never in the place of another file, nor of a model made otherwise."""

from pathlib import Path

from ingradient_pl.inference.answer_files import OutputError
from ingradient_pl.inference.checkpoint_file import OURS, CheckpointError, read_content


def check_model_output(output: Path, mark: str, made: str) -> None:
    """Refuse to write a checkpoint over a file that is something else than what the same command wrote.

    Args:
        output: File that will be written.
        mark: Entry of a checkpoint that this command leaves.
        made: What the command does with a model, such as ``imported``, for the message.

    Raises:
        OutputError: If it is a folder, or is there already without the mark.
    """
    if output.is_dir():
        raise OutputError(f"{output} is a folder. Name a file in it, such as {output / 'model.ckpt'}.")
    if not output.exists():
        return
    try:
        held = mark in read_content(output)[OURS]
    except CheckpointError:
        held = False
    if not held:
        raise OutputError(
            f"{output} is there already, and is not a model that was {made}: nothing is written over it. "
            "Name another file."
        )
