"""SegmentationData: from a case store to batches on the device, and who trains on which case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from typing import Any

import torch
from typing_extensions import override

from ingradient_pl.datasets.resumed_split import restore_split
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.draws.training import PlannedDraws, TrainingDraws
from ingradient_pl.lightning.data_agreement import check_agreement, number_classes
from ingradient_pl.lightning.further_volumes import FurtherVolumes, open_further
from ingradient_pl.lightning.own_plan import keep_plan, plan_store
from ingradient_pl.lightning.preparation_check import check_preparation
from ingradient_pl.lightning.residence import wants_residence
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.lightning.whole_cases import SPLIT, WholeCase, WholeCaseData
from ingradient_pl.loading.patches import CasePatches, PatchLoader, PatchNumbers
from ingradient_pl.loading.pseudo_labels import PseudoLabelReader
from ingradient_pl.loading.resident import SHARE, keep_on_device, plan_residence, why_not
from ingradient_pl.machine import default_readers
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import open_plan
from ingradient_pl.planning.settings import PlannerSettings
from ingradient_pl.short_repr import describe
from ingradient_pl.store.store_parts import read_shares
from ingradient_pl.store.store_union import open_stores
from ingradient_pl.task import Task
from ingradient_pl.transforms.augment import NNUNET, Augment
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.packed_batch import PackedBatch
from ingradient_pl.transforms.patch import Batch, Patch
from ingradient_pl.transforms.prepare_batch import Prepare
from ingradient_pl.transforms.previous_stage import PreviousStageAugment
from ingradient_pl.transforms.resident_cases import ResidentCases

CHECKED = 2
"""Patches whose preparation on an accelerator is compared with the host's when a run starts."""
FIRST_FOLD, NNUNET_PREVIOUS = Fold(), PreviousStageAugment()
PLAIN_DRAWS, NO_SETTINGS = TrainingDraws(), PlannerSettings()


