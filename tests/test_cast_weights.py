"""Weights cast together: the numbers of autocast, in fewer launches."""

import pytest
import torch
from torch import nn

from ingradient_pl.networks.cast_weights import call_with_cast_weights
from ingradient_pl.networks.unet import UNet

STAGES = [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[3, 3, 3]] * 3


def gradients(network, call, image):
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        given = call(image)
        levels = given if isinstance(given, list) else [given]
        sum(level.float().square().mean() for level in levels).backward()
    return [level.detach() for level in levels], [param.grad for param in network.parameters()]


@pytest.mark.parametrize("residual", [False, True])
def test_values_and_gradients_are_those_of_autocast(residual):
    torch.manual_seed(0)
    network = UNet(1, 3, [4, 8, 8], *STAGES, [1] * 3, [1] * 2, residual=residual)
    image = torch.randn(2, 1, 8, 8, 8)
    expected = gradients(network, network, image)
    found = gradients(network, lambda one: call_with_cast_weights(network, torch.bfloat16, one), image)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)
    assert all(param.dtype == param.grad.dtype == torch.float32 for param in network.parameters())


def test_a_layer_alone_and_one_without_gradient():
    layer = nn.Conv3d(1, 2, 3)
    with torch.autocast("cpu", torch.bfloat16):
        call_with_cast_weights(layer, torch.bfloat16, torch.randn(1, 1, 4, 4, 4)).sum().backward()
    assert layer.weight.grad.dtype == torch.float32

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.idle = nn.Conv3d(1, 2, 1), nn.Conv3d(1, 2, 1)

        def forward(self, image):
            return self.used(image)

    network = Half()
    with torch.autocast("cpu", torch.bfloat16):
        call_with_cast_weights(network, torch.bfloat16, torch.randn(1, 1, 2, 2, 2)).sum().backward()
    assert network.used.weight.grad is not None
    assert network.idle.weight.grad is None
