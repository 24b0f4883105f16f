"""SegmentationData: from a case store to batches on the device, and who trains on which case."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from typing_extensions import override

from ingradient_pl.cases.patch import Batch, Patch
from ingradient_pl.cases.splits import Split, folds, from_column, from_file
from ingradient_pl.cases.store import CaseStore
from ingradient_pl.cases.task import Task
from ingradient_pl.planning.plan import Plan
from ingradient_pl.sampling.training import Candidate, TrainingDraws
from ingradient_pl.transforms.intensity import Augment
from ingradient_pl.transforms.prepare import Prepare
from ingradient_pl.transforms.resample import Rule, sampling


@dataclass(frozen=True)
class Fold:
    """Which cases train and which validate.

    Args:
        number: The fold that validates, from 0; None trains on every case and validates on the same.
        count: Folds in all.
        seed: Of the shuffle; 12345 is nnU-Net's.
        file: nnU-Net's ``splits_final.json``, instead of folds made here.

    Raises:
        ValueError: If there is no such fold.
    """

    number: int | None = 0
    count: int = 5
    seed: int = 12345
    file: str | None = None

    def split(self, store: CaseStore) -> Split:
        """Divide the store's cases: by ``file``, else by the source's own split column, else into folds."""
        groups = {name: case.group for name, case in store.cases.items()}
        if self.number is None:
            return Split(tuple(groups), tuple(groups))
        found = None
        if self.file is not None:
            found = from_file(Path(self.file), groups)
        elif any(case.split for case in store.cases.values()):
            found = from_column({name: case.split for name, case in store.cases.items()}, groups)
        found = found or folds(groups, self.count, self.seed)
        if not 0 <= self.number < len(found):
            raise ValueError(f"There are folds 0 to {len(found) - 1}, got {self.number}.")
        return found[self.number]


class SegmentationData(pl.LightningDataModule):
    """Patches of a store's cases, drawn on the host, made into network input on the device.

    Args:
        store: Folder written by ``ingradient prepare``.
        plan: Spacing, patch, batch size and normalisation.
        draws: How training patches are chosen; ``draws.batch_size`` counts over all ranks.
        augment: Random intensity changes of a training batch.
        split: Which cases train and which validate.
        iterations: Batches of each patient and epoch, where ``batches_per_epoch`` is None.
        batches_per_epoch: Length of an epoch, whatever the number of cases.
        workers: Processes that read; 0 reads in the training process.
    """

    def __init__(
        self,
        store: str,
        plan: Plan,
        draws: TrainingDraws,
        augment: Augment,
        split: Fold = Fold(),
        iterations: int = 2,
        batches_per_epoch: int | None = None,
        workers: int = 2,
    ) -> None:
        super().__init__()
        self.store, self.plan, self.draws, self.fold = (
            CaseStore(Path(store), plan.transpose),
            plan,
            draws,
            split,
        )
        self.task: Task = self.store.task
        self.split = split.split(self.store)
        self.augment = augment
        self.prepare = Prepare(plan.patch, [normaliser.masked for normaliser in plan.normalisation])
        self.iterations, self.batches_per_epoch, self.workers = iterations, batches_per_epoch, workers
        _check_agreement(plan, self.task)

    @property
    def batches(self) -> int:
        """Batches of an epoch, over all ranks."""
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return max(1, self.iterations * len(self.split.train) // self.draws.cases_per_batch)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Axes that training mirrors, so that prediction may."""
        mirror = () if self.draws.motion is None else self.draws.motion.mirror
        return tuple(axis for axis, done in enumerate(mirror) if done and self.plan.patch[axis] > 1)

    @override
    def train_dataloader(self) -> DataLoader[Patch]:
        ranks = self._ranks()
        patches = CasePatches(self.store, self.plan, self.draws, self.split.train)
        numbers = PatchNumbers(self.batches * self.draws.batch_size, self._rank(), ranks)
        return self._loader(patches, numbers)

    @override
    def val_dataloader(self) -> DataLoader[Patch]:
        draws = replace(self.draws, motion=None, seed=self.draws.seed + 1)
        patches = CasePatches(self.store, self.plan, draws, self.split.validation)
        numbers = range(self._rank(), self.iterations * len(self.split.validation), self._ranks())
        return self._loader(patches, numbers)

    @override
    def test_dataloader(self) -> DataLoader[Patch]:
        return self.val_dataloader()

    @override
    def on_after_batch_transfer(self, batch: list[Patch], dataloader_idx: int) -> Batch:
        assert self.trainer is not None  # Lightning sets it before any hook
        prepared: Batch = self.prepare(batch)
        if self.trainer.training:
            prepared = self.augment(prepared)
        return prepared

    def _rank(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_rank

    def _ranks(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    def _loader(self, patches: "CasePatches", numbers: Sequence[int] | Sampler[int]) -> DataLoader[Patch]:
        ranks = self._ranks()
        if self.draws.batch_size % ranks:
            raise ValueError(
                f"A batch of {self.draws.batch_size} patches cannot be shared among {ranks} ranks. "
                f"Choose a multiple: plan.batch_size={-(-self.draws.batch_size // ranks) * ranks}"
            )
        return DataLoader(
            patches,
            self.draws.batch_size // ranks,
            sampler=numbers,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=list,  # patches differ in size until the device resamples them
        )


class CasePatches(Dataset[Patch]):
    """Patch ``number`` of the run, drawn and read on demand.

    Args:
        store: Where the voxels are, in the network's axis order.
        plan: Normalisation, and how axes are resampled.
        draws: Which box of which case a number means.
        names: The cases that may be drawn.
    """

    def __init__(self, store: CaseStore, plan: Plan, draws: TrainingDraws, names: Sequence[str]) -> None:
        self.store, self.plan, self.draws = store, plan, draws
        self.rule = Rule(separate_above=plan.separate_z_above)
        self.candidates = [
            Candidate(
                name, store.cases[name].grid, partial(store.foreground, name), store.cases[name].classes
            )
            for name in sorted(names)
        ]
        self.terms: dict[str, torch.Tensor] = {}

    @override
    def __getitem__(self, number: int) -> Patch:
        draw = self.draws.draw(number, self.candidates)
        voxels = self.store.read(draw.case, draw.box)
        native = self.store.cases[draw.case].grid
        way = sampling(native, draw.box, draw.patch, draw.centre, draw.motion, self.rule)
        masked = any(normaliser.masked for normaliser in self.plan.normalisation)
        body = torch.from_numpy(voxels.body) if masked and voxels.body is not None else None
        image, label = torch.from_numpy(voxels.image), torch.from_numpy(voxels.label)
        return Patch(draw.case, number, image, label, body, self._terms(draw.case), way)

    def _terms(self, name: str) -> torch.Tensor:
        if name not in self.terms:
            pairs = zip(self.plan.normalisation, self.store.statistics(name), strict=True)
            self.terms[name] = torch.tensor([normaliser.terms(channel) for normaliser, channel in pairs])
        return self.terms[name]


class PatchNumbers(Sampler[int]):
    """One rank's share of an epoch's patch numbers: equally many for each rank, none twice in a run.

    The epoch is part of the number, so workers that outlive an epoch need not be told of it.
    """

    def __init__(self, per_epoch: int, rank: int, ranks: int) -> None:
        self.per_epoch, self.rank, self.ranks = per_epoch, rank, ranks
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    @override
    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.per_epoch + self.rank
        return iter(range(first, first + len(self) * self.ranks, self.ranks))

    def __len__(self) -> int:
        return self.per_epoch // self.ranks


def _check_agreement(plan: Plan, task: Task) -> None:
    """Refuse a plan that was made for other channels or labels than the store holds."""
    wanted, found = (plan.channels, plan.outputs), (len(task.channels), task.outputs)
    if wanted != found:
        raise ValueError(
            f"The plan is for {wanted[0]} channels and {wanted[1]} outputs, the store holds {found[0]} "
            f"channels ({', '.join(task.channels)}) and {found[1]} outputs ({', '.join(task.labels)}). "
            "Plan for this store: ingradient plan --store DIR --output plan.yaml"
        )
