"""``ingradient import-nnunet``: a model folder of nnU-Net -> a checkpoint."""

import shlex
from pathlib import Path

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.commands.model_output import check_model_output
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.messages import say
from ingradient_pl.nnunet import model as nnunet_model
from ingradient_pl.nnunet.model import FINAL
from ingradient_pl.phrases import say_count


def import_nnunet(
    model: AnyPath,
    output: AnyPath = "model.ckpt",
    folds: list[int | str] | int | str | None = None,
    checkpoint: str = FINAL,
    previous: AnyPath | None = None,
    previous_folds: list[int | str] | int | str | None = None,
) -> Model:
    """Bring a trained nnU-Net along, without running anything its pickles ask for.

    Args:
        model: Folder that nnU-Net trained into: with plans.json, dataset.json and fold_0 and so on.
        output: Checkpoint to write; all folds go into it and are averaged when it predicts.
        folds: Which folds, such as [0,1]; every fold that was trained to its end if not given.
        checkpoint: Name of the file in each fold's folder.
        previous: For a cascade (3d_cascade_fullres), the folder of its first stage (3d_lowres), which goes
            into the same checkpoint; the one beside, by nnU-Net's naming, if not given.
        previous_folds: Which folds of the first stage; every fold that was trained to its end if not given.

    Returns:
        The model: its networks, plan and task.

    Raises:
        OutputError: If the output is there already, and is something else than a model that was imported.
        ValueError: If the folder is not a trained model of nnU-Net that can be brought along.
    """
    check_model_output(Path(output), nnunet_model.IMPORTED)
    first = None if previous is None else Path(previous)
    imported = nnunet_model.import_nnunet(
        *(Path(model), Path(output), _names(folds)), checkpoint, first, _names(previous_folds)
    )
    if imported.previous is not None:
        say(f"First stage: {_count(imported.previous)} of {imported.previous.origin}")
    labels = ", ".join(imported.task.foreground)
    say(
        f"{_count(imported)} for channels {', '.join(imported.task.channels)} and "
        f"labels {labels}.\n"
        f"Written to {output}. Predict: ingradient predict --checkpoint {shlex.quote(str(output))} "
        "--source DIR --output DIR"
    )
    return imported


def _count(model: Model) -> str:
    return say_count(len(model.networks), "network")


def _names(folds: list[int | str] | int | str | None) -> list[str] | None:
    if folds is None:
        return None
    return [str(fold) for fold in (folds if isinstance(folds, list) else [folds])]
