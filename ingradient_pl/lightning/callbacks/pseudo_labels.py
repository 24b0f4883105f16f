"""Self-training: labels that nobody annotated in a training case are taken from the network itself."""

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from jaxtyping import UInt
from numpy.typing import NDArray
from typing_extensions import override

from ingradient_pl.geometry import Box
from ingradient_pl.inference.forward import WithoutOutputs
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.one_object import keep_one_object
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.callbacks.weight_average import WeightAverage
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.lightning.whole_cases import StoredImages, WholeCase
from ingradient_pl.loading.pseudo_labels import PseudoLabelReader, place_of
from ingradient_pl.metrics.lesions import components
from ingradient_pl.phrases import name_some, say_count
from ingradient_pl.store.case_volumes import cut_to_stored, list_volumes, write_volume

WHOLE = 0.99
"""Share of its voxels that the largest piece of a label holds, on average, where it is one object."""
EPOCHS = 2
"""Of the shortest run that has a start of an epoch beside its own."""


class PseudoLabels(pl.Callback):
    """Segment training cases now and then, and train on the answer where labels were not annotated.

    Cases that were annotated in part (``annotated``) keep what was annotated. The labels that they lack are
    background until the first round (see ``losses.known_outputs``), then those of the latest round: of the
    averaged weights where :class:`WeightAverage` keeps some, else of the weights as they are. The network is
    asked for the labels that are lacking and the background alone. Of a label that is one object wherever it
    was annotated, one piece is taken (``inference.one_object``).

    Args:
        folder: For the segmentations, a folder for each round; a resumed run reads them there.
        at: When, as shares of the run's epochs, in (0, 1).

    Raises:
        ValueError: If a share is none; when the run starts: if its labels may overlap, its length is not
            fixed, or a round that it goes on from is not there.

    Source: Lee 2013, Pseudo-Label, ICML workshop on challenges in representation learning.
    """

    def __init__(self, folder: str, at: Sequence[float] = (0.4, 0.6, 0.8)) -> None:
        if not at or not all(0 < share < 1 for share in at):
            raise ValueError(
                f"'at' lists shares of the run between 0 and 1, such as [0.4, 0.6, 0.8]; got {list(at)}."
            )
        self.folder, self.at = Path(folder), tuple(sorted(at))
        self.rounds, self.made = list[int](), list[int]()
        self.before: Path | None = None
        self.whole: tuple[int, ...] | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        data = _find_data(trainer)
        if not _find_incomplete(data):
            tell("Pseudo-labels: every training case annotates all labels, so there is nothing to complete.")
            return
        refused, length = explain_refusal(data, trainer.max_epochs), trainer.max_epochs or 0
        if refused is not None:
            raise ValueError(refused)
        self.rounds[:] = sorted({min(max(1, round(share * length)), length - 1) for share in self.at})
        data.completed = partial(PseudoLabelReader, data.store, self.folder, self.rounds)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"folder": str(self.folder.absolute()), "made": list(self.made)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder, made = state_dict.get("folder"), state_dict.get("made")
        self.before = Path(folder) if isinstance(folder, str) else None
        self.made = [epoch for epoch in made if isinstance(epoch, int)] if isinstance(made, list) else []

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep to the rounds that a resumed run has made; bring the last where another folder has it."""
        if not self.rounds:
            return
        data, now = _find_data(trainer), trainer.current_epoch
        begun = data.resume_position.get("epoch") == now and data.resume_position.get("batches", 0) > 0
        coming = (epoch for epoch in self.rounds if epoch >= now + begun)
        self.rounds[:] = sorted({*self.made, *coming})
        if not self.made:
            return
        last = max(self.made)
        place = place_of(self.folder, last)
        before = None if self.before is None else place_of(self.before, last)
        if trainer.is_global_zero and not place.exists() and before is not None and before.is_dir():
            shutil.copytree(before, place)
        trainer.strategy.barrier("pseudo-labels")
        missing = sorted(set(_find_incomplete(data)) - set(list_volumes(place)))
        if missing and (begun or now not in self.rounds):
            raise ValueError(
                f"The run goes on behind epoch {last}, whose pseudo-labels lie in {place}, but those of "
                f"{say_count(len(missing), 'case')} are missing ({name_some(missing)}). Bring the folder "
                "back, or train anew."
            )

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch in self.rounds:
            self._segment(trainer, pl_module)

    def _segment(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the network finds in the cases of this rank, and wait for the others."""
        data, began = _find_data(trainer), time.perf_counter()
        names, place = _find_incomplete(data), place_of(self.folder, trainer.current_epoch)
        if self.whole is None:
            self.whole = _find_whole(data)
        others: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        average = next((one for one in others if isinstance(one, WeightAverage)), None)
        modes = {part: part.training for part in pl_module.modules()}
        with nullcontext() if average is None else average.use_average(pl_module):
            own = names[trainer.global_rank :: trainer.world_size]
            for case in (StoredImages(data.store, own, data.plan.orientation)[i] for i in range(len(own))):
                found, label = _predict_unknown(pl_module, data, case), _read_label(data, case.name)
                kept = keep_one_object(np.where(label == 0, found, found.dtype.type(0)), label, self.whole)
                write_volume(place, data.store, case.name, kept)
        for part, mode in modes.items():
            part.training = mode
        self.made = sorted({*self.made, trainer.current_epoch})
        trainer.strategy.barrier("pseudo-labels")
        seconds = time.perf_counter() - began
        tell(f"Pseudo-labels of {say_count(len(names), 'case')} in {place}, after {seconds:.0f} s.")


