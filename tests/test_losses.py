"""Every loss against nnU-Net's values or its formula; ignored voxels, half precision, nonsense refused."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ingradient_pl.losses.compatibility import check_loss
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.focal import Focal
from ingradient_pl.losses.regions import RegionDiceCE
from ingradient_pl.losses.topk import TopKCE
from ingradient_pl.losses.tversky import Tversky
from ingradient_pl.losses.weighted_sum import WeightedSum
from ingradient_pl.task import Task

EXPECTED = {  # of nnU-Net 2.8.1: scripts/expected_from_nnunet.py prints them
    "labels single": [2.45017719, 2.41697431, 2.24958086],
    "regions single": [0.930164814, 1.05940259, 0.894433856],
    "labels single ignore": [2.52122879, 2.49486589, 2.06495333],
    "regions single ignore": [3.62062359, 4.05425024, 3.83784103],
    "topk single": [8.32025242, 8.25574017, 8.7699337],
    "labels pooled": [2.45016074, 2.4170413, 2.24510455],
    "regions pooled": [0.930160642, 1.05910385, 0.893843412],
    "labels pooled ignore": [2.5212214, 2.49489141, 2.0417695],
    "regions pooled ignore": [3.62062597, 4.05401325, 3.83537984],
    "topk pooled": [8.32023621, 8.25580692, 8.76545811],
}
REGIONS = {"whole": (1, 2), "core": 2, "rim": (1,)}
LOSSES = {
    "DiceCE": DiceCE(ignore=3),
    "DiceCE, classes weighed": DiceCE(ignore=3, class_weights=[0.5, 1, 2], batch_dice=True),
    "Dice": DiceCE(ignore=3, cross_entropy=0),
    "CE": DiceCE(ignore=3, dice=0),
    "regions": RegionDiceCE(REGIONS, ignore=3),
    "top k": TopKCE(0.1, ignore=3),
    "focal": Focal(ignore=3, class_weights=[1, 2, 3]),
    "Tversky": Tversky(ignore=3),
    "focal Tversky": Tversky(power=0.75, batch_dice=True, ignore=3),
    "sum": WeightedSum([DiceCE(cross_entropy=0, ignore=3), TopKCE(ignore=3)], [1, 0.5]),
}


def level(number=0, ignore=False):
    """Logits and label of a level, as scripts/expected_from_nnunet.py draws them."""
    edge, rng = 16 >> number, np.random.default_rng(number)
    logits = torch.from_numpy(rng.standard_normal((2, 3, edge, edge, edge), dtype=np.float32) * 3)
    label = torch.from_numpy(rng.integers(0, 4 if ignore else 3, (2, 1, edge, edge, edge)))[:, 0]
    return logits, label.to(torch.uint8)


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_nnunets_at_every_level(name):
    settings = {"batch_dice": "pooled" in name, "ignore": 3 if "ignore" in name else None}
    if "labels" in name:
        loss = DiceCE(**settings)
    elif "regions" in name:
        loss = RegionDiceCE(REGIONS, **settings)
    else:
        loss = WeightedSum([DiceCE(**settings, cross_entropy=0), TopKCE(0.1)])
    found = [loss(*level(number, "ignore" in name)).item() for number in range(3)]
    assert found == pytest.approx(EXPECTED[name], rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_what_lies_under_ignored_voxels_does_not_count(loss):
    logits, label = level(ignore=True)
    other = torch.where((label == 3)[:, None], 9 * torch.randn_like(logits), logits).requires_grad_()
    assert loss(other, label).item() == pytest.approx(loss(logits, label).item(), rel=1e-6)
    loss(other, label).backward()
    assert not (other.grad * (label == 3)[:, None]).any()
    assert other.grad.any()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_patch_that_nobody_annotated_has_a_loss_without_slope(loss):
    logits, label = level()
    logits.requires_grad_()
    value = loss(logits, torch.full_like(label, 3))
    value.backward()
    assert value.isfinite()
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_half_precision_is_summed_in_full(loss, dtype):
    logits, label = level(ignore=True)
    half, full = logits.to(dtype).requires_grad_(), logits.to(dtype).float().requires_grad_()
    with torch.autocast("cpu", dtype):
        value = loss(half, label)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(full, label).item(), rel=1e-6)
    (1024 * value).backward()
    (1024 * loss(full, label)).backward()
    assert half.grad.dtype == dtype
    torch.testing.assert_close(half.grad.float(), full.grad, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_certain_and_wrong_stays_finite(loss):
    _, label = level()
    logits = (-1e4 * F.one_hot(label.long(), 3).movedim(-1, 1).float()).requires_grad_()
    value = loss(logits, label)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_region_gradients_are_autograds():
    logits, label = level(ignore=True)
    ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    RegionDiceCE(REGIONS, ignore=3)(ours, label).backward()
    counted = (label != 3)[:, None]
    inside = torch.stack([(label == 1) | (label == 2), label == 2, label == 1], 1).double()
    share = theirs.sigmoid() * counted
    overlap = (2 * (share * inside).sum((2, 3, 4)) + 1e-5) / ((share + inside).sum((2, 3, 4)) + 1e-5)
    entropy = F.binary_cross_entropy_with_logits(theirs, inside, reduction="none")
    ((entropy * counted).sum() / counted.sum() - overlap.mean()).backward()
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-8, rtol=1e-5)


def test_class_weights_are_torchs():
    logits, label = level()
    weights = [0.2, 1.0, 3.0]
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    value = DiceCE(dice=0, class_weights=weights)(ours, label)
    expected = F.cross_entropy(theirs, label.long(), torch.tensor(weights))
    value.backward()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=1e-5)


def test_focal_without_power_and_topk_of_all_are_cross_entropy():
    logits, label = level()
    expected = pytest.approx(F.cross_entropy(logits, label.long()).item(), rel=1e-6)
    assert Focal(0)(logits, label).item() == expected
    assert TopKCE(1)(logits, label).item() == expected


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_focal_has_a_gradient_where_all_is_certain_and_right(power):
    logits = torch.tensor([40.0, 0.0]).view(1, 2, 1, 1, 1).requires_grad_()
    Focal(power)(logits, torch.zeros(1, 1, 1, 1, dtype=torch.uint8)).backward()
    assert logits.grad.abs().max() < 1e-6


def test_focal_is_its_formula():
    logits, label = level()
    share = logits.softmax(1).gather(1, label.long()[:, None])
    assert Focal(2)(logits, label).item() == pytest.approx(
        (-((1 - share) ** 2) * share.log()).mean().item(), rel=1e-5
    )


def test_tversky_of_equal_weights_is_dice():
    logits, label = level()
    dice = -DiceCE(cross_entropy=0)(logits, label).item()
    assert 1 - Tversky(0.5, 0.5)(logits, label).item() == pytest.approx(dice, rel=1e-6)


def test_tversky_minds_misses_more_when_told():
    logits, label = level()
    silent = torch.cat([logits[:, :1] + 8, logits[:, 1:]], 1)
    assert Tversky(0.1, 0.9)(silent, label) > Tversky(0.9, 0.1)(silent, label)


def test_memory_layout_changes_nothing():
    logits, label = level()
    ours = logits.clone(memory_format=torch.channels_last_3d).requires_grad_()
    plain = logits.clone().requires_grad_()
    DiceCE()(ours, label).backward()
    DiceCE()(plain, label).backward()
    torch.testing.assert_close(ours.grad, plain.grad)


@pytest.mark.parametrize(
    ("kind", "wrong", "complaint"),
    [
        (DiceCE, {"dice": -1}, "dice=-1"),
        (DiceCE, {"dice": 0, "cross_entropy": 0}, "is not 0"),
        (DiceCE, {"class_weights": [1, -2]}, "-2"),
        (RegionDiceCE, {"regions": {}}, "at least one region"),
        (TopKCE, {"share": 10}, "A percentage"),
        (Focal, {"power": -1}, "power=-1"),
        (Tversky, {"power": 0}, "power=0"),
        (WeightedSum, {"losses": [DiceCE()], "weights": [1, 2]}, "1 losses need as many"),
    ],
)
def test_settings_without_sense_are_refused(kind, wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        kind(**wrong)


CLASSES = Task(("CT",), {"background": 0, "a": 1, "b": 2})
OVERLAPPING = Task(("CT",), {"background": 0, "a": (1, 2), "b": 2, "ignore": 3}, (1, 2))


@pytest.mark.parametrize(
    ("loss", "task", "complaint"),
    [
        (DiceCE(), CLASSES, None),
        (RegionDiceCE([(1, 2), (2,)], ignore=3), OVERLAPPING, None),
        (RegionDiceCE(OVERLAPPING.foreground, ignore=3), OVERLAPPING, None),
        (nn.Identity(), OVERLAPPING, None),
        (DiceCE(ignore=3), OVERLAPPING, r"regions \(a, b\).*DiceCE gives.*loss=regions"),
        (Tversky(ignore=3), OVERLAPPING, "Tversky gives"),
        (RegionDiceCE([(1, 2), (2,)]), CLASSES, r"\(a, b\) do not.*loss=dice_ce"),
        (RegionDiceCE([(2,), (1, 2)], ignore=3), OVERLAPPING, "Plan anew"),
        (RegionDiceCE([(1, 2), (2,)]), OVERLAPPING, "integer None.*plan.ignore=3"),
        (Focal(ignore=1), CLASSES, "integer 1.*plan.ignore=null"),
        (WeightedSum([DiceCE(), TopKCE(ignore=2)]), CLASSES, "TopKCE leaves out"),
    ],
)
def test_a_loss_for_other_labels_is_refused_before_the_first_step(loss, task, complaint):
    with nullcontext() if complaint is None else pytest.raises(ValueError, match=complaint):
        check_loss(DeepSupervision(loss), task)
