"""Whole cases under Lightning: ``trainer.predict``, the cases of ``trainer.test``, a module from a file."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
from jaxtyping import UInt
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from typing_extensions import Self, override

from ingradient_pl.datasets.resumed_split import assume_split
from ingradient_pl.datasets.split_columns import is_test
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.images.formats import Volume
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.checkpoint import CheckpointError, Model
from ingradient_pl.inference.checkpoint_file import OURS, read_content
from ingradient_pl.inference.model import AGREED
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.module_settings import choose_settings
from ingradient_pl.planning import constructors
from ingradient_pl.planning.plan import Plan
from ingradient_pl.short_repr import describe
from ingradient_pl.spec import TRUSTED, to_spec
from ingradient_pl.store.metadata import CASES
from ingradient_pl.store.store_union import AnyCases, locate_case
from ingradient_pl.store.stored_cases import stored_volume

SPLIT = "split"
"""Where the data module's state in a checkpoint says who trained and who validated."""

SHARDING = (FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy)
"""Strategies that give each process a part of each weight."""


class WholeCase:
    """A case as it is predicted: no tensor, so that it stays on the host.

    Args:
        name: Of the case.
        volume: Its image on the grid of its files.
    """

    def __init__(self, name: str, volume: Volume) -> None:
        self.name, self.volume = name, volume


class CasePrediction:
    """The segmentation of a case; Lightning passes it on as it is.

    Args:
        case: Its name.
        volume: The segmentation on the grid of the case's files; :func:`ingradient_pl.images.write_label`
            takes ``label`` and ``volume`` to write it there.
        overlap: Whether it has a mask for each label, which may overlap.
    """

    def __init__(self, case: str, volume: Volume, *, overlap: bool = False) -> None:
        self.case, self.volume, self.overlap = case, volume, overlap

    def __repr__(self) -> str:
        return describe(self, {"case": self.case, "volume": self.volume})

    @property
    def label(self) -> UInt[np.ndarray, "*label z y x"]:
        """The task's integers, as the files of the data set have them, (z, y, x).

        Where labels may overlap: a mask of zeros and ones for each, (label, z, y, x).
        """
        voxels = self.volume.voxels
        return cast(UInt[np.ndarray, "*label z y x"], voxels if self.overlap else voxels[0])


class StoredImages(Dataset[WholeCase]):
    """Images of a store's cases, whole.

    Args:
        store: Where they are.
        names: Which.
        orientation: Directions of the array's axes, as the plan names them.
    """

    def __init__(self, store: AnyCases, names: Sequence[str], orientation: str) -> None:
        self.store, self.names, self.orientation = store, list(names), orientation

    def __len__(self) -> int:
        return len(self.names)

    @override
    def __getitem__(self, number: int) -> WholeCase:
        name = self.names[number]
        path, case, channels = locate_case(self.store, name)
        volume = stored_volume(path / CASES / case, self.orientation)
        return WholeCase(name, volume._replace(voxels=volume.voxels[channels]))


class Shared(DistributedSampler[WholeCase]):
    """Every so-manieth case for each process: none twice, none left out. Lightning leaves it as it is."""

    def __iter__(self) -> Any:
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]


class WholeCaseData(pl.LightningDataModule):
    """The part of a data module that knows which cases are tested and predicted."""

    store: AnyCases
    plan: Plan
    split: Split

    @property
    @abstractmethod
    def mirrored(self) -> tuple[int, ...]:
        """Axes that training mirrored, so that prediction may."""

    @property
    def test_cases(self) -> tuple[str, ...]:
        """Cases that ``trainer.test`` scores: those marked as test, else those that validate."""
        cases = self.store.cases.items()
        return (
            tuple(name for name, case in cases if case.labelled and is_test(case.split))
            or self.split.validation
        )

    @property
    def prediction_cases(self) -> tuple[str, ...]:
        """Cases that ``trainer.predict`` segments: all that did not train, with or without a label."""
        trained = set(self.split.train)
        return tuple(name for name in self.store.cases if name not in trained) or self.split.validation

    @override
    def predict_dataloader(self) -> "DataLoader[WholeCase]":
        images = StoredImages(self.store, self.prediction_cases, self.plan.orientation)
        ranks, rank = (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)
        sampler = Shared(images, num_replicas=ranks, rank=rank, shuffle=False)
        return DataLoader(images, batch_size=1, sampler=sampler, collate_fn=_alone)


