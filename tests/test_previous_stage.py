"""What the stage before found, made worse at random: by balls on the device, by components on the host."""

import numpy as np
import pytest
import torch
from kernel_count import Kernels
from scipy import ndimage

from ingradient_pl.images.packed_masks import empty_masks, put_mask
from ingradient_pl.inference.forward import spread
from ingradient_pl.task import Task
from ingradient_pl.transforms.morphology import OPERATIONS, BallOperation, change_by_balls
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.previous_stage import (
    LabelOperation,
    PreviousStageAugment,
    append_one_hot,
    change_labels,
)
from ingradient_pl.transforms.stage_labels import StageLabels

SHAPE = (12, 17, 15)
PLAIN, MASKS = StageLabels((1, 2)), StageLabels((1, 2), overlap=True)


def ball(radius):
    reach = int(radius)
    z, y, x = np.mgrid[(slice(-reach, reach + 1),) * 3]
    return z**2 + y**2 + x**2 <= radius**2


def by_scipy(volume, operation):
    """The same by SciPy, whose volumes go on beyond their edges as a dilation or an erosion leaves them."""
    ways = {
        "dilate": [ndimage.binary_dilation],
        "erode": [ndimage.binary_erosion],
        "open": [ndimage.binary_erosion, ndimage.binary_dilation],
        "close": [ndimage.binary_dilation, ndimage.binary_erosion],
    }
    for way in ways[operation.kind]:
        border = int(way is ndimage.binary_erosion)
        volume = way(volume, ball(operation.radius), border_value=border)
    return volume


def test_each_volume_has_an_operation_of_its_own():
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(12, *SHAPE)), (0, 1.5, 1.5, 1.5))
    volumes = smooth > np.quantile(smooth, 0.7)
    operations = [BallOperation(kind, radius) for kind in OPERATIONS for radius in (1.0, 2.6, 4.0)]
    found = change_by_balls(torch.from_numpy(volumes), operations)
    for volume, operation, answer in zip(volumes, operations, found.numpy(), strict=True):
        assert np.array_equal(answer, by_scipy(volume, operation)), operation


def test_a_slice_is_changed_by_discs():
    volume = np.zeros((1, 1, 9, 9), bool)
    volume[0, 0, 4, 4] = True
    (found,) = change_by_balls(torch.from_numpy(volume), [BallOperation("dilate", 2.0)]).numpy()
    assert found[0].sum() == (ball(2.0)[2]).sum()


@pytest.mark.parametrize("labels", [PLAIN, MASKS])
@pytest.mark.parametrize("count", [1, 12])
def test_kernels_do_not_grow_with_patches_and_labels(count, labels):
    label = torch.zeros(count, *SHAPE, dtype=torch.int32, device="meta")
    operations = [LabelOperation(patch, 0, 1, BallOperation("open", 8.0)) for patch in range(count)]
    with Kernels() as kernels:
        change_labels(label, labels, operations)
    assert kernels.total <= 60


def test_what_grows_takes_voxels_from_other_labels_and_each_voxel_has_one():
    label = torch.zeros(2, *SHAPE, dtype=torch.int32)
    label[:, :, :8], label[:, :, 8:12] = 1, 2
    grow, shrink = BallOperation("dilate", 2.0), BallOperation("erode", 2.0)
    found = change_labels(
        label.clone(), PLAIN, [LabelOperation(0, 0, 1, grow), LabelOperation(1, 0, 2, shrink)]
    )
    assert (found[0, :, 8:10] == 1).all()
    assert (found[0, :, 10:12] == 2).all()
    assert (found[1, :, :8] == 1).all()
    assert (found[1, :, 8:12] == 0).all()
    both = [LabelOperation(0, 0, 1, grow), LabelOperation(0, 1, 2, grow)]
    last = change_labels(label.clone(), PLAIN, both)
    assert (last[0, :, :6] == 1).all()
    assert (last[0, :, 6:14] == 2).all()


def test_draws_follow_from_seed_and_number_with_the_stated_shares():
    augment, numbers = PreviousStageAugment(), range(3000)
    one, other = (augment.draw_operations(numbers, (1, 2, 3), seed) for seed in (5, 6))
    assert one != other
    alone = [augment.draw_operations([number], (1, 2, 3), 5) for number in numbers]
    assert [op._replace(patch=0) for op in one] == [op for ops in alone for op in ops]
    assert len(one) / len(numbers) == pytest.approx(0.4 * 0.5 * 3, rel=0.1)
    radii = [op.operation.radius for op in one]
    assert 1 <= min(radii) < 1.3
    assert 7.7 < max(radii) <= 8
    assert {op.operation.kind for op in one} == set(OPERATIONS)


