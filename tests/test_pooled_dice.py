"""Pooled Dice: everything seen counts as one image, on however many ranks it was seen."""

import math

import pytest
import torch
from torchmetrics.utilities import dim_zero_sum

from ingradient_pl.metrics.dice import PooledDice
from ingradient_pl.task import Task

LABELS = {"liver": 1, "tumour": (2,)}
REGIONS = Task(("CT",), {"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, (1, 2))


def maps(seed=0, highest=2):
    rng = torch.Generator().manual_seed(seed)
    shape = (2, 4, 5, 6)
    return [torch.randint(0, highest + 1, shape, generator=rng, dtype=torch.uint8) for _ in range(2)]


def dice(guess, truth):
    return (2 * (guess & truth).sum() / (guess.sum() + truth.sum())).item()


def scores(metric):
    return {name: value.item() for name, value in metric.compute().items()}


def test_it_is_twice_the_overlap_over_both_sizes():
    metric = PooledDice(LABELS)
    guess, truth = maps()
    metric.update(guess, truth)
    expected = {"liver": dice(guess == 1, truth == 1), "tumour": dice(guess == 2, truth == 2)}
    assert scores(metric) == pytest.approx({**expected, "mean": sum(expected.values()) / 2})


def test_batches_count_as_one_image():
    together, apart = PooledDice(LABELS), PooledDice(LABELS)
    batches = [maps(seed) for seed in range(3)]
    for guess, truth in batches:
        apart.update(guess, truth)
    together.update(*(torch.cat(both) for both in zip(*batches, strict=True)))
    assert scores(apart) == scores(together)


def test_logits_are_decided_first():
    guess, truth = maps()
    logits = torch.nn.functional.one_hot(guess.long(), 3).movedim(-1, 1).float()
    by_logits, by_label = PooledDice(LABELS), PooledDice(LABELS)
    by_logits.update(logits, truth)
    by_label.update(guess, truth)
    assert scores(by_logits) == scores(by_label)


def test_a_label_that_is_nowhere_is_unknown_and_leaves_the_mean_alone():
    metric = PooledDice({**LABELS, "cyst": 7})
    guess, truth = maps()
    metric.update(guess, truth)
    found = scores(metric)
    assert math.isnan(found["cyst"])
    assert found["mean"] == pytest.approx((found["liver"] + found["tumour"]) / 2)
    metric.reset()
    metric.update(torch.zeros_like(guess), torch.zeros_like(truth))
    assert all(math.isnan(value) for value in scores(metric).values())


def test_a_label_that_was_missed_or_invented_scores_zero():
    metric = PooledDice({"liver": 1})
    one, none = torch.ones(1, 2, 2, 2, dtype=torch.uint8), torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    metric.update(none, one)
    assert scores(metric)["liver"] == 0
    metric.reset()
    metric.update(one, none)
    assert scores(metric)["liver"] == 0


def test_voxels_that_nobody_annotated_do_not_count():
    guess, truth = maps(highest=3)
    metric = PooledDice(LABELS, ignore=3)
    metric.update(guess, truth)
    known = truth != 3
    assert scores(metric)["liver"] == pytest.approx(dice((guess == 1) & known, truth == 1))


@pytest.mark.parametrize("as_logits", [True, False])
def test_regions_may_lie_in_each_other(as_logits):
    guess, truth = maps(highest=3)
    guess = guess % 3
    metric = PooledDice(REGIONS.foreground, ignore=REGIONS.ignore, regions=REGIONS.has_regions)
    logits = torch.stack([guess > 0, guess == 2], dim=1).float() - 0.5
    metric.update(logits if as_logits else guess, truth)
    known = truth != 3
    found = scores(metric)
    assert found["whole"] == pytest.approx(dice((guess > 0) & known, (truth > 0) & known))
    assert found["core"] == pytest.approx(dice((guess == 2) & known, truth == 2))


def test_counts_of_ranks_are_added():
    ranks = [PooledDice(LABELS) for _ in range(2)]
    alone = PooledDice(LABELS)
    for seed, rank in enumerate(ranks):
        rank.update(*maps(seed))
        alone.update(*maps(seed))
    for state in ("overlap", "predicted", "true"):
        assert ranks[0]._reductions[state] is dim_zero_sum
        setattr(ranks[0], state, sum(getattr(rank, state) for rank in ranks))
    assert scores(ranks[0]) == scores(alone)


def test_it_counts_beyond_what_32_bits_hold():
    metric = PooledDice({"liver": 1})
    metric.update(*maps())
    metric.overlap += 2**40
    metric.predicted += 2**40
    metric.true += 2**40
    assert scores(metric)["liver"] == pytest.approx(1)


def test_without_labels_there_is_no_dice():
    with pytest.raises(ValueError, match="at least one foreground label"):
        PooledDice({})
