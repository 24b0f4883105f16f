"""``ingradient import-nnunet``: a model folder of nnU-Net -> a checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.commands import run
from ingradient_pl.nnunet.model import FINAL, import_nnunet


def import_model(
    model: str,
    output: str = "model.ckpt",
    folds: list[int | str] | int | str | None = None,
    checkpoint: str = FINAL,
    previous: str | None = None,
    previous_folds: list[int | str] | int | str | None = None,
) -> None:
    """Bring a trained nnU-Net along, without running anything its pickles ask for.

    Args:
        model: Folder that nnU-Net trained into: with plans.json, dataset.json and fold_0 and so on.
        output: Checkpoint to write; all folds go into it and are averaged when it predicts.
        folds: Which folds, such as [0,1]; every fold that was trained to its end if not given.
        checkpoint: Name of the file in each fold's folder.
        previous: For a cascade (3d_cascade_fullres), the folder of its first stage (3d_lowres), which goes
            into the same checkpoint; the one beside, by nnU-Net's naming, if not given.
        previous_folds: Which folds of the first stage; every fold that was trained to its end if not given.
    """
    first = None if previous is None else Path(previous)
    found = import_nnunet(Path(model), Path(output), _names(folds), checkpoint, first, _names(previous_folds))
    if found.previous is not None:
        print(f"First stage: {len(found.previous.networks)} network(s) of {found.previous.origin}")
    labels = ", ".join(found.task.foreground)
    print(
        f"{len(found.networks)} network(s) for channels {', '.join(found.task.channels)} and labels {labels}."
        "\n"
        f"Written to {output}. Predict: ingradient predict --checkpoint {output} --source DIR --output DIR"
    )


def _names(folds: list[int | str] | int | str | None) -> list[str] | None:
    if folds is None:
        return None
    return [str(fold) for fold in (folds if isinstance(folds, list) else [folds])]


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(import_model, arguments)
