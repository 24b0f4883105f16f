"""A tiny UNet, its plan and its task."""

import torch

from ingradient_pl.networks.unet import UNet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

TASK = Task(("MR",), {"background": 0, "organ": 1})


def plan(**changes):
    settings = {
        "channels": 1,
        "outputs": 2,
        "spacing": (2.0, 1.0, 1.0),
        "patch": (8, 8, 8),
        "batch_size": 2,
        "widths": (4, 8),
        "strides": ((1, 1, 1), (2, 2, 2)),
        "kernels": ((3, 3, 3), (3, 3, 3)),
        "blocks": (1, 1),
        "decoder_blocks": (1,),
        "normalisation": (ZScore(),),
    }
    return Plan(**{**settings, **changes})


def network(seed=0, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = plan(**changes)
        return UNet(
            made.channels,
            made.outputs,
            made.widths,
            made.strides,
            made.kernels,
            made.blocks,
            made.decoder_blocks,
        ).eval()
