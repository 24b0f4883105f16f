"""What training starts from: a checkpoint of ours or a model folder of nnU-Net, read without running it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ingradient_pl.datasets.splits import Split
from ingradient_pl.finetuning.trained_cases import TrainedOn
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.checkpoint_file import OURS
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import TRUSTED
from ingradient_pl.task import Task

LAST = Path("checkpoints") / "last.ckpt"
FOLD = "fold_"
Folds = Literal["first", "mean"]


class Source(NamedTuple):
    """Weights to start from, with what they mean and whom they know.

    Args:
        network: The trained network.
        weights: Its tensors by our names; the mean over folds, where asked.
        task: What its channels and outputs mean.
        origin: Where it was read from.
        inputs: Name of each input channel; in a cascade, those of the previous stage come last.
        split: Who trained and who validated; None where the file does not tell.
        trained: The cases that it was trained on, one entry a data set, its own source's included; empty
            where the file does not tell.
    """

    network: nn.Module
    weights: Mapping[str, Tensor]
    task: Task
    origin: str
    inputs: tuple[str, ...]
    split: Split | None = None
    trained: tuple[TrainedOn, ...] = ()

    def __repr__(self) -> str:
        return short_repr(self)


def read_weights(path: Path, folds: Folds = "first", trusted: Sequence[str] = TRUSTED) -> Source:
    """Open what training starts from.

    Args:
        path: A checkpoint of ours, the folder of a run, or of a model of nnU-Net, or of one of its folds
            (``MODEL/fold_1``).
        folds: Where it holds several networks: the ``first`` one, or the ``mean`` of their weights.
        trusted: Packages whose classes a checkpoint may name.

    Raises:
        CheckpointError: If it is none of these, is damaged, or holds what could run as a program.
    """
    path = Path(path)
    file = path / LAST if (path / LAST).is_file() else path
    with torch.random.fork_rng(devices=[]):  # networks are initialised before they are filled
        if file.is_dir():
            return _source(_read_folder(file), folds, {})
        model = checkpoint.read(file, trusted)
        return _source(model, folds, checkpoint.read_content(file)[OURS])


def _read_folder(folder: Path) -> Model:
    """Read a model folder of nnU-Net, or the one fold of it that is named."""
    if folder.name.startswith(FOLD) and not (folder / "plans.json").is_file():
        return read_nnunet(folder.parent, [folder.name])
    return read_nnunet(folder)


def _source(model: Model, folds: Folds, told: Mapping[str, Any]) -> Source:
    before = model.task.foreground_values if model.plan.previous_stage else ()
    run = told.get("run", {})
    split = _split(run.get("split"))
    earlier = [TrainedOn.from_plain(entry) for entry in run.get("init", {}).get("trained", ())]
    store = {"data": model.task.name, **run.get("store", {})}
    own = () if split is None else (TrainedOn.from_plain({**store, "cases": split.train}),)
    return Source(
        network=model.networks[0],
        weights=model.networks[0].state_dict() if folds == "first" else _mean(model.networks),
        task=model.task,
        origin=model.origin,
        inputs=(*model.task.channels, *(f"previous stage: {value}" for value in before)),
        split=split,
        trained=(*own, *earlier),
    )


def _split(told: Mapping[str, Sequence[str]] | None) -> Split | None:
    return None if told is None else Split(tuple(told["train"]), tuple(told["validation"]))


def _mean(networks: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Average the weights of folds, tensor by tensor."""
    states = [network.state_dict() for network in networks]
    return {
        name: torch.stack([state[name].float() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in states[0].items()
    }
