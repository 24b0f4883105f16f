"""Two ranks have the gradient and the Dice of one that holds both batches, whatever counts in each."""

import preloaded
import pytest
import torch
from torch import distributed, nn

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


@pytest.mark.slow
@pytest.mark.ddp
def test_two_ranks_step_as_one_with_both_batches(tmp_path):
    preloaded.run_ranks(__name__, tmp_path)
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
