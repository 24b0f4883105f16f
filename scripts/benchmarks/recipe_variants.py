"""Departures from Muon and from the UNet's initialisation that the recipe study tries."""

from typing import Any

import torch
from torch import nn

from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.muon import TRANSPOSED, Muon
from ingradient_pl.optimizers.parameters import Parameters


class MuonOf(Muon):
    """Muon that gives the named kinds of kernels to AdamW: ``transposed``, ``stem``, ``head``."""

    def __init__(self, params: Parameters, adam: list[str], **settings: Any) -> None:
        network = params.network
        modules = [module for module in network.modules() if isinstance(module, (nn.Conv3d, *TRANSPOSED))]
        stem = modules[0]
        kinds: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        seen = set()
        for module in modules:
            transposed = isinstance(module, TRANSPOSED)
            head = not transposed and module.kernel_size == (1, 1, 1) and module.out_channels < 8
            kind = "transposed" if transposed else "stem" if module is stem else "head" if head else "other"
            kinds.setdefault((kind not in adam, transposed), []).append(module.weight)
            seen.add(id(module.weight))
        rest = [param for param in network.parameters() if id(param) not in seen]
        groups = [{"params": held, "muon": key[0], "transposed": key[1]} for key, held in kinds.items()]
        super().__init__([*groups, {"params": rest, "muon": False}], **settings)


def orthogonal_start(**arguments: Any) -> UNet:
    """Give a UNet whose kernels start orthogonal, at He's scale."""
    network = UNet(**arguments)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.orthogonal_(module.weight, gain=2**0.5)
    return network


def heads_from_zero(**arguments: Any) -> UNet:
    """Give a UNet whose logits start at zero."""
    network = UNet(**arguments)
    for module in network.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size == (1, 1, 1) and module.out_channels < 8:
            with torch.no_grad():
                module.weight.zero_()
    return network
