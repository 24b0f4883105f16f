"""Fused kernels: torch's numbers in 64 bits, few launches, and off where they cannot run."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import preloaded
import pytest
import torch
from counted_operations import Operations

from ingradient_pl.kernels import availability, norm
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.norm import InstanceNorm
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.muon import Muon
from ingradient_pl.optimizers.parameters import Parameters

needs_triton = pytest.mark.skipif(availability.triton_problem() is not None, reason="Triton is not installed")
COMPILED = {"_moments", "_apply", "_backward_sums", "_backward_apply"}
COMPILED |= {"_sums", "_finish", "_backward", "_gram", "_combine", "_multiply", "_add_noise"}
LEAST_SHARED = 99 * 1024  # bytes that a block may have on every GPU since Ampere
ROUNDING = {"float32": 5e-6, "bfloat16": 1e-2, "float16": 2e-3}


def lines_of(script, **settings):
    """What a script beside this file prints in a process of its own, a line of JSON each."""
    folder = Path(__file__).parent
    told = subprocess.run(
        [sys.executable, str(folder / script)],
        env={**os.environ, "PYTHONPATH": str(folder.parent), **settings},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture(scope="module")
def interpreted():
    """What tests/interpreted_kernels.py says of each kernel."""
    found = {}
    for kernel, case, differences in lines_of("interpreted_kernels.py", TRITON_INTERPRET="1"):
        found.setdefault(kernel, []).append((case, differences))
    return found


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_a_gpu_that_is_not_there():
    found = lines_of("compiled_kernels.py")
    assert {kernel for kernel, _, _ in found} >= COMPILED
    assert all(shared <= LEAST_SHARED for _, shared, _ in found), found


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("noise", 6, 2e-6), ("norm", 27, 2e-5), ("dice_ce", 35, 2e-6), ("matrices", 3, 5e-5), ("muon", 3, 5e-4)],
)
def test_kernels_are_their_twins(interpreted, name, least, most):
    found = interpreted[name]
    assert len(found) >= least
    for case, differences in found:
        bound = next((bound for dtype, bound in ROUNDING.items() if dtype in case), most)
        assert max(differences.values()) < bound, (case, differences)


def planned():
    """The network that is planned for Hippocampus, its loss, optimiser and a batch, on the meta device."""
    with torch.device("meta"):
        strides = [(1, 1, 1), *[(2, 2, 2)] * 3]
        network = UNet(1, 3, (32, 64, 128, 256), strides, [(3, 3, 3)] * 4, [2] * 4, [2] * 3)
        image = torch.empty(7, 1, 40, 56, 40)
        label = torch.empty(7, 40, 56, 40, dtype=torch.uint8)
    return network, DeepSupervision(DiceCE()), Muon(Parameters(network)), image, label


def operations(network, loss, optimizer, image, label):
    counts = {}
    with Operations() as counted:
        pyramid = network(image)
    counts["forward"] = counted.names
    with Operations() as counted:
        value = loss(pyramid, label)
    counts["loss"] = counted.names
    with Operations() as counted:
        value.backward()
    counts["backward"] = counted.names
    with Operations() as counted:
        optimizer.step()
    counts["optimizer"] = counted.names
    return counts


OURS = {"norm_moments", "norm_backward_sums", "class_sums", "class_sums_backward", "matrices_gram"}
WAITS = {
    "_local_scalar_dense",
    "nonzero",
    "item",
    "masked_select",
    "unique",
    "_unique2",
    "equal",
    "is_nonzero",
}


@needs_triton
def test_a_step_is_few_launches_and_waits_for_nothing():
    step = planned()
    operations(*step)  # state and layouts are made in the first
    step[2].zero_grad()
    counts = operations(*step)
    assert len(counts["forward"]) + len(counts["backward"]) <= 160
    assert len(counts["loss"]) + sum("class_sums" in name for name in counts["backward"]) <= 16
    assert len(counts["optimizer"]) <= 40
    assert not WAITS & {name for names in counts.values() for name in names}


def test_a_step_by_torchs_operators_waits_for_nothing_either():
    for kernel in ("norm", "dice_ce", "matrices"):
        availability.switch_off(kernel, "a test")
    try:
        counts = operations(*planned())
    finally:
        for kernel in ("norm", "dice_ce", "matrices"):
            availability.switch_on(kernel)
    assert not OURS & {name for names in counts.values() for name in names}
    assert not WAITS & {name for names in counts.values() for name in names}


@pytest.mark.parametrize("added", [True, False])
def test_the_norm_adds_a_shortcut_before_it_bends(added):
    layer = InstanceNorm(4, activation=False)
    features, shortcut = torch.randn(2, 2, 4, 3, 5, 6)
    found = layer(features, shortcut if added else None)
    normal = norm.instance_norm_twin(features.double(), layer.weight.double(), layer.bias.double(), 1.0)
    expected = torch.nn.functional.leaky_relu(normal + shortcut, 0.01) if added else normal
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_without_triton_a_gpu_takes_torchs_operators(monkeypatch):
    features = torch.empty(1, 4, 2, 2, 2, device="meta")
    monkeypatch.setattr(availability, "triton_problem", lambda: "it is not installed")
    assert not norm.fits(features)
    assert InstanceNorm(4).to("meta")(features).shape == features.shape


@pytest.mark.parametrize(
    ("error", "warned"),
    [(ModuleNotFoundError("No module named 'triton'", name="triton"), False), (ImportError("libcuda"), True)],
)
def test_a_broken_triton_is_told_of_and_a_missing_one_is_not(monkeypatch, error, warned):
    def fail(name, *rest, **named):
        if name == "triton":
            raise error
        return real(name, *rest, **named)

    real = __import__
    monkeypatch.setattr("builtins.__import__", fail)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert availability.triton_problem.__wrapped__() is not None
    assert any("libcuda" in str(one.message) for one in caught) == warned


def test_a_double_takes_torchs_operators():
    assert not norm.fits(torch.empty(1, 4, 2, 2, 2, device="meta", dtype=torch.float64))
    assert not norm.fits(torch.empty(1, 4, 2, 2, 2))


@needs_triton
@pytest.mark.slow
def test_network_and_loss_compile_in_one_piece_around_the_kernels():
    """In a process of its own: shape checks cannot be compiled."""
    preloaded.run_helper("compiled_whole", "kernels")
