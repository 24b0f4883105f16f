"""A training step of our network against nnU-Net's (and MONAI's beside it), and what a step of Muon adds."""

import torch
from figure import Figure, medians
from peers import answer

from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.muon import Muon
from ingradient_pl.optimizers.parameters import Parameters

ROUNDS, PLANNED_ROUNDS = 10, 3
PATCH, BATCH, WIDTHS = (40, 56, 40), 9, (32, 64, 128, 256)
"""As nnU-Net plans Hippocampus for a GPU."""


def figures() -> list[Figure]:
    found = answer("nnunet", "network", ROUNDS)
    print(
        f"two patches of 40 x 56 x 40, {found['threads']} threads, torch {found['torch']}, each at its "
        f"default memory format, median of {ROUNDS} in turns"
    )
    print(f"{'network':<12}{'weights':>12}{'ms':>10}{'of nnU-Net':>12}")
    for name, weights in found["weights"].items():
        seconds = found["seconds"][name]
        print(f"{name:<12}{weights:>12}{1000 * seconds:>10.1f}{found['ratios'][name]:>12.2f}")
    muon = found["seconds"]["muon"] / found["seconds"]["ours"]
    print(f"a step of Muon alone: {1000 * found['seconds']['muon']:.1f} ms, {100 * muon:.1f} % of ours")
    return [
        Figure("network_step", found["ratios"]["ours"], "ratio", "dynamic_network_architectures' step", 0.85),
        Figure("muon_step", _planned(), "ratio", "forward and backward at the planned sizes", 0.03),
    ]


def _planned() -> float:
    """Muon's step over forward and backward of the network and batch that are planned for Hippocampus."""
    strides = [(1, 1, 1), *[(2, 2, 2)] * 3]
    network = UNet(1, 3, WIDTHS, strides, [(3, 3, 3)] * 4, [2] * 4, [2] * 3)
    image, label = torch.randn(BATCH, 1, *PATCH), torch.randint(0, 3, (BATCH, *PATCH), dtype=torch.uint8)
    loss = DeepSupervision(DiceCE())
    muon = Muon(Parameters(network))

    def step() -> None:
        muon.zero_grad()
        loss(network(image), label).backward()

    bare, added = medians([step, muon.step], PLANNED_ROUNDS)
    print(f"batches of {BATCH}, widths {WIDTHS}: {bare:.2f} s, Muon's step {1000 * added:.1f} ms")
    return added / bare
