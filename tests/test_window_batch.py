"""Windows that go through the networks together: a fixed number on a CPU, what its memory holds on a GPU."""

import math

import pytest
import tiny_models
import torch
from torch import nn

from ingradient_pl.inference import peak_memory, window_batch
from ingradient_pl.inference.forward import WithoutOutputs
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.peak_memory import peak_bytes
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.window_batch import choose_window_batch

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
PLAN = tiny_models.plan()
LOGITS = 4 * PLAN.outputs * math.prod(PLAN.patch)


def model(network=None, folds=1, plan=PLAN):
    network = tiny_models.network() if network is None else network
    return Model([network] * folds, plan, tiny_models.TASK, "here", ())


class LooksAtValues(nn.Module):
    def forward(self, image):
        return image if image.sum() > 0 else -image


def test_what_a_window_takes_is_what_is_alive_at_once():
    """The window stays; of the chain behind it two neighbours are there at a time."""
    chain = nn.Sequential(nn.Conv3d(1, 4, 1), nn.Conv3d(4, 8, 1), nn.Conv3d(8, 2, 1)).eval()
    assert peak_bytes(chain, 1, (4, 4, 4)) == 2 * 4**3 * (1 + 4 + 8)
    assert next(chain.parameters()).device == CPU


def test_what_a_window_takes_grows_with_its_voxels():
    network = tiny_models.network()
    small, large = peak_bytes(network, 1, (16, 16, 16)), peak_bytes(network, 1, (32, 32, 32))
    assert large == pytest.approx(8 * small, rel=0.01)


@pytest.mark.parametrize("folds", [1, 3])
@pytest.mark.parametrize(
    ("windows", "expected"), [(0, 1), (0.5, 1), (1.01, 1), (3.5, 3), (7.99, 7), (8.01, 8), (1000, 8)]
)
def test_on_a_gpu_as_many_as_its_free_memory_holds(monkeypatch, windows, expected, folds):
    reserved = 12345
    each = peak_bytes(tiny_models.network(), 1, PLAN.patch) + folds * LOGITS
    free = reserved + math.ceil(windows * each / window_batch.SHARE)
    monkeypatch.setattr(window_batch, "free_bytes", lambda device: free)
    assert choose_window_batch(model(folds=folds), GPU, reserved) == expected


def test_a_network_is_traced_once_and_free_memory_is_asked_for_each_case(monkeypatch):
    """Whoever makes a predictor for each case, and whichever outputs it leaves out (pseudo-labels)."""
    network, traced = tiny_models.network(), []
    trace = peak_memory._trace_peak
    monkeypatch.setattr(peak_memory, "_trace_peak", lambda *what: traced.append(what) or trace(*what))
    each = peak_bytes(WithoutOutputs(network, [1]), 1, PLAN.patch)
    assert each >= peak_bytes(network, 1, PLAN.patch)
    traced.clear()
    for windows in (2, 5, 3):
        free = math.ceil((windows + 0.5) * (each + LOGITS) / window_batch.SHARE)
        monkeypatch.setattr(window_batch, "free_bytes", lambda device, free=free: free)
        for outputs in ([0], [1], [0, 1]):
            assert choose_window_batch(model(WithoutOutputs(network, outputs)), GPU) == windows
        assert choose_window_batch(model(network), GPU) >= windows
    assert not traced
    peak_bytes(network, 1, (16, 16, 16))
    assert len(traced) == 1


def test_memory_that_torch_holds_in_reserve_is_free(monkeypatch):
    told = {"memory_reserved": 500, "memory_allocated": 200, "mem_get_info": (1000, 9000)}
    for name, answer in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)
    assert window_batch.free_bytes(GPU) == 1300
    assert window_batch.free_bytes(CPU) is None


@pytest.mark.parametrize(("device", "expected"), [(CPU, 2), (torch.device("mps"), 8)])
def test_elsewhere_a_fixed_number_that_many_outputs_make_smaller(monkeypatch, device, expected):
    assert choose_window_batch(model(), device) == expected
    monkeypatch.setattr(window_batch, "LOGIT_BYTES", 2 * LOGITS - 1)
    assert choose_window_batch(model(), device) == 1


def test_a_network_that_looks_at_values_gets_the_fixed_number(monkeypatch):
    monkeypatch.setattr(window_batch, "free_bytes", lambda device: 1)
    assert peak_bytes(LooksAtValues(), 1, (4, 4, 4)) is None
    assert choose_window_batch(model(LooksAtValues()), GPU) == 8


def test_a_predictor_takes_the_number_that_it_is_given_or_auto():
    assert Predictor(model()).views == 2
    assert Predictor(model(), window_batch=5).views == 5
