"""Patches of a batch prepared together are what each is alone."""

import numpy as np
import pytest
import torch
from kernel_count import Kernels
from patches import FLAT, MIRRORED, MIXED, SCALED, STILL, TURNED, some
from pytorch_lightning.utilities import move_data_to_device
from torch.testing import assert_close

from ingradient_pl.draws.elastic import RandomElasticDeformation
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.packed_batch import BatchArrays, PatchList
from ingradient_pl.transforms.prepare_batch import Prepare
from ingradient_pl.transforms.resampling_rule import Rule

NATIVE = ((16, 26, 24), (2.0, 1.0, 1.2))
SHAPE = (9, 14, 12)
OWN = NATIVE[1]
AFFINES = {
    "still": [STILL] * 4,
    "mirrored": [STILL, MIRRORED, MIRRORED],
    "scaled": [SCALED] * 4,
    "turned": [TURNED] * 4,
    "in plane": [FLAT] * 4,
    "mixed": [STILL, TURNED, MIRRORED, FLAT, SCALED, MIXED, FLAT, TURNED, STILL],
}
PLANS = {
    "own grid": (NATIVE, SHAPE, OWN),
    "resampled": (NATIVE, SHAPE, (1.5, 1.5, 1.5)),
    "finer": (NATIVE, SHAPE, (1.0, 0.5, 0.7)),
    "one axis": (NATIVE, SHAPE, (1.5, 1.0, 1.2)),
    "separate z": (((8, 26, 24), (5.0, 1.0, 1.2)), SHAPE, (2.5, 1.3, 1.1)),
    "kept z": (((8, 26, 24), (5.0, 1.0, 1.2)), (4, 14, 12), (None, 1.3, 1.1)),
    "slices": (((8, 26, 24), (5.0, 1.0, 1.2)), (1, 14, 12), (5.0, 1.0, 1.2)),
    "larger than the case": (((5, 12, 16), (2.0, 1.0, 1.2)), SHAPE, (1.6, 1.1, 1.2)),
    "larger, own grid": (((5, 12, 16), (2.0, 1.0, 1.2)), SHAPE, OWN),
}


def check(patches, shape, masked=None, label_order=1, ties=1e-4):
    """Hold the batch to its patches, one by one; returns the batch."""
    prepare = Prepare(shape, masked, label_order)
    packed = Packing(shape, None if masked is None else tuple(masked), label_order)(patches)
    found, expected = prepare(packed), prepare(patches)
    assert found.cases == expected.cases
    assert found.numbers == expected.numbers
    assert_close(found.image, expected.image, atol=2e-4, rtol=0)
    assert found.label.dtype == expected.label.dtype
    different = (found.label != expected.label).flatten(1).float().mean(1)
    assert different.max() <= ties, different
    if expected.extra is None:
        assert found.extra is None
    elif expected.extra.dtype.is_floating_point:
        assert_close(found.extra, expected.extra, atol=1e-4, rtol=0)
    else:
        assert found.extra.dtype == expected.extra.dtype
        assert (found.extra != expected.extra).flatten(1).float().mean(1).max() <= ties
    if expected.body is None:
        assert found.body is None
    else:
        assert found.body.shape == expected.body.shape
        assert (found.body != expected.body).float().mean() <= 1e-4
    return found


@pytest.mark.parametrize(
    ("plan", "affines"),
    [
        *((plan, "mixed") for plan in PLANS),
        *((plan, one) for plan in ("resampled", "slices") for one in AFFINES),
    ],
)
def test_a_batch_is_its_patches(plan, affines):
    native, shape, spacing = PLANS[plan]
    check(some(native, shape, spacing, AFFINES[affines]), shape)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("classes", [2, 40, 300])
@pytest.mark.parametrize("plan", ["resampled", "separate z", "larger than the case"])
def test_labels_of_many_classes_and_of_none_interpolated(plan, classes, order):
    native, shape, spacing = PLANS[plan]
    check(some(native, shape, spacing, AFFINES["mixed"], classes=classes), shape, label_order=order)