class WholeCaseModule(pl.LightningModule):
    """The part of a module that segments whole cases and is made from a checkpoint."""

    trained_by: Mapping[str, Any] | None = None
    """The plan that the weights were trained by, as plain values, where they came from a checkpoint."""

    @override
    def setup(self, stage: str) -> None:
        if stage != "fit" and self.trained_by is not None:
            self._check_plan(self.trained_by)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained_by = checkpoint.get(OURS, {}).get("plan")
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.trainer.state.fn != TrainerFn.FITTING:
            if trained_by is not None:
                self._check_plan(trained_by)
        elif isinstance(data, WholeCaseData) and SPLIT not in checkpoint.get(type(data).__qualname__, {}):
            validated = checkpoint.get(OURS, {}).get("validation", ())
            data.split, told = assume_split(validated, data.split, data.store.cases)
            rank_zero_warn(told)

    def _check_plan(self, trained_by: Mapping[str, Any]) -> None:
        """Refuse to score or predict cases that are prepared in another way than those trained on."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        there = to_spec(data.plan) if isinstance(data, WholeCaseData) else trained_by
        for name in AGREED:
            if name in trained_by and trained_by[name] != there[name]:
                raise ValueError(
                    f"The weights were trained by a plan whose '{name}' is {trained_by[name]}, the data's "
                    f"plan says {there[name]}: the network would see other cases than in training. Take the "
                    "checkpoint's own plan: ingradient_pl.load(CHECKPOINT).model.plan"
                )

    @override
    def predict_step(self, batch: WholeCase, batch_idx: int) -> CasePrediction:
        """Segment a case as ``ingradient predict`` does: windows, mirrored passes, on the case's own grid."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, WholeCaseData):
            raise TypeError(
                f"trainer.predict(module, data) needs a SegmentationData, which knows the plan; got "
                f"{type(data).__name__}. For arrays and files: ingradient_pl.load(CHECKPOINT)"
            )
        if data.plan.previous_stage is not None:
            raise ValueError(
                "The plan is the second stage of a cascade, whose cases come with the first stage's answer "
                f"({data.plan.previous_stage}): trainer.predict does not make it. Predict with ingradient "
                "predict, both stages together."
            )
        network = cast(nn.Module, self.network)
        model = Model([network], data.plan, data.store.task, "this module", data.mirrored)
        volume = batch.volume
        label = Predictor(model, str(self.device)).predict(volume.voxels, volume.frame.spacing)
        overlap = model.task.overlap is not None
        voxels = label if overlap else label[None]
        return CasePrediction(batch.name, volume._replace(voxels=voxels), overlap=overlap)

    @classmethod
    @override
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        trust: Sequence[str] = (),
        **settings: Any,
    ) -> Self:
        """Make the module of a checkpoint: its network, the loss of its plan, weights; nothing in it is run.

        Args:
            checkpoint_path: File that a run left, or ``import-nnunet`` wrote for one fold.
            map_location: Device to put the module on; None leaves it on the host.
            hparams_file: Not used.
            strict: Not used: weights always fit, or the file is refused.
            weights_only: Not used: it never runs anything.
            trust: Packages beside ours whose network the file may name.
            settings: Arguments of the constructor, such as ``optimizer``, in the place of the defaults and
                of what the file says the module was made with (``module.hparams``).

        Returns:
            The module, ready to validate, test, predict or be trained on.

        Raises:
            CheckpointError: If it is not a checkpoint of ours, or holds several networks.
        """
        content = read_content(Path(checkpoint_path))
        model = checkpoints.build_model(content, str(checkpoint_path), (*TRUSTED, *trust))
        if len(model.networks) > 1 or model.previous is not None or model.others:
            raise CheckpointError(
                f"{checkpoint_path} holds {len(model.networks)} networks of several folds, stages or plans; "
                "a module has one. Use it with ingradient_pl.load(CHECKPOINT)."
            )
        parts = {"network": model.networks[0], "loss": constructors.loss(model.plan)}
        made = cls(**{**choose_settings(content), **parts, **settings})
        if "network" in settings:
            cast(nn.Module, made.network).load_state_dict(model.networks[0].state_dict())
        made.trained_by = to_spec(model.plan)
        return made.train() if map_location is None else made.train().to(map_location)


def check_strategy(strategy: object) -> None:
    """Refuse strategies that divide weights among processes.

    Args:
        strategy: Lightning's.

    Raises:
        ValueError: If it does: Muon needs whole matrices, and checkpoints whole weights.
    """
    if isinstance(strategy, SHARDING):
        raise ValueError(  # noqa: TRY004 - a setting, not a type, is wrong
            f"{type(strategy).__name__} divides each weight among processes, and Muon, the average of "
            "weights and checkpoints need them whole. These networks fit into the memory of one device: "
            "take trainer.strategy=ddp."
        )


def _alone(cases: list[WholeCase]) -> WholeCase:
    return cases[0]
