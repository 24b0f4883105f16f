"""The checkpoint that a command writes: never in the place of another file, nor of a model made otherwise."""

from pathlib import Path

from ingradient_pl.inference.answer_files import OutputError
from ingradient_pl.inference.checkpoint_file import OURS, CheckpointError, read_content
from ingradient_pl.nnunet.model import IMPORTED

CALIBRATED = "calibrated_from"
"""Entry of a calibrated checkpoint: the check sum of the one that it was made of."""

MADE = {IMPORTED: "imported", CALIBRATED: "calibrated"}
"""What commands leave in checkpoints, and what they did; whoever calibrates keeps what was there before."""


def check_model_output(output: Path, mark: str) -> None:
    """Refuse to write a checkpoint over a file that is something else than what the same command wrote.

    Args:
        output: File that will be written.
        mark: Entry of a checkpoint that this command leaves, one of :data:`MADE`.

    Raises:
        OutputError: If it is a folder, or is there already and this command was not the last to make it.
    """
    if output.is_dir():
        raise OutputError(f"{output} is a folder. Name a file in it, such as {output / 'model.ckpt'}.")
    if not output.exists():
        return
    try:
        content = read_content(output)[OURS]
    except CheckpointError:
        content = {}
    last = next((name for name in reversed(MADE) if name in content), None)
    if last != mark:
        other = (
            f"was {MADE[last]} since" if last and mark in content else f"is not a model that was {MADE[mark]}"
        )
        raise OutputError(
            f"{output} is there already, and {other}: nothing is written over it. Name another file."
        )
