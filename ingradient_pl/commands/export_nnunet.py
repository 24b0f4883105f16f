"""``ingradient export-nnunet``: a checkpoint -> a model folder that nnU-Net predicts with."""

import shlex
from pathlib import Path

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.commands.load import checkpoint_files
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.answer_files import check_folder
from ingradient_pl.messages import say
from ingradient_pl.nnunet import export as nnunet_export
from ingradient_pl.phrases import say_count
from ingradient_pl.spec import TRUSTED


def export_nnunet(
    checkpoint: AnyPath | list[AnyPath], output: AnyPath, trust: list[str] | None = None
) -> Path:
    """Write a trained model as nnU-Net 2 keeps its own, for every tool that takes models of nnU-Net.

    Args:
        checkpoint: File, or a run's folder; several, whose answers nnU-Net shall average, become a fold each.
        output: Folder to make, with plans.json, dataset.json and fold_0 and so on.
        trust: Further packages whose classes the checkpoint may name.

    Returns:
        The folder.

    Raises:
        OutputError: If the output is a file, or called like one.
        ValueError: If nnU-Net has no network, normalisation or resampling that gives the same answer.
    """
    folder = Path(output)
    check_folder(folder, "files of nnU-Net's models", (".pth", ".zip"))
    model = checkpoints.read(checkpoint_files(checkpoint), (*TRUSTED, *(trust or ())))
    remarks = nnunet_export.export_nnunet(model, folder)
    for remark in remarks:
        say(f"Note: {remark}")
    say(
        f"{say_count(len(model.networks), 'fold')} written to {folder}. Predict:\n"
        f"nnUNetv2_predict_from_modelfolder -m {shlex.quote(str(folder))} -i IMAGES -o OUTPUT "
        f"-f {' '.join(str(fold) for fold in range(len(model.networks)))}"
    )
    return folder
