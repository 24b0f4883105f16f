"""A tiny UNet, its plan and its task, and what training writes of them."""

import torch

from ingradient_pl.inference import checkpoint
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


def content():
    """What Lightning writes, in short: weights, the state of an optimiser, and the description."""
    weights = {f"network.{name}": value for name, value in network().state_dict().items()}
    state = {i: {"momentum_buffer": torch.randn_like(value)} for i, value in enumerate(weights.values())}
    optimizer = [{"state": state, "param_groups": [{"lr": 0.1, "params": list(state)}]}]
    own = checkpoint.read_description(network(), plan(), TASK)
    loops = {"fit_loop": {"epoch_progress": {"current": {"processed": 3}}}}
    rest = {
        "pytorch-lightning_version": "2.6.6",
        "epoch": 3,
        "global_step": 6,
        "lr_schedulers": [{"last_epoch": 6}],
    }
    return {
        "state_dict": weights,
        "optimizer_states": optimizer,
        "loops": loops,
        "callbacks": {},
        **rest,
        **own,
    }
