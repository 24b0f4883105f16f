"""A case preprocessed where the networks are: the same answer, and no voxel resampled on the host."""

import numpy as np
import pytest
import torch
from kernel_count import Kernels
from oracles import plan

from ingradient_pl.inference import measure_channel as measuring
from ingradient_pl.inference import preprocess as outward
from ingradient_pl.inference.preprocess import nonzero_box, preprocess
from ingradient_pl.inference.to_native import LabelDecoder
from ingradient_pl.store.measure_case import bounding_box
from ingradient_pl.transforms import labels, resample
from ingradient_pl.transforms.normalise import ZScore

CPU = torch.device("cpu")
WAYS = {
    "shrinks": ((30, 20, 18), (0.8, 0.8, 0.8), (1.5, 1.5, 1.5)),
    "grows": ((20, 14, 16), (1.0, 1.5, 1.5), (0.7, 1.0, 1.0)),
    "separate z": ((8, 21, 18), (5.0, 1.0, 1.0), (3.0, 1.5, 1.5)),
    "own grid": ((8, 14, 12), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def case(request):
    shape, spacing, wanted = request.param
    rng = np.random.default_rng(3)
    image = rng.integers(-50, 900, (1, *shape)).astype(np.int16)
    image[:, :, :3, :2] = 0
    before = rng.integers(0, 3, shape).astype(np.uint8)
    return image, spacing, plan(spacing=wanted, normalisation=(ZScore(masked=True),)), before


@pytest.mark.parametrize("some", [False, True])
def test_a_device_gives_what_the_host_gives(monkeypatch, case, some):
    expected = preprocess(*case)
    for module in (resample, labels):  # the CPU goes the ways of a device
        monkeypatch.setattr(module, "on_host", lambda voxels: False)
    if some:  # slices at a time
        monkeypatch.setattr(outward, "IMAGE_BLOCK_VOXELS", 1)
        monkeypatch.setattr(outward, "FEWEST_LINES", 4)
        monkeypatch.setattr(outward, "PAD", 30)
    found = preprocess(*case)
    torch.testing.assert_close(found.image[0], expected.image[0], rtol=0, atol=2e-5)
    assert (found.image[1] != expected.image[1]).float().mean() < 1e-3
    assert found[1:] == expected[1:]


def test_all_but_the_box_is_made_on_the_device(monkeypatch, case):
    """On ``meta`` nothing of the host's can be mixed in, and what is launched can be counted."""
    monkeypatch.setattr(measuring, "COUNTED", {})
    image, spacing, one, before = case
    meta = torch.device("meta")
    assert preprocess(image, spacing, one, before, meta).image.device.type == "meta"
    two = plan(spacing=one.spacing, channels=2, normalisation=(ZScore(masked=True),) * 2)
    with Kernels() as kernels:
        preprocess(np.repeat(image, 2, 0), spacing, two, device=meta)
    assert kernels.total <= 2 * 25


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
@pytest.mark.parametrize("body", ["all", "some", "none"])
def test_integers_are_counted_as_the_host_measures_them(monkeypatch, dtype, body):
    monkeypatch.setattr(measuring, "PART", 100)
    rng = np.random.default_rng(0)
    ends = np.iinfo(dtype)
    channel = rng.integers(ends.min, ends.max, (9, 7, 8), dtype=dtype, endpoint=True).transpose(2, 0, 1)
    inside = {"all": None, "some": rng.random(channel.shape) < 0.4, "none": np.zeros(channel.shape, bool)}
    found = measuring._count(channel, inside[body], CPU)
    expected = measuring.measure_channel(channel, inside[body])
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert one[:3] == pytest.approx(other[:3], rel=1e-12)
        np.testing.assert_array_equal(one.quantiles, other.quantiles)


@pytest.mark.parametrize("seed", range(6))
def test_the_box_is_found_from_its_faces(seed):
    rng = np.random.default_rng(seed)
    image = np.zeros((2, 7, 9, 8), np.float32)
    low = rng.integers(0, 4, 3)
    stop = low + rng.integers(1, 4, 3)
    cut = tuple(slice(*ends) for ends in zip(low, stop, strict=True))
    image[(seed % 2, *cut)] = rng.random(stop - low) < 0.3
    if seed == 5:  # something on each face
        image[1, 0, 0, 0] = image[0, -1, -1, -1] = np.nan
    filled = bounding_box((image != 0).any(0))
    whole = nonzero_box(image)
    assert whole.shape == ((7, 9, 8) if filled is None else filled.shape)
    assert whole.start == ((0, 0, 0) if filled is None else filled.start)


def test_a_label_comes_to_the_host_as_a_byte_a_voxel():
    """On ``meta`` the copy to the host is all that fails: what it would bring is one byte a voxel."""
    from ingradient_pl.inference.buffer_pool import BufferPool

    meta = torch.device("meta")
    brought = []
    logits = torch.empty(3, 2, 4, 5, device=meta)
    decoder = LabelDecoder((0, 4, 9), regions=False)
    before = torch.Tensor.cpu
    torch.Tensor.cpu = lambda one: brought.append(one.dtype) or torch.zeros(one.shape, dtype=one.dtype)
    try:
        decoder.decode(iter(logits), BufferPool(meta))
    finally:
        torch.Tensor.cpu = before
    assert brought == [torch.uint8]
