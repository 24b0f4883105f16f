"""Plain weights: tensors by names of another program, without a word about the network they are of."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.inference.checkpoint import CheckpointError
from ingradient_pl.nnunet.checkpoint import WEIGHTS, read_state_dicts
from ingradient_pl.optional import require

SAFETENSORS = ".safetensors"
USUAL = ("state_dict", WEIGHTS, "model_state_dict", "model", "network", "net")
"""Entries under which programs keep the weights of the network that they trained."""
MISSING = "the source has no such tensor"


def read_plain_weights(file: Path) -> Source:
    """Read weights without a plan; nothing of the file is run.

    Where several entries of it name tensors and none of them is the usual one, all are kept, with the entry's
    name before each tensor's: a mapping then says which is meant.

    Args:
        file: A state dict of PyTorch's (``.pt``, ``.pth``, ``.ckpt``), alone or as an entry of the file, or a
            file of safetensors.

    Raises:
        CheckpointError: If it is damaged, holds no tensor, or asks for more than tensors and plain values.
    """
    weights = (
        _read_safetensors(file) if file.suffix == SAFETENSORS else _choose(read_state_dicts(file).weights)
    )
    kept = {name: weight for name, weight in weights.items() if weight.is_floating_point()}
    if not kept:
        raise CheckpointError(f"{file} holds no weights: none of its entries names tensors of numbers.")
    return Source(network=None, weights=kept, task=None, origin=str(file), inputs=(), missing=MISSING)


def _choose(entries: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Take the one entry that names tensors, or the usual one; else all, with the entry's name before."""
    usual = [name for name in USUAL if name in entries]
    if len(entries) == 1 or usual:
        return dict(entries[usual[0]] if usual else next(iter(entries.values())))
    return {
        f"{entry}.{name}".lstrip("."): weight
        for entry, weights in entries.items()
        for name, weight in weights.items()
    }


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    install = "ingradient_pl[safetensors]"
    safetensors, reader = (
        require(package, f"Weights such as {file}", install, error=CheckpointError)
        for package in ("safetensors", "safetensors.torch")
    )
    try:
        return dict(reader.load_file(file))
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {file}: check the path.") from error
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{file} is not a file of safetensors, or is damaged ({error}).") from error