def test_one_small_component_goes_and_large_ones_stay():
    label = np.zeros((20, 20, 20), np.uint8)
    label[:10], label[12:14, :3, :3], label[16:18, 10:13, 10:13] = 1, 1, 1  # half of all, and two small ones
    always = PreviousStageAugment(removal_p=1, removal_label_p=1)
    taken = set()
    for number in range(20):
        found = always.remove_components(label, PLAIN, number, seed=0)
        assert (found[:10] == 1).all()
        taken.add((int(found[12:14].sum()), int(found[16:18].sum())))
    assert taken == {(0, 18), (18, 0)}
    assert label[12:14].sum() == 18  # what was read is left as it was
    never = PreviousStageAugment(removal_p=0)
    assert never.remove_components(label, PLAIN, 0, seed=0) is label


def test_labels_become_channels():
    label = torch.tensor([0, 3, 7, 3]).view(1, 1, 2, 2)
    batch = Batch(torch.rand(1, 1, 1, 2, 2), label, None, ["case"], [0], extra=label)
    image = append_one_hot(batch, StageLabels((3, 7))).image
    assert torch.equal(image[:, :1], batch.image)
    assert image[0, 1].flatten().tolist() == [0, 1, 0, 1]
    assert image[0, 2].flatten().tolist() == [0, 0, 1, 0]
    with pytest.raises(ValueError, match="needs the previous stage's labels"):
        append_one_hot(batch._replace(extra=None), PLAIN)


@pytest.mark.parametrize("count", [2, 9, 24])
def test_labels_that_overlap_change_each_by_itself(count):
    rng, names = np.random.default_rng(count), tuple(f"l{number}" for number in range(count))
    task = Task(("MR",), dict.fromkeys(names, 1), overlap={name: {} for name in names})
    labels = StageLabels.of(task)
    smooth = ndimage.gaussian_filter(rng.normal(size=(count, *SHAPE)), (0, 1.5, 1.5, 1.5))
    masks = smooth > np.quantile(smooth, 0.7)
    packed = empty_masks(count, SHAPE)
    for number, mask in enumerate(masks, 1):
        put_mask(packed, number, mask)
    bits = labels.encode(packed)
    assert int(bits.max()) in labels.possible
    assert (1 << count) not in labels.possible
    extra = torch.from_numpy(bits.astype(np.int32))[None]
    batch = Batch(torch.rand(1, 1, *SHAPE), extra, None, ["case"], [0], extra=extra)
    np.testing.assert_array_equal(append_one_hot(batch, labels).image[0, 1:], masks)
    window = torch.cat([batch.image, torch.from_numpy(bits.astype(np.float32))[None, None]], 1)
    np.testing.assert_array_equal(spread(window, labels)[0, 1:], masks)

    kinds = [BallOperation(kind, 2.0) for kind in OPERATIONS]
    changed = {0: kinds[0], count - 1: kinds[1], count // 2: kinds[3]}
    told = [LabelOperation(0, turn, 1 << at, one) for turn, (at, one) in enumerate(changed.items())]
    found = append_one_hot(
        batch._replace(extra=change_labels(batch.extra.clone(), labels, told)), labels
    ).image
    for at, mask in enumerate(masks):
        wanted = by_scipy(mask, changed[at]) if at in changed else mask
        np.testing.assert_array_equal(found[0, 1 + at], wanted)

    speck = np.zeros(SHAPE, np.uint8 if count < 9 else np.int32)  # as few bits as the case needs
    speck[2:4, 2:4, 2:4] = 1
    speck[3, 3, 3] = 3
    always = PreviousStageAugment(removal_p=1, removal_label_p=1)
    assert not always.remove_components(speck, labels, 0, seed=0).any()
    only = StageLabels(labels.values[1:], overlap=True)
    np.testing.assert_array_equal(always.remove_components(speck, only, 0, seed=0), np.minimum(speck, 1))


def test_more_labels_than_bits_are_refused_with_their_number():
    names = [f"l{number}" for number in range(25)]
    task = Task(("MR",), dict.fromkeys(names, 1), overlap={name: {} for name in names})
    with pytest.raises(
        ValueError, match=r"a bit a voxel .*, 24 at most; the task has 25 of them\. Train one stage"
    ):
        StageLabels.of(task)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"morphology_p": 1.5}, r"morphology_p lies in \[0, 1\]; got 1.5"),
        ({"radius": (0.0, 8.0)}, "0 < least"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        PreviousStageAugment(**settings)
