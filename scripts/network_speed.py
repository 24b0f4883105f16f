"""Print how long a training step takes beside nnU-Net's network, its loss and a bare SGD step.

Run it where dynamic_network_architectures and nnunetv2 are installed: python scripts/network_speed.py
"""

import time
from collections.abc import Callable

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimisers.muon import Muon

WIDTHS, STRIDES, KERNELS = [16, 32, 64, 128], [[1, 1, 1]] + [[2, 2, 2]] * 3, [[3, 3, 3]] * 4
BENT = {"nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}
NORM = {"norm_op": nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "conv_bias": True}


def fastest(tasks: dict[str, Callable[[], object]], rounds: int = 12) -> dict[str, float]:
    """Milliseconds of the fastest of ``rounds``, taken in turns so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: min(found) for name, found in times.items()}


def main() -> None:
    """Print milliseconds and ratios for patches of 40 x 56 x 40, two at a time, on two threads."""
    torch.set_num_threads(2)
    ours = UNet(1, 3, WIDTHS, STRIDES, KERNELS, [2] * 4, [2] * 3)
    theirs = PlainConvUNet(
        1, 4, WIDTHS, nn.Conv3d, KERNELS, STRIDES, 2, 3, 2, deep_supervision=True, **NORM, **BENT
    )
    image, label = torch.randn(2, 1, 40, 56, 40), torch.randint(0, 3, (2, 40, 56, 40))
    logits = torch.randn(2, 3, 40, 56, 40, requires_grad=True)
    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    peer = DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)

    def step(network: nn.Module) -> Callable[[], object]:
        sgd = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True)

        def whole() -> None:
            sgd.zero_grad()
            sum(level.square().mean() for level in network(image)[:2]).backward()
            sgd.step()

        return whole

    tasks = {"step, theirs": step(theirs), "step, ours": step(ours)}
    tasks["loss, theirs"] = lambda: torch.autograd.grad(peer(logits, label[:, None].float()), logits)
    tasks["loss, ours"] = lambda: torch.autograd.grad(DiceCE()(logits, label), logits)
    found = fastest(tasks)
    found |= fastest({"muon": Muon(ours.parameters()).step})
    for name, milliseconds in found.items():
        print(f"{name:14}{milliseconds:8.1f} ms")
    for task in ("step", "loss"):
        print(f"{task} {found[f'{task}, ours'] / found[f'{task}, theirs']:.2f} of theirs")
    print(f"muon {found['muon'] / found['step, ours']:.3f} of a step")


if __name__ == "__main__":
    main()