def explain_refusal(data: SegmentationData, epochs: int | None) -> str | None:
    """Say why a run can have no pseudo-labels; None where it can.

    Args:
        data: Of the run.
        epochs: Of the run; None or -1 where its length is not fixed.
    """
    if data.task.has_regions or data.task.overlap is not None:
        return (
            "Pseudo-labels are for labels that exclude each other; those of this task may overlap. Leave "
            "the callback out: outputs that a case did not annotate then count for no loss."
        )
    if data.plan.previous_stage is not None:
        return (
            "Pseudo-labels are made by a network that sees images alone; this is the second stage of a "
            "cascade. Make them in the first, or leave the callback out."
        )
    if epochs is None or epochs < EPOCHS:
        return (
            f"Pseudo-labels are made at shares of a run, which must have {EPOCHS} epochs or more; got "
            f"max_epochs={epochs}. Set epochs, or leave the callback out."
        )
    return None


def suggest_pseudo_labels(trainer: pl.Trainer) -> str | None:
    """Say that a run could complete its cases by pseudo-labels; None where it does, cannot or need not.

    Args:
        trainer: About to train.
    """
    data, callbacks = trainer.datamodule, trainer.callbacks  # type: ignore[attr-defined]
    if not isinstance(data, SegmentationData) or any(isinstance(one, PseudoLabels) for one in callbacks):
        return None
    lacking = _find_incomplete(data)
    if not lacking or explain_refusal(data, trainer.max_epochs) is not None:
        return None
    return (
        f"Note: of {say_count(len(data.split.train), 'training case')} not all labels were annotated in "
        f"{len(lacking)}. callbacks=pseudo_labels trains on what the network finds of the others, too."
    )


def _find_data(trainer: pl.Trainer) -> SegmentationData:
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(data, SegmentationData):
        raise TypeError(f"Pseudo-labels need the cases of a SegmentationData; got {type(data).__name__}.")
    return data


def _find_incomplete(data: SegmentationData) -> list[str]:
    """Give the training cases that lack labels."""
    return [name for name in data.split.train if data.store.cases[name].annotated is not None]


def _predict_unknown(
    pl_module: pl.LightningModule, data: SegmentationData, case: WholeCase
) -> UInt[np.ndarray, "z y x"]:
    """Segment a case, on the store's voxels, into background and what nobody annotated in it."""
    stored = data.store.cases[case.name]
    known = data.task.known_outputs(stored.annotated)
    network: Any = pl_module.network
    asked = WithoutOutputs(network, [number for number, one in enumerate(known) if one and number])
    model = Model([asked], data.plan, data.task, "this run", data.mirrored)
    found = Predictor(model, str(pl_module.device)).predict(case.volume.voxels, case.volume.frame.spacing)
    return cut_to_stored(data.store, case.name, found.transpose(data.store.transpose))


def _read_label(data: SegmentationData, name: str) -> NDArray[Any]:
    """Read the whole label of a case, axes (z, y, x) as the store was opened."""
    whole = data.store.cases[name].grid.whole
    return data.store.read(name, Box((0, 0, 0), (1, 1, 1)), label=whole, body=False).label


def _find_whole(data: SegmentationData) -> tuple[int, ...]:
    """Give the integers of labels that are one object in the training cases that annotate them."""
    shares: dict[int, list[float]] = {}
    for name in data.split.train:
        case = data.store.cases[name]
        label, annotated = _read_label(data, name), case.annotated
        for known, (value,) in data.task.foreground.items():
            if annotated is None or known in annotated:
                sizes = components(label == value).sizes
                shares.setdefault(value, []).extend([max(sizes) / sum(sizes)] if len(sizes) else [])
    return tuple(value for value, found in shares.items() if found and np.mean(found) >= WHOLE)
