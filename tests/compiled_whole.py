"""Compile network and loss in one piece each, in a process without shape checks, which cannot be compiled.

``python -m compiled_whole`` holds numbers and gradients beside those of the eager ones;
``python -m compiled_whole kernels`` compiles around the fused kernels, without a device.
"""

import sys

import torch

from ingradient_pl.kernels import norm
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.unet import UNet

GEOMETRY = [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[3, 3, 3]] * 3


def network():
    return UNet(1, 3, [4, 8, 8], *GEOMETRY, [1, 1, 1], [1, 1], residual=True, levels=2)


def whole(*parts):
    return (torch.compile(part, backend="aot_eager", fullgraph=True) for part in parts)


def compile_beside_eager():
    ours, loss = network(), DeepSupervision(DiceCE(ignore=3, class_weights=[1, 2, 3]))
    image, label = torch.randn(2, 1, 8, 8, 8), torch.randint(0, 4, (2, 8, 8, 8), dtype=torch.uint8)
    found = []
    for first, second in ((ours, loss), whole(ours, loss)):
        ours.zero_grad()
        value = second(first(image), label)
        value.backward()
        found.append([value.detach(), *(param.grad.clone() for param in ours.parameters())])
    torch.testing.assert_close(*found)


def compile_around_kernels():
    with torch.device("meta"):
        ours = network()
        image, label = torch.empty(2, 1, 8, 8, 8), torch.empty(2, 8, 8, 8, dtype=torch.uint8)
    assert norm.fits(image)
    first, second = whole(ours, DeepSupervision(DiceCE(ignore=3)))
    second(first(image), label).backward()
    assert all(param.grad is not None for param in ours.parameters())


if __name__ == "__main__":
    compile_around_kernels() if sys.argv[1:] == ["kernels"] else compile_beside_eager()