def further_volume(native, kind):
    """A volume of the case beside image and label: integers of few or many values, or numbers."""
    z, y, x = np.meshgrid(*(np.arange(count) for count in native[0]), indexing="ij")
    if kind == "distance":
        return np.sqrt((z - 5.0) ** 2 + (y - 9.0) ** 2 + x**2).astype(np.float32)
    return ((z // 4 + y // 5 + x // 6) % {"few": 3, "many": 40}[kind]).astype(np.uint8)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("kind", ["few", "many", "distance"])
@pytest.mark.parametrize("plan", ["resampled", "one axis", "separate z", "larger than the case", "own grid"])
def test_a_further_volume_goes_the_way_of_the_label(plan, kind, order):
    native, shape, spacing = PLANS[plan]
    extra = further_volume(native, kind)
    batch = check(some(native, shape, spacing, AFFINES["mixed"], extra=extra), shape, label_order=order)
    assert batch.extra.shape == batch.label.shape


def test_a_further_volume_that_is_the_label_is_the_label():
    native, shape, spacing = PLANS["resampled"]
    patches = some(native, shape, spacing, AFFINES["mixed"], classes=5)
    batch = Prepare(shape)(Packing(shape)([patch._replace(extra=patch.label) for patch in patches]))
    assert torch.equal(batch.extra, batch.label)


def test_numbers_are_interpolated_linearly_where_nothing_turns():
    """Of a ramp every place between voxels holds its own place."""
    native, shape, spacing = PLANS["finer"]
    ramp = np.broadcast_to(np.arange(native[0][1], dtype=np.float32)[None, :, None], native[0])
    batch = Prepare(shape)(some(native, shape, spacing, [STILL], extra=ramp))
    steps = batch.extra[0].diff(dim=1)
    assert_close(steps, torch.full_like(steps, 0.5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("masked", [[True, True], [True, False], None], ids=str)
@pytest.mark.parametrize("plan", ["separate z", "larger than the case", "larger, own grid"])
def test_bodies_and_channels(plan, masked):
    native, shape, spacing = PLANS[plan]
    patches = some(native, shape, spacing, AFFINES["mixed"], channels=2, body=True)
    assert check(patches, shape, masked).body is not None
    some_bodies = [p if i % 2 else p._replace(body=None) for i, p in enumerate(patches)]
    check(some_bodies, shape, masked)


@pytest.mark.parametrize("plan", ["resampled", "separate z", "larger than the case"])
def test_bent_and_averaged_patches(plan):
    native, shape, _ = PLANS[plan]
    spacing = (1.43, 1.27, 1.11)  # no slice that is bent in itself lies just between two
    bend = RandomElasticDeformation((2.0, 6.0), p=0.5)
    patches = some(native, shape, spacing, AFFINES["mixed"], elastic=bend)
    coarse = tuple(mm * 2.7 for mm in spacing)
    check(patches, shape)
    averaged = some(native, shape, coarse, AFFINES["mixed"], rule=Rule(low_pass_above=1.5), elastic=bend)
    check(averaged, shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_images_of_all_types(dtype):
    check(some(NATIVE, SHAPE, (1.5, 1.5, 1.5), AFFINES["mixed"], dtype=dtype), SHAPE)


def test_patches_of_several_types_in_one_batch():
    one = some(NATIVE, SHAPE, (1.5, 1.5, 1.5), AFFINES["mixed"][:4])
    other = some(NATIVE, SHAPE, (1.5, 1.5, 1.5), AFFINES["mixed"], dtype=np.float32)[4:]
    check(one + other, SHAPE)


COUNTED = {  # the case, the patch, its spacing, how patches lie, and the most kernels
    "in space": (NATIVE, SHAPE, (1.5, 1.5, 1.5), [SCALED, TURNED], 55),
    "own grid": (NATIVE, SHAPE, OWN, [STILL, TURNED, SCALED], 55),
    "slices": (((8, 26, 24), (5.0, 1.0, 1.2)), (1, 14, 12), (5.0, 1.0, 1.2), [STILL, FLAT, SCALED], 45),
}


@pytest.mark.parametrize("kind", [None, "few", "distance"])
@pytest.mark.parametrize("plan", COUNTED)
def test_kernels_do_not_grow_with_the_patches_and_one_copy_brings_them(plan, kind):
    native, shape, spacing, affines, most = COUNTED[plan]
    most += 0 if kind is None else 25
    totals = []
    extra = None if kind is None else further_volume(native, kind)
    for times in (2, 8):
        patches = PatchList(some(native, shape, spacing, affines * times, extra=extra), Packing(shape))
        with Kernels() as kernels:
            Prepare(shape)(move_data_to_device(patches, torch.device("meta")))
        assert kernels.copies == 1
        totals.append(kernels.total)
    assert totals[0] == totals[1] <= most


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_exact_whatever_the_network_may_do(precision, monkeypatch):
    before, seen = torch.get_float32_matmul_precision(), set()
    multiply = torch.bmm

    def watched(*factors):
        seen.add(torch.get_float32_matmul_precision())
        return multiply(*factors)

    monkeypatch.setattr(torch, "bmm", watched)
    torch.set_float32_matmul_precision(precision)
    try:
        patches = some(NATIVE, SHAPE, (1.5, 1.5, 1.5), [SCALED, TURNED])
        Prepare(SHAPE)(Packing(SHAPE)(patches))
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == {"highest"}


def test_a_patch_does_not_depend_on_the_others_of_its_batch():
    patches = some(NATIVE, SHAPE, (1.43, 1.27, 1.11), AFFINES["mixed"])
    prepare, pack = Prepare(SHAPE), Packing(SHAPE)
    whole = prepare(pack(patches))
    for place, patch in enumerate(patches):
        alone = prepare(pack([patch]))
        assert_close(whole.image[place], alone.image[0], atol=1e-4, rtol=0)
        assert (whole.label[place] != alone.label[0]).float().mean() < 1e-3


def test_intensities_far_from_zero_lose_no_digits():
    """Of a mean a thousand deviations away a difference is taken first."""
    patches = some(NATIVE, SHAPE, (1.5, 1.5, 1.5), AFFINES["mixed"], dtype=np.float32)
    shift = torch.tensor([2.0**20, 2.0**20, 2.0**20, 0.0])
    moved = [p._replace(image=p.image + 2.0**20, terms=p.terms + shift) for p in patches]
    check(moved, SHAPE)


@pytest.mark.parametrize("cut", [0, 64])
def test_an_array_is_viewed_where_it_was_laid(cut):
    """Also where the memory is part of a larger one, as that which a worker sends."""
    packed = Packing(SHAPE)(some(NATIVE, SHAPE, (1.5, 1.5, 1.5), AFFINES["mixed"]))
    own = torch.empty(cut + len(packed.buffer), dtype=torch.uint8)
    own[cut:] = packed.buffer
    arrays = BatchArrays(packed._replace(buffer=own[cut:]))
    assert arrays.get("nothing of the kind") is None
    for group in (None, *packed.groups):
        for name, field in (packed if group is None else group).fields.items():
            found = arrays.get(name, group)
            assert_close(found, field.view(own[cut:]), atol=0, rtol=0, equal_nan=True)
            assert found.untyped_storage().data_ptr() == own.untyped_storage().data_ptr()
