"""Memory is judged for any network before it is built."""

import functools

import pytest
import torch
from torch import nn

from ingradient_pl.networks.unet import UNet
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.memory import Architecture
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.planning.topology import topology
from ingradient_pl.planning.traced_memory import TracedMemory, trace_footprint
from ingradient_pl.task import Task

CASES = Fingerprint.of([(200, 300, 300)] * 30, [(1.0, 1.0, 1.0)] * 30, Task(("T1",), {"a": 1}))
VOXELS = 8 * 10 * 12


class Looks(nn.Module):
    """A network that decides by a value, which has none while it is traced."""

    def forward(self, image):
        return image * 2 if image.mean().item() > 0 else image


class Picky(nn.Conv3d):
    """A network that takes patches of some sizes only."""

    def forward(self, image):
        assert image.shape[-1] % 32 == 0, "sizes must be multiples of 32"
        return super().forward(image)


def thin(channels, outputs, patch, width=16):
    return nn.Sequential(nn.Conv3d(channels, width, 3, padding=1), nn.ReLU(), nn.Conv3d(width, outputs, 1))


def picky(channels, outputs, patch):
    return Picky(channels, outputs, 3, padding=1)


def looks(channels, outputs, patch):
    return Looks()


def test_what_waits_for_the_backward_pass_is_counted_once():
    found = trace_footprint(thin(2, 3, None, width=5), 2, (8, 10, 12))
    # the image and what the ReLU gave, in 16 bits; the ReLU's input is not kept, its output not twice
    assert found.kept == 2 * VOXELS * (2 + 5)
    assert found.largest == 2 * VOXELS * 5
    assert found.logits == 3 * VOXELS
    assert found.weights == (2 * 27 * 5 + 5) + (5 * 3 + 3)


def test_what_a_real_run_keeps_is_what_was_traced():
    network = UNet(1, 2, (4, 8, 8), ((1, 1, 1), (2, 2, 2), (1, 2, 2)), ((3, 3, 3),) * 3, (1, 2, 2), (2, 1))
    network = network.to(torch.bfloat16)
    own = {one.untyped_storage().data_ptr() for one in network.parameters()}
    kept = {}

    def keep(saved):
        if saved.untyped_storage().data_ptr() not in own:
            kept[saved.untyped_storage().data_ptr()] = saved.untyped_storage()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        pyramid = network(torch.zeros(1, 1, 8, 16, 16, dtype=torch.bfloat16))
    found = trace_footprint(network, 1, (8, 16, 16))
    assert found.logits == sum(level.numel() for level in pyramid)
    assert found.kept == pytest.approx(sum(one.nbytes() for one in kept.values()), rel=0.02)


def unet(preset, shape):
    """The network of a preset for a patch, and its design."""
    wanted = PRESETS[preset]
    found = topology(shape, (1, 1, 1))
    stages = len(found.strides)
    design = Architecture(
        topology=found,
        widths=tuple(min(320, 32 * 2**stage) for stage in range(stages)),
        blocks=(wanted.blocks + wanted.blocks[-1:] * stages)[:stages],
        decoder_blocks=(wanted.decoder_blocks,) * (stages - 1),
        residual=wanted.residual,
        channels=1,
        outputs=2,
        labels=2,
    )

    def network(channels, outputs, patch):
        sizes = (design.widths, found.strides, found.kernels, design.blocks, design.decoder_blocks)
        return UNet(channels, outputs, *sizes, residual=design.residual)

    return network, design


@pytest.mark.parametrize(
    ("preset", "edge", "measured_gb"),
    [("default", 128, 7.7), ("resenc_m", 128, 9.1), ("resenc_l", 192, 22.7), ("resenc_xl", 224, 36.6)],
)
def test_the_largest_cubes_of_nnunets_presets_take_what_was_published(preset, edge, measured_gb):
    network, design = unet(preset, (edge,) * 3)
    judged = PRESETS[preset]
    assert judged.memory.patches(design, judged.memory_gb) >= 2
    found = TracedMemory(network).notes(design)
    weights_gb = found["weights"] * found["bytes_per_weight"] / 1e9
    assert 2 * found["gb_per_patch"] + weights_gb + found["reserved_gb"] == pytest.approx(
        measured_gb, rel=0.1
    )


def test_a_network_from_outside_is_planned_for():
    plans = [Planner(memory=TracedMemory(thin), memory_gb=gb).plans(CASES)["3d_fullres"] for gb in (3, 4, 8)]
    sizes = [plan.patch[0] * plan.patch[1] * plan.patch[2] * plan.batch_size for plan in plans]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert plans[0].notes["memory_judged_by"] == "tracing the network in 16 bits"
    assert plans[0].notes["weights"] == 16 * 27 + 16 + 16 * 2 + 2


def test_patches_are_multiples_where_the_network_asks_for_it():
    memory = TracedMemory(picky, multiple=32)
    assert memory.patch((1, 33, 64)) == (1, 64, 64)
    for name, plan in Planner(memory=memory).plans(CASES).items():
        assert all(size % 32 == 0 for size in plan.patch[name == "2d" :])


def test_a_network_that_refuses_says_what_to_do():
    with pytest.raises(ValueError, match=r"multiples of 32.*give 'multiple'"):
        trace_footprint(picky(1, 1, None), 1, (8, 8, 40))
    with pytest.raises(ValueError, match=r"Looks cannot be traced.*by hand"):
        Planner(memory=TracedMemory(looks)).plans(CASES)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="multiple >= 1"):
        TracedMemory(functools.partial(thin, width=4), multiple=0)
