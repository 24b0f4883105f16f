"""Which patches come does not depend on who reads them: ranks, workers, epochs."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from patches_alike import alike

from ingradient_pl.datasets.splits import Fold
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.loading.patches import PatchNumbers
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.transforms.augment import Augment


@pytest.fixture
def data(phantom_store, phantom_plan):
    def made(batch_size=4, rank=0, ranks=1, **settings):
        plan = replace(read_plan(phantom_plan), batch_size=batch_size)
        draws = TrainingDraws(cases_per_batch=1, seed=3)
        arguments = {"batches_per_epoch": 3, "workers": 0, **settings}
        module = SegmentationData(str(phantom_store), plan, draws, Augment({}, 3), Fold(count=3), **arguments)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)
        return module

    return made


def epochs(loader, count=2):
    """The batches of some epochs, asked for as Lightning does."""
    found = []
    for epoch in range(count):
        batches = iter(loader)
        loader.sampler.set_epoch(epoch)
        found += list(batches)
    return found


def test_the_same_patches_come_for_one_rank_of_four_as_for_two_ranks_of_two(data):
    one = epochs(data().train_dataloader())
    two = [epochs(data(rank=rank, ranks=2).train_dataloader()) for rank in range(2)]
    assert [len(batches) for batches in two] == [len(one)] * 2
    for whole, first, second in zip(one, *two, strict=True):
        shared = sorted(first + second, key=lambda patch: patch.number)
        assert all(alike(*pair) for pair in zip(whole, shared, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker")
@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_patches_come_whoever_reads_them(data, workers):
    for of in ("train_dataloader", "val_dataloader"):
        own, read = (epochs(getattr(data(workers=count), of)()) for count in (0, workers))
        assert all(alike(*pair) for a, b in zip(own, read, strict=True) for pair in zip(a, b, strict=True))


def test_no_number_comes_twice_in_a_run(data):
    numbers = [
        patch.number
        for rank in range(4)
        for batch in epochs(data(rank=rank, ranks=4).train_dataloader(), 3)
        for patch in batch
    ]
    assert sorted(numbers) == list(range(3 * 3 * 4))


@pytest.mark.parametrize("workers", [0, 1])
def test_validation_is_the_same_in_every_epoch(data, workers):
    loader = data(workers=workers).val_dataloader()
    first, second = (epochs(loader, count) for count in (1, 2))
    second = second[len(first) :]
    assert all(alike(*pair) for a, b in zip(first, second, strict=True) for pair in zip(a, b, strict=True))


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_validation_is_shared_equally_and_sees_every_case(data, ranks):
    shares = [data(rank=rank, ranks=ranks) for rank in range(ranks)]
    batches = [epochs(share.val_dataloader(), 1) for share in shares]
    assert len({len(share) for share in batches}) == 1
    seen = {patch.case for share in batches for batch in share for patch in batch}
    numbers = [patch.number for share in batches for batch in share for patch in batch]
    assert sorted(numbers) == list(range(shares[0].validation_batches * 4))  # none twice, none left out
    assert seen == set(shares[0].split.validation)
    assert not seen & set(shares[0].split.train)


def test_a_batch_that_cannot_be_shared_is_refused(data):
    with pytest.raises(ValueError, match=r"plan\.batch_size=6"):
        data(rank=0, ranks=3).train_dataloader()
    with pytest.raises(ValueError, match=r"plan\.batch_size=6"):
        data(rank=0, ranks=3).val_dataloader()


def test_a_loader_goes_on_with_the_batch_that_would_have_come(data):
    loader = data(workers=1).train_dataloader()
    loader.sampler.set_epoch(1)
    batches = iter(loader)
    first = next(batches)
    left = loader.state_dict()
    assert left == {"epoch": 1, "batches": 1}
    rest = list(batches)
    again = data().train_dataloader()
    again.load_state_dict(left)
    found = epochs(again)  # epoch 0 is another one, and begins at its beginning
    assert [patch.number for patch in found[0]] == [0, 1, 2, 3]
    again.load_state_dict(left)
    again.sampler.set_epoch(1)
    found = list(again)
    assert [p.number for b in found for p in b] == [p.number for b in rest for p in b]
    assert first[0].number == 12


def test_ranks_draw_equally_often():
    for ranks in (1, 2, 3, 5):
        shares = [list(PatchNumbers(10, rank, ranks)) for rank in range(ranks)]
        assert {len(share) for share in shares} == {10 // ranks}
        assert len({number for share in shares for number in share}) == 10 // ranks * ranks
