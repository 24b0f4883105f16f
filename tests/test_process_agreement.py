"""GPUs of different kinds in one run are named as it starts; different precisions are refused."""

import dataclasses
import zlib
from types import SimpleNamespace
from unittest.mock import Mock

import preloaded
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import distributed

import ingradient_pl as ip
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.lightning import process_agreement
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.process_agreement import (
    RankDevice,
    check_same,
    describe_data,
    describe_kinds,
    exchange_devices,
)

LARGE = RankDevice("NVIDIA A100-SXM4-40GB", 40326, "bf16-mixed")
SMALL = RankDevice("Tesla T4 ü", 14918, "bf16-mixed")


class OnHost(DDPStrategy):
    root_device = torch.device("cpu")


def rank_of_two(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = exchange_devices(OnHost(), (LARGE, SMALL)[rank])
    torch.save(describe_kinds(found), f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_ranks_learn_what_the_other_trains_on(tmp_path):
    preloaded.run_ranks(__name__, tmp_path)
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True) == describe_kinds([LARGE, SMALL])


def test_what_differs_is_said_with_names_memory_and_what_it_means():
    told = describe_kinds([LARGE, SMALL, LARGE])
    assert "NVIDIA A100-SXM4-40GB, 39.4 GiB (ranks 0, 2); Tesla T4 ü, 14.6 GiB (rank 1)" in told
    assert "the slowest sets the pace and the smallest, 14.6 GiB, what fits" in told


@pytest.mark.parametrize("share", [1.0, 0.97])
def test_alike_is_not_told(share):
    assert describe_kinds([LARGE, LARGE._replace(mebibytes=int(share * LARGE.mebibytes))]) is None


def test_one_kind_with_other_memory_is_told():
    assert "NVIDIA A100-SXM4-40GB, 19.7 GiB" in describe_kinds([LARGE, LARGE._replace(mebibytes=20163)])


def trainer(world_size, device="cuda:0"):
    strategy = Mock(spec=Strategy, root_device=torch.device(device))
    return Mock(spec=pl.Trainer, world_size=world_size, strategy=strategy, precision="bf16-mixed")


@pytest.fixture
def card(monkeypatch):
    known = SimpleNamespace(name=LARGE.name, total_memory=LARGE.mebibytes * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: known)


def test_a_run_on_two_kinds_is_warned_as_it_starts(monkeypatch, card):
    monkeypatch.setattr(process_agreement, "exchange_devices", lambda strategy, own: [own, SMALL])
    with pytest.warns(UserWarning, match="GPUs of different kinds: NVIDIA A100.* Tesla T4"):
        process_agreement.check_processes(trainer(2))


def test_a_run_of_two_precisions_is_refused_with_one_that_all_have(monkeypatch, card):
    older = SMALL._replace(precision="16-mixed")
    monkeypatch.setattr(process_agreement, "exchange_devices", lambda strategy, own: [own, older, older])
    told = r"16-mixed on ranks 1, 2, bf16-mixed on rank 0.*trainer\.precision=16-mixed"
    with pytest.raises(ValueError, match=told):
        process_agreement.check_processes(trainer(3))


@pytest.mark.parametrize("name", ["data.store", "data.split", "plan", "data.draws"])
def test_processes_that_see_other_data_are_named_with_what_differs(phantom_store, phantom_plan, name):
    data = SegmentationData(phantom_store, str(phantom_plan))
    own = describe_data(data)
    rows = [torch.tensor([zlib.crc32(text.encode()) for text in seen.values()]) for seen in (own, own, own)]
    strategy = Mock(spec=Strategy, root_device=torch.device("cpu"))
    strategy.all_gather.side_effect = lambda mine: torch.stack([mine, *rows[1:]])
    check_same(strategy, own)
    rows[1][list(own).index(name)] += 1
    with pytest.raises(ValueError, match=f"{name} is not the same in all processes of this run: rank 1 see"):
        check_same(strategy, own)


def test_what_is_compared_differs_where_a_run_would(phantom_store, phantom_plan):
    data, plan = SegmentationData(phantom_store, str(phantom_plan)), ip.read_plan(phantom_plan)
    own = describe_data(data)
    others = {
        "data.split": SegmentationData(phantom_store, plan, split=Fold(number=1)),
        "plan": SegmentationData(phantom_store, dataclasses.replace(plan, batch_dice=not plan.batch_dice)),
        "data.draws": SegmentationData(phantom_store, plan, TrainingDraws(seed=1)),
    }
    for name, other in others.items():
        found = describe_data(other)
        assert [one for one in own if own[one] != found[one]] == [name]


@pytest.mark.parametrize(("world_size", "device"), [(1, "cuda:0"), (2, "cpu")])
def test_a_run_alone_or_on_processors_asks_nobody(monkeypatch, world_size, device):
    monkeypatch.delattr(process_agreement, "exchange_devices")
    process_agreement.check_processes(trainer(world_size, device))
