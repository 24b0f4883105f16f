"""Patches by number: read on demand, shared among ranks, and taken up again in the middle of an epoch."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, SequentialSampler, Subset
from torch.utils.data.distributed import DistributedSampler
from typing_extensions import override

from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.geometry import Box
from ingradient_pl.loading.candidates import view_case
from ingradient_pl.loading.pseudo_labels import PseudoLabelReader
from ingradient_pl.loading.shared_memory import SharedBatch, SharedCollate
from ingradient_pl.machine import process_context
from ingradient_pl.planning.plan import Plan
from ingradient_pl.store.annotation import is_partly_annotated
from ingradient_pl.store.case_store import StoreError
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.packed_batch import PackedBatch, PatchList
from ingradient_pl.transforms.patch import Patch
from ingradient_pl.transforms.patch_sampling import PatchSampling
from ingradient_pl.transforms.resident_cases import ResidentCases, ResidentLayout

CPU = torch.device("cpu")

ExtraReader = Callable[[str, Box, int], NDArray[Any]]
"""Reads a box of a case's further volume for the patch of a number: case, box and number are given."""


class CasePatches(Dataset[Patch]):
    """Patch ``number`` of the run, drawn and read on demand.

    Args:
        store: Where the voxels are, in the network's axis order.
        plan: Normalisation, and how axes are resampled.
        draws: Which box of which case a number means.
        names: The cases that may be drawn; :func:`torch.utils.data.random_split` divides a list of them.
        resident: Where cases lie on the device, if patches are cut there: then no voxel is read here.
        extra: A further volume of each case, which goes along with its label; None where there is none.
        pseudo: Completes labels of cases that were annotated in part; None leaves them as they are.

    Its length is a round: the patches after which each case has come once in as many batches. Numbers beyond
    are patches as well.
    """

    def __init__(
        self,
        store: AnyCases,
        plan: Plan,
        draws: TrainingDraws,
        names: Iterable[str] | Subset[str],
        resident: ResidentLayout | None = None,
        extra: ExtraReader | None = None,
        pseudo: PseudoLabelReader | None = None,
    ) -> None:
        self.resident, self.extra, self.pseudo = resident, extra, pseudo
        self.store, self.plan, self.draws = store, plan, draws.of(plan)
        self.masked = any(normaliser.masked for normaliser in plan.normalisation)
        self.candidates = [
            view_case(store, name)
            for name in sorted(names)  # type: ignore[arg-type] # a Subset is indexed
        ]
        self.terms: dict[str, torch.Tensor] = {}
        self.partly = is_partly_annotated(store.cases.values())

    def __len__(self) -> int:
        return -(-len(self.candidates) // self.draws.cases_per_batch) * self.draws.batch_size

    @override
    def __getitem__(self, number: int) -> Patch:
        draw = self.draws.draw(number, self.candidates)
        native = self.store.cases[draw.case].grid
        image_box, label_box, sampling = found = PatchSampling.of(native, draw, self.plan, self.draws.margin)
        if self.resident is not None:
            return self._elsewhere(number, draw.case, found, self.resident)
        voxels = self.store.read(draw.case, image_box, label=label_box, body=self.masked)
        body = None if voxels.body is None else torch.from_numpy(voxels.body)
        image, label, known = torch.from_numpy(voxels.image), voxels.label, self._known_outputs(draw.case)
        if self.pseudo is not None and known is not None:
            label, known = self.pseudo.complete(draw.case, label_box, number, label, known)
        extra = None if self.extra is None else torch.from_numpy(self.extra(draw.case, label_box, number))
        terms, truth = self._terms(draw.case), torch.from_numpy(label)
        made = Patch(draw.case, number, image, truth, found.start, body, terms, sampling, known=known)
        return made._replace(extra=extra)

    def _elsewhere(self, number: int, case: str, found: PatchSampling, resident: ResidentLayout) -> Patch:
        """Give a patch without voxels: its shapes, and which box of the case it is."""
        image = torch.empty((), dtype=resident.dtype).expand(resident.channels, *found.image_box.shape)
        label = torch.empty((), dtype=resident.label_dtype).expand(found.label_box.shape)
        terms, sampling = self._terms(case), found.sampling
        box, known = found.image_box, self._known_outputs(case)
        return Patch(case, number, image, label, found.start, None, terms, sampling, box, known=known)

    def _known_outputs(self, name: str) -> torch.Tensor | None:
        """Give which outputs a case annotates; None where every case of the store does all."""
        if not self.partly:
            return None
        return torch.tensor(self.store.task.known_outputs(self.store.cases[name].annotated))

    def _terms(self, name: str) -> torch.Tensor:
        if name not in self.terms:
            pairs = zip(self.plan.normalisation, self.store.statistics(name), strict=True)
            self.terms[name] = torch.tensor([normaliser.terms(channel) for normaliser, channel in pairs])
        return self.terms[name]


class PatchNumbers(DistributedSampler[int], SequentialSampler):
    """One rank's share of an epoch's patch numbers: equally many for each rank, none twice in a run.

    The epoch is part of the number, so workers that outlive an epoch need not be told of it. Being both of
    torch's kinds, that of ranks and that in order, it is left as it is by whoever puts one of these in the
    place of others (Lightning's ``use_distributed_sampler`` and ``overfit_batches``).

    Args:
        per_epoch: Patches of an epoch, over all ranks.
        rank: Whose share.
        ranks: Among how many.
        repeated: Whether every epoch has the numbers of the first, as validation does.
    """

    def __init__(self, per_epoch: int, rank: int, ranks: int, *, repeated: bool = False) -> None:
        self.per_epoch, self.rank, self.ranks, self.repeated = per_epoch, rank, ranks, repeated
        self.epoch = self.passed = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch.

        Args:
            epoch: From 0; the numbers of the epoch follow from it.
        """
        self.epoch = epoch

    @override
    def __iter__(self) -> Iterator[int]:
        first = (0 if self.repeated else self.epoch * self.per_epoch) + self.rank
        return iter(range(first, first + len(self) * self.ranks, self.ranks)[self.passed :])

    def __len__(self) -> int:
        return self.per_epoch // self.ranks


class PatchFault(NamedTuple):
    """What a worker hands over in place of a patch that cannot be read.

    An exception would arrive as the text of its traceback.
    """

    message: str


class PatchLoader(DataLoader[Patch]):
    """Batches of patches, in the order of their numbers, which go on where a checkpoint left off.

    On the host a batch is a list of patches. For a CUDA device workers lay it out as one piece of memory,
    whose copy to the device begins when the batch has come, on a stream of its own: while the device is
    still at work on the batch before.

    Nothing is read before the first batch is asked for: Lightning makes the iterator before it tells the
    epoch, and workers would set out with the numbers of another.

    Args:
        patches: Patch of each number.
        numbers: Of this rank.
        size: Patches of a batch on this rank.
        workers: Processes that read; 0 reads in the process that asks.
        pack: Lays out the patches of a batch for a device; None leaves them a plain list.
        device: Where batches are used.
        resident: Cases that are there already, out of which patches are cut; None reads them.

    Attributes:
        waited: Seconds for which whoever iterates was kept waiting, in all.

    Raises:
        StoreError: While iterating, if a patch cannot be read; it names the case and the file.
    """

    def __init__(
        self,
        patches: Dataset[Patch],
        numbers: PatchNumbers,
        size: int,
        workers: int,
        pack: Packing | None = None,
        device: torch.device = CPU,
        resident: ResidentCases | None = None,
    ) -> None:
        self.pack, self.device, self.resident = pack, device, resident
        on_cuda = device.type == "cuda"
        packed = on_cuda or resident is not None
        collate = SharedCollate(pack.layout if pack is not None and packed else None)
        super().__init__(
            _FaultsAsValues(patches),
            size,
            sampler=numbers,
            num_workers=workers,
            persistent_workers=workers > 0,
            multiprocessing_context=process_context() if workers else None,
            pin_memory=on_cuda,
            collate_fn=collate if workers else list,  # patches differ in size: nothing to stack yet
        )
        self.numbers, self.size = numbers, size
        self.batches = 0
        self.waited = 0.0
        self.resume_position: dict[str, int] = {}

    def state_dict(self) -> dict[str, int]:
        """Give the epoch, and how many of its batches have been handed out."""
        return {"epoch": self.numbers.epoch, "batches": self.batches}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on within the epoch of ``state``; any other epoch begins at its beginning.

        Args:
            state: As ``state_dict`` gave it.
        """
        self.resume_position = dict(state)

    @override
    def __iter__(self) -> Iterator[list[Patch] | PackedBatch]:  # type: ignore[override]
        again = self.resume_position.get("epoch") == self.numbers.epoch
        self.batches = self.resume_position["batches"] if again else 0
        self.resume_position = {}
        self.numbers.passed = self.batches * self.size
        stream: Any = None
        if self.device.type == "cuda":
            stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        batches, began = super().__iter__(), time.perf_counter()
        for batch in batches:
            self.batches += 1
            unpacked = self._unpack(batch.open() if isinstance(batch, SharedBatch) else batch, stream)
            self.waited += time.perf_counter() - began
            yield unpacked
            began = time.perf_counter()

    def _unpack(self, entries: list[Any], stream: Any) -> list[Patch] | PackedBatch:
        """Give a batch as it is used, or say what went wrong with it."""
        if self.pack is None:
            return [_read(entry) for entry in entries]
        if not isinstance(entries[0], PackedBatch):
            patches = PatchList([_read(entry) for entry in entries], self.pack)
            if stream is None and self.resident is None:
                return patches
            entries = [self.pack(patches, pinned=stream is not None)]
        packed: PackedBatch = entries[0]._replace(resident=self.resident)
        return packed if stream is None else packed.start_copy(stream)


class _FaultsAsValues(Dataset[Any]):
    """Patches, or the faults that took their places."""

    def __init__(self, patches: Dataset[Patch]) -> None:
        self.patches = patches

    @override
    def __getitem__(self, number: int) -> Patch | PatchFault:
        try:
            return self.patches[number]
        except StoreError as error:
            return PatchFault(str(error))


def _read(entry: Patch | PatchFault) -> Patch:
    if isinstance(entry, PatchFault):
        raise StoreError(entry.message)
    return entry
