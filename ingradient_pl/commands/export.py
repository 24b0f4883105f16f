"""``ingradient export``: a checkpoint -> its networks for other programs, as torch.export or ONNX files."""

from pathlib import Path
from typing import Literal

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.commands.load import checkpoint_files
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.answer_files import check_folder
from ingradient_pl.inference.export import Exported, export_model, largest_difference
from ingradient_pl.messages import say
from ingradient_pl.spec import TRUSTED


def export(
    checkpoint: AnyPath | list[AnyPath],
    output: AnyPath,
    format: Literal["torch", "onnx"] = "torch",
    check: bool = True,  # noqa: FBT001 - a switch of the command line
    trust: list[str] | None = None,
) -> Exported:
    """Write the networks of a checkpoint for programs that do not have ingradient_pl.

    Each takes a batch of patches (batch, channel, z, y, x), at the plan's spacing and normalised as it says,
    and gives the logits on the same voxels. model.json beside them holds plan and task.

    Args:
        checkpoint: File that training or import-nnunet wrote; several ([a.ckpt, b.ckpt]) go together.
        output: Folder for network_0.pt2 or network_0.onnx (one for each fold) and model.json.
        format: torch (read with torch.export.load) or onnx (read with onnxruntime and others).
        check: Whether to run each file once and compare its logits with the network's (in double precision).
        trust: Packages outside this one whose networks the checkpoint may name, such as [monai].

    Returns:
        The files that were written.

    Raises:
        OutputError: If the output is a file, or called like one.
        CheckpointError: If a file is not a checkpoint.
        ExportError: If a network cannot be written in this format.
    """
    check_folder(Path(output), "exported networks", (".pt", ".pt2", ".pth", ".onnx"))
    model = checkpoints.read(checkpoint_files(checkpoint), (*TRUSTED, *(trust or ())))
    written = export_model(model, Path(output), format)
    say("\n".join(map(str, [*written.files, written.description])))
    if check:
        say(f"Logits differ from the network's by at most {largest_difference(model, written):.2g}")
    return written