class SegmentationData(WholeCaseData):
    """Patches of a store's cases, drawn on the host, made into network input on the device.

    Args:
        store: Folder written by ``ingradient prepare``, an open store, or several folders whose cases
            train one network.
        plan: Spacing, patch, batch size and normalisation, or their YAML file; None plans for the store.
        draws: How training patches are chosen; the plan's batch size counts over all ranks.
        augment: Random intensity changes of a training batch; None takes nnU-Net's, with the draws' seed.
        split: Which cases train and which validate.
        iterations: Batches of each patient and epoch, where ``batches_per_epoch`` is None.
        batches_per_epoch: Length of an epoch, whatever the number of cases.
        workers: Processes that read, for each rank; 0 reads in the training process; None takes the cores
            that there are but one, shared among a machine's ranks, from 2 to 8. The patches are the same.
        label_order: Of the interpolation of labels: 1 linear, 0 the nearest voxel's.
        resident: Whether the training cases stay in the device's memory, where patches are cut: ``auto`` on a
            CUDA device, True anywhere, each where they fit, and False nowhere.
        resident_share: Of a CUDA device's free memory that they may take, in [0, 1].
        extra: Folder of further volumes, one for each case, as :func:`ingradient_pl.write_volume` writes
            them: a batch then brings them along as ``batch.extra``. Cases are read from the store then.
        previous: In a cascade, the folder with the previous stage's segmentations and its model.
        previous_augment: How these are changed at random in training; None leaves them.
        shares: Of the training patches by store, in the order of the stores or by their names; None: each
            case as often as any other.
        planner: What the planner is told where there is no plan.

    Raises:
        ValueError: If ``resident`` is none of these, the share is no share, the plan is for another store, or
            further volumes do not fit plan, store or each other.
    """

    def __init__(  # noqa: PLR0913 (one for each group or key of the config)
        self,
        store: str | PathLike[str] | Sequence[str],
        plan: Plan | str | None = None,
        draws: TrainingDraws = PLAIN_DRAWS,
        augment: Augment | None = None,
        split: Fold = FIRST_FOLD,
        iterations: int = 2,
        batches_per_epoch: int | None = None,
        workers: int | None = None,
        label_order: int = 1,
        resident: bool | str = "auto",  # noqa: FBT001 (a key of the config)
        resident_share: float = SHARE,
        extra: str | None = None,
        previous: str | None = None,
        previous_augment: PreviousStageAugment | None = NNUNET_PREVIOUS,
        shares: Mapping[str, float] | Sequence[float] | None = None,
        planner: PlannerSettings = NO_SETTINGS,
    ) -> None:
        super().__init__()
        if plan is not None and planner != NO_SETTINGS:
            raise ValueError(
                f"data.planner makes a plan, and data.plan gives one: give one of the two; got {planner}."
            )
        if resident not in (True, False, "auto") or not 0 <= resident_share <= 1:
            raise ValueError(
                "data.resident is auto, true or false, and data.resident_share lies in [0, 1]; got "
                f"resident={resident}, resident_share={resident_share}."
            )
        self.planned, self.resident, self.resident_share = plan is None, resident, resident_share
        plan = plan_store(store, planner, split) if plan is None else open_plan(plan)
        self.resident_cases: ResidentCases | None = None
        self.completed: Callable[[int], PseudoLabelReader] | None = None
        self.store, self.plan, self.fold = open_stores(store, plan.transpose), plan, split
        self.task: Task = self.store.task
        self.split = split.split(self.store.cases)
        self.augment = Augment(NNUNET, draws.seed) if augment is None else augment
        masked = [normaliser.masked for normaliser in plan.normalisation]
        self.prepare = Prepare(plan.patch, masked, label_order)
        self.iterations, self.batches_per_epoch, self.workers = iterations, batches_per_epoch, workers
        self.loader: PatchLoader | None = None
        self.resume_position: dict[str, int] = {}
        check_agreement(plan, self.store)
        self.draws = number_classes(draws, self.task).of(plan)
        names = {*self.split.train, *self.split.validation}
        further = extra, previous, previous_augment, self.draws.seed
        self.further: FurtherVolumes | None = open_further(*further, self.store, plan, names)
        self.draws = replace(self.draws, shares=read_shares(shares, self.store))

    @override
    def setup(self, stage: str) -> None:
        if self.planned and stage == "fit":
            keep_plan(self.trainer, self.plan)

    @override
    def __repr__(self) -> str:
        return describe(
            self,
            {
                "train": len(self.split.train),
                "validation": len(self.split.validation),
                "batches": self.batches,
                "plan": self.plan,
            },
        )

    __str__ = __repr__  # Lightning's tells the sizes of loaders that are not there yet

    @property
    def inputs(self) -> int:
        """Channels of the network's input: the image's and, in a cascade, one for each label."""
        return self.plan.channels + (0 if self.further is None else len(self.further.labels.values))

    @property
    def batches(self) -> int:
        """Batches of an epoch, over all ranks."""
        if self.batches_per_epoch is not None:
            return self.batches_per_epoch
        return max(1, self.iterations * len(self.split.train) // self.draws.cases_per_batch)

    @property
    @override
    def mirrored(self) -> tuple[int, ...]:
        """Axes that training mirrors, so that prediction may."""
        affine = self.draws.affine
        mirror = () if affine is None or affine.mirror_p == 0 else affine.mirror
        return tuple(axis for axis, done in enumerate(mirror) if done and self.plan.patch[axis] > 1)

    @property
    def validation_batches(self) -> int:
        """Batches of a validation, over all ranks: every case at least once."""
        return self._batches_of(len(self.split.validation))

    def _batches_of(self, cases: int) -> int:
        patches = -(-self.iterations * cases // self.draws.batch_size)
        return max(patches, -(-cases // self.draws.cases_per_batch))

    @override
    def train_dataloader(self) -> PatchLoader:
        again = getattr(self.trainer, "overfit_batches", 0) > 0  # the same ones each epoch
        self.loader = self._loader(
            self.draws, self.split.train, self.batches, self._keep_resident(), repeated=again
        )
        self.loader.load_state_dict(self.resume_position)
        return self.loader

    @override
    def val_dataloader(self) -> PatchLoader:
        return self._load_unchanged(self.split.validation)

    @override
    def test_dataloader(self) -> PatchLoader:
        return self._load_unchanged(self.test_cases)

    def _load_unchanged(self, names: tuple[str, ...]) -> PatchLoader:
        """Give patches of cases as they are, the same ones each time."""
        draws = replace(self.draws, affine=None, elastic=None, shares=None, seed=self.draws.seed + 1)
        return self._loader(draws, names, self._batches_of(len(names)), repeated=True)

    @override
    def state_dict(self) -> dict[str, Any]:
        position = {} if self.loader is None else self.loader.state_dict()
        sides = {name: list(cases) for name, cases in self.split._asdict().items()}
        return {**position, SPLIT: {**sides, "fold": asdict(self.fold)}}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # The loader has an own state, which Lightning 2.6 forgets where the length of the run was asked for
        self.resume_position = {key: value for key, value in state_dict.items() if key != SPLIT}
        if SPLIT in state_dict:
            resumed = restore_split(state_dict[SPLIT], self.fold, self.split, self.store.cases)
            self.split = resumed.split
            for line in resumed.describe_changes():
                tell(line)

    @override
    def on_after_batch_transfer(
        self, batch: list[Patch] | PackedBatch | WholeCase, dataloader_idx: int
    ) -> Batch | WholeCase:
        if isinstance(batch, WholeCase):
            return batch
        if self.trainer is None:
            raise ValueError(
                "No trainer uses this data. In a loop of your own: data.augment(data.prepare(batch))."
            )
        prepared: Batch = self.prepare(batch)
        if self.trainer.training:
            prepared = self.augment(prepared)
        if self.further is None:
            return prepared
        return self.further.finish(prepared, training=self.trainer.training)

    def check_preparation(self, device: torch.device) -> None:
        """Compare how a device and the host prepare the first patches of the run.

        Args:
            device: Of the run.

        Raises:
            DeviceError: If the device gives other voxels or labels.
        """
        drawn = CasePatches(self.store, self.plan, self.draws, self.split.train)
        check_preparation(self.prepare, [drawn[number] for number in range(CHECKED)], device)

    def _rank(self) -> int:
        return 0 if self.trainer is None else self.trainer.global_rank

    def _readers(self) -> int:
        if self.workers is not None:
            return self.workers
        return default_readers(1 if self.trainer is None else self.trainer.num_devices)

    def _ranks(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    def _loader(
        self,
        draws: PlannedDraws,
        names: tuple[str, ...],
        batches: int,
        resident: ResidentCases | None = None,
        *,
        repeated: bool = False,
    ) -> PatchLoader:
        ranks = self._ranks()
        if draws.batch_size % ranks:
            raise ValueError(
                f"A batch of {draws.batch_size} patches cannot be shared among {ranks} ranks. "
                f"Choose a multiple: plan.batch_size={-(-draws.batch_size // ranks) * ranks}"
            )
        layout = None if resident is None else resident.layout
        extra = None if self.further is None else self.further.reader(training=not repeated)
        pseudo = None if repeated or self.completed is None else self.completed(batches * draws.batch_size)
        patches = CasePatches(self.store, self.plan, draws, names, layout, extra, pseudo)
        numbers = PatchNumbers(batches * draws.batch_size, self._rank(), ranks, repeated=repeated)
        augment = None if repeated else self.augment.draw  # what validates is left as it is
        pack = Packing(self.prepare.shape, self.prepare.masked, self.prepare.label_order, augment, layout)
        size, device = draws.batch_size // ranks, self._device()
        return PatchLoader(patches, numbers, size, self._readers(), pack, device, resident)

    def _keep_resident(self) -> ResidentCases | None:
        """Give the training cases in the device's memory; None, and why, where they do not stay there."""
        device = self._device()
        if not wants_residence(self.resident, device, further=bool(self.further or self.completed)):
            return None
        bodies = any(normaliser.masked for normaliser in self.plan.normalisation)
        layout = plan_residence(self.store, self.split.train, bodies=bodies)
        kept = self.resident_cases
        if kept is not None and kept.layout == layout and kept.images.device == device:
            return kept
        kept = self.resident_cases = None  # before there are two
        reason = why_not(layout, device, self.resident_share)
        if reason is not None:
            tell(reason)
            return None
        self.resident_cases = keep_on_device(self.store, layout, device)
        return self.resident_cases

    def _device(self) -> torch.device:
        """Give where batches are used: the host, where no trainer says otherwise."""
        strategy = getattr(self.trainer, "strategy", None)
        return torch.device("cpu") if strategy is None else strategy.root_device
