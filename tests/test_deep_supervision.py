"""One loss over all levels: nnU-Net's weights, targets thinned as torch's nearest-exact does."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.losses.deep_supervision import DeepSupervision, downsample_label, halving_weights
from ingradient_pl.losses.dice_ce import DiceCE


class Largest(nn.Module):
    """A loss that tells which level it was given: its number of voxels along x."""

    @override
    def forward(self, logits, label):
        assert logits.shape[2:] == label.shape[1:]
        return logits.new_tensor(float(logits.shape[-1]))


def pyramid(edges=(16, 8, 4)):
    return [torch.randn(2, 3, edge, edge, edge, requires_grad=True) for edge in edges]


def label(edge=16):
    return torch.randint(0, 3, (2, edge, edge, edge), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("levels", "expected"), [(1, [1]), (2, [0.667, 0.333]), (4, [0.533, 0.267, 0.133, 0.067])]
)
def test_weights_are_nnunets_without_the_zero(levels, expected):
    assert halving_weights(levels) == pytest.approx(expected, abs=5e-4)


def test_levels_are_weighed_and_added():
    assert DeepSupervision(Largest())(pyramid(), label()).item() == pytest.approx((4 * 16 + 2 * 8 + 4) / 7)
    assert DeepSupervision(Largest(), [1, 0.5, 0.1])(pyramid(), label()).item() == pytest.approx(16 + 4 + 0.4)


def test_a_single_level_is_the_plain_loss():
    logits, truth = pyramid((8,))[0], label(8)
    plain = DiceCE()(logits, truth)
    torch.testing.assert_close(DeepSupervision(DiceCE())([logits], truth), plain)
    torch.testing.assert_close(DeepSupervision(DiceCE())(logits, truth), plain)


def test_every_level_gets_a_gradient():
    levels = pyramid()
    DeepSupervision(DiceCE())(levels, label()).backward()
    assert all(logits.grad is not None and logits.grad.any() for logits in levels)


@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 8, 4), (5, 6, 7), (11, 16, 3), (1, 2, 13)], ids=str)
def test_targets_are_nearest_exact(shape):
    truth = label()
    expected = F.interpolate(truth[:, None].float(), shape, mode="nearest-exact")[:, 0]
    torch.testing.assert_close(downsample_label(truth, shape).float(), expected)


def test_targets_of_halved_levels_copy_nothing():
    truth = label()
    assert downsample_label(truth, (8, 8, 4)).data_ptr() in range(
        truth.data_ptr(), truth.data_ptr() + truth.numel()
    )


def test_a_level_without_weight_is_refused():
    with pytest.raises(ValueError, match=r"positive weight, got \[1, 0\].*fewer levels"):
        DeepSupervision(DiceCE(), [1, 0])


def test_levels_and_weights_must_agree():
    with pytest.raises(ValueError, match="gives 3 levels, but the loss has 2 weights"):
        DeepSupervision(DiceCE(), [1, 1])(pyramid(), label())
