"""Dice + cross entropy: nnU-Net's values, the textbook's gradients, and sense where a class is absent."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ingradient_pl.losses.dice_ce import DiceCE


def example(classes=3, seed=0, shape=(2, 8, 12, 10)):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.standard_normal((shape[0], classes, *shape[1:]), dtype=np.float32) * 3)
    return logits, torch.from_numpy(rng.integers(0, classes, shape, dtype=np.uint8))


def plain(logits, label, batch_dice=False):
    """The same loss in five lines, one-hot and slow."""
    share, truth = logits.softmax(1), F.one_hot(label.long(), logits.shape[1]).movedim(-1, 1)
    axes = (0, 2, 3, 4) if batch_dice else (2, 3, 4)
    overlap, sizes = (share * truth).sum(axes), share.sum(axes) + truth.sum(axes)
    dice = ((2 * overlap + 1e-5) / (sizes + 1e-5))[..., 1:].mean()
    return F.cross_entropy(logits, label.long()) - dice


@pytest.mark.parametrize("batch_dice", [False, True])
def test_value_and_gradient_are_the_textbooks(batch_dice):
    logits, label = example()
    ours, theirs = logits.double().requires_grad_(), logits.double().requires_grad_()
    ours = logits.clone().requires_grad_()
    loss, reference = DiceCE(batch_dice=batch_dice)(ours, label), plain(theirs, label, batch_dice)
    loss.backward()
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), abs=1e-6)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-8, rtol=1e-5)


def test_a_perfect_prediction_scores_minus_one():
    _, label = example()
    logits = 50 * F.one_hot(label.long(), 3).movedim(-1, 1).float()
    assert DiceCE()(logits, label).item() == pytest.approx(-1, abs=1e-5)


def test_absent_classes_leave_it_finite():
    logits, label = example()
    for truth in (torch.zeros_like(label), torch.full_like(label, 2)):
        loss = DiceCE(batch_dice=True)(logits.requires_grad_(), truth)
        loss.backward()
        assert math.isfinite(loss.item())
        assert logits.grad.isfinite().all()
