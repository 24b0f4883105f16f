import pickle
from multiprocessing.reduction import ForkingPickler
from typing import NamedTuple

import numpy as np
import pytest
import torch
from patches import MIRRORED, STILL, TURNED, some
from patches_alike import flat
from torch.utils.data import Dataset

from ingradient_pl.loading import shared_memory
from ingradient_pl.loading.patches import PatchFault, PatchLoader, PatchNumbers
from ingradient_pl.loading.shared_memory import SharedBatch, SharedCollate
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.patch import Crop, Interpolation, Patch
from ingradient_pl.transforms.prepare_batch import Prepare


class Told(NamedTuple):
    message: str
    nothing: None
    many: dict[str, torch.Tensor]


def entry(number, voxels=20):
    rng = np.random.default_rng(number)
    image = torch.from_numpy(rng.integers(-1000, 1000, (1, 5, 7, voxels)).astype(np.int16))
    label = torch.from_numpy(rng.integers(0, 3, (3, 5, voxels)).astype(np.uint8))
    rows, terms = torch.from_numpy(rng.random((3, 8))).float(), torch.from_numpy(rng.random((1, 4)))
    axes = (Crop(0, 4, mirrored=True), Interpolation(rows[:, 1:], rows[:, 0]), Crop(1, 3, mirrored=False))
    return Patch("a", number, image, label, (1, 1, 0), image[0] > 0, terms, axes)


def same(one, other):
    pairs = list(zip(flat(one), flat(other), strict=True))
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.fixture(autouse=True)
def _never_in_the_message(monkeypatch):
    monkeypatch.setattr(shared_memory, "SMALL", 0)


def sent(shared):
    """Bring a shared to where it is received, as between two processes."""
    return pickle.loads(bytes(ForkingPickler.dumps(shared)))


def test_what_is_opened_is_what_was_packed():
    many = {"a": torch.arange(5.0)[::2], "b": torch.zeros(0, 3), "c": torch.tensor([True, False])}
    packed = [entry(0), entry(1), Told("no", None, many)]
    received = sent(SharedCollate()(packed)).open()
    assert all(same(one, other) for one, other in zip(received[:2], packed[:2], strict=True))
    assert received[2][:2] == ("no", None)
    assert all(torch.equal(received[2].many[key], value) for key, value in many.items())
    assert all(kept.data_ptr() % 64 == 0 for kept in (received[0].image, received[1].label))


def test_a_parcel_is_opened_once():
    shared = sent(SharedCollate()([entry(0)]))
    shared.open()
    with pytest.raises(RuntimeError, match="opened before"):
        shared.open()


def test_memory_is_taken_up_again_when_its_parcel_was_opened_or_lost_and_never_before():
    packing = SharedCollate()
    first, second = sent(packing([entry(0)])), sent(packing([entry(1)]))
    assert len(packing.memories) == 2
    assert same(first.open()[0], entry(0))
    third = sent(packing([entry(2)]))
    assert len(packing.memories) == 2
    assert same(second.open()[0], entry(1))
    del third
    for number in range(10):
        assert same(sent(packing([entry(number)])).open()[0], entry(number))
    assert len(packing.memories) <= 2


def test_memory_that_has_become_too_small_is_replaced():
    packing = SharedCollate()
    for voxels in (10, 20, 400, 30):
        assert same(sent(packing([entry(0, voxels)])).open()[0], entry(0, voxels))
        assert len(packing.memories) == 1


def test_a_parcel_that_was_opened_does_not_give_back_what_is_lent_again():
    packing = SharedCollate()
    shared = sent(packing([entry(0)]))
    shared.open()
    following = sent(packing([entry(1)]))
    del shared
    sent(packing([entry(2)]))
    assert same(following.open()[0], entry(1))


class Entries(Dataset):
    def __getitem__(self, number):
        return entry(number, 20 + number % 5)


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_that_are_kept_stay_as_they_were(workers):
    kept = list(PatchLoader(Entries(), PatchNumbers(60, 0, 1), 2, workers))
    assert not any(isinstance(batch, SharedBatch) for batch in kept)
    found = [patch for batch in kept for patch in batch]
    assert [patch.number for patch in found] == list(range(60))
    assert all(same(patch, entry(patch.number, 20 + patch.number % 5)) for patch in found)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_pinned_memory_holds_the_same():
    loader = PatchLoader(Entries(), PatchNumbers(20, 0, 1), 2, workers=2, device=torch.device("cuda"))
    for batch in loader:
        assert all(patch.image.is_pinned() and patch.label.is_pinned() for patch in batch)
        assert all(same(patch, entry(patch.number, 20 + patch.number % 5)) for patch in batch)


def test_a_worker_lays_out_a_batch_as_the_device_uses_it():
    pack = Packing((8, 8, 8))
    patches = some(((12, 14, 16), (1.0, 1.0, 1.0)), (8, 8, 8), (1.2, 1.2, 1.2), [STILL, TURNED, MIRRORED])
    collate = SharedCollate(pack.layout)
    (packed,), expected = sent(collate(patches)).open(), pack(patches)
    assert packed[1:] == expected[1:]
    assert Prepare((8, 8, 8))(packed).image.equal(Prepare((8, 8, 8))(expected).image)
    faulty = sent(collate([patches[0], PatchFault("damaged")])).open()
    assert faulty[1] == PatchFault("damaged")
    assert faulty[0].case == "case"


def test_a_small_batch_travels_in_the_message_and_its_memory_is_free_at_once(monkeypatch):
    monkeypatch.setattr(shared_memory, "SMALL", 2**20)
    packing = SharedCollate()
    first = sent(packing([entry(0)]))
    assert same(sent(packing([entry(1)])).open()[0], entry(1))
    assert len(packing.memories) == 1
    assert same(first.open()[0], entry(0))


@pytest.mark.parametrize("small", [0, 2**18])
def test_memory_that_was_taken_in_inference_mode_is_given_back_outside(monkeypatch, small):
    monkeypatch.setattr(shared_memory, "SMALL", small)
    collate = SharedCollate()
    with torch.inference_mode():  # as a worker of validation and testing begins
        batch = collate([entry(1)])
    received = pickle.loads(ForkingPickler.dumps(batch))  # by a thread that is not in it
    assert same(received.open()[0], entry(1))
    assert collate.memories[0][0] == shared_memory.FREE
