"""Two ranks have the gradient and the Dice of one that holds both batches, whatever counts in each.

    TRITON_INTERPRET=1 python test_dice_ce_ranks.py RANK FOLDER

is one of two ranks whose fused kernels Triton's interpreter runs.
"""

import copy
import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
import torch
from counted_operations import Operations
from torch import distributed, nn

from ingradient_pl.kernels import availability, dice_ce
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.focal import Focal
from ingradient_pl.losses.regions import RegionDiceCE
from ingradient_pl.losses.tversky import Tversky
from ingradient_pl.losses.weighted_sum import WeightedSum
from ingradient_pl.metrics.dice import PooledDice

REGIONS = {"a": (1, 2), "b": 2, "c": 1}
LOSSES = [DiceCE(batch_dice=True), RegionDiceCE(REGIONS, batch_dice=True)]
UNEVEN = [
    DiceCE(ignore=2),
    DiceCE(class_weights=[0.1, 1.0, 5.0]),
    RegionDiceCE(REGIONS, ignore=2),
    Focal(ignore=2, class_weights=[0.1, 1.0, 5.0]),
    DeepSupervision(DiceCE(ignore=2)),
]
PARTIAL = [
    DiceCE(),
    DiceCE(batch_dice=True),
    DiceCE(batch_dice=True, ignore=2, background=True, absent=0.3),
    RegionDiceCE(REGIONS),
    Tversky(),
    WeightedSum([DiceCE(), Focal()]),
]
KNOWN = torch.tensor([[True, True, False], [True, False, False], [True, True, True], [True, True, False]])
"""Of two ranks the second knows more."""


def batch():
    rng = torch.Generator().manual_seed(0)
    image = torch.randn(4, 2, 3, 4, 5, generator=rng)
    label = torch.randint(0, 3, (4, 3, 4, 5), generator=rng)
    label[0, :2] = 2  # more to ignore on the first rank
    return image, label


def gradients(part=slice(None)):
    """Gradients of a one-layer network by each loss, and the counts of Dice."""
    image, label = (each[part] for each in batch())
    found = []
    for loss, known in [
        *((one, None) for one in (*LOSSES, *UNEVEN)),
        *((one, KNOWN[part]) for one in PARTIAL),
    ]:
        torch.manual_seed(0)
        network = nn.Conv3d(2, 3, 1)
        if distributed.is_initialized():
            network = nn.parallel.DistributedDataParallel(network)
        (loss(network(image), label) if known is None else loss(network(image), label, known)).backward()
        found += [param.grad.clone() for param in network.parameters()]
    dice = PooledDice({"a": 1, "b": 2})
    dice.update(network(image).detach(), label)
    return [*found, torch.stack(list(dice.compute().values()))]


def rank_of_two(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(gradients(slice(2 * rank, 2 * rank + 2)), f"{folder}/{rank}.pt")
    # A rank that leaves while the other still talks to it ends in an abort of gloo's threads
    distributed.barrier()
    distributed.destroy_process_group()


def run_interpreted(_, folder):
    """Start both ranks anew: Triton chooses its interpreter as it is imported."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    lines = [[sys.executable, __file__, str(rank), str(folder)] for rank in range(2)]
    started = [subprocess.Popen(line, env=env, stderr=subprocess.PIPE, text=True) for line in lines]
    told = [process.communicate(timeout=300)[1] for process in started]
    assert not any(process.returncode for process in started), told


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize(
    "run_ranks",
    [
        preloaded.run_ranks,
        pytest.param(
            run_interpreted,
            marks=pytest.mark.skipif(availability.triton_problem() is not None, reason="needs Triton"),
        ),
    ],
)
def test_two_ranks_step_as_one_with_both_batches(tmp_path, run_ranks):
    run_ranks(__name__, tmp_path)
    alone = gradients()
    for rank in range(2):
        for found, expected in zip(
            torch.load(tmp_path / f"{rank}.pt", weights_only=True), alone, strict=True
        ):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_without_gradients_no_rank_waits_for_another(monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    image, label = batch()
    with torch.no_grad():
        assert LOSSES[0](torch.cat([image, image[:, :1]], 1), label).isfinite()


@pytest.mark.skipif(availability.triton_problem() is not None, reason="needs Triton")
@pytest.mark.parametrize(
    ("loss", "known"),
    [*((one, False) for one in (LOSSES[0], UNEVEN[0], UNEVEN[1])), (PARTIAL[0], True), (PARTIAL[1], True)],
)
def test_ranks_that_count_together_take_the_fused_loss(monkeypatch, loss, known):
    """On the meta device, where what a GPU would launch is counted."""
    summed = []
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", summed.append)
    logits = torch.empty(2, 3, 4, 5, 6, device="meta", requires_grad=True)
    label = torch.empty(2, 4, 5, 6, device="meta", dtype=torch.uint8)
    more = [torch.empty(2, 3, device="meta", dtype=torch.bool)] if known else []
    there = copy.deepcopy(loss).to("meta")
    with Operations() as counted:
        there(logits, label, *more).backward()
    assert len(summed) == 1
    assert {"class_sums", "dice_ce_finish", "class_sums_backward"} <= set(counted.names)
    assert len(counted.names) <= 8, counted.names


if __name__ == "__main__":
    dice_ce.fits = lambda logits: logits.dtype == torch.float32
    rank_of_two(int(sys.argv[1]), sys.argv[2])
