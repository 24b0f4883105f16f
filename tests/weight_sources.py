"""Trained networks to start from, as a checkpoint of ours or as a model folder of nnU-Net."""

from dataclasses import replace

import torch
from tiny_models import plan

from ingradient_pl.inference.checkpoint import Model, write
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

TASK = Task(("CT", "MR"), {"background": 0, "organ": 1, "lesion": 2}, name="Dataset001_two")
PLAIN = plan(
    channels=2,
    outputs=3,
    patch=(8, 16, 16),
    widths=(4, 6, 8),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    blocks=(2, 1, 2),
    decoder_blocks=(1, 2),
    normalisation=(ZScore(), ZScore()),
    orientation="stored",
)
RESIDUAL = replace(PLAIN, residual=True, blocks=(1, 2, 2), decoder_blocks=(1, 1))
KINDS = ("ours", "nnunet plain", "nnunet residual")


def unet(plan, seed=0, levels=None):
    """A network of a plan, drawn from a seed, no norm as it starts."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = UNet(
            plan.channels,
            plan.outputs,
            plan.widths,
            plan.strides,
            plan.kernels,
            plan.blocks,
            plan.decoder_blocks,
            residual=plan.residual,
            levels=levels,
        )
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
    return network.eval()


def plan_of(kind):
    return RESIDUAL if kind.endswith("residual") else PLAIN


def saved(kind, folder, folds=1, task=TASK, plan=None):
    """Write a trained network of a kind; where it is."""
    plan = plan or plan_of(kind)
    networks = [unet(plan, seed) for seed in range(folds)]
    if kind == "ours":
        write(folder / "source.ckpt", networks, plan, task)
        return folder / "source.ckpt"
    mirror = tuple(axis for axis in range(3) if plan.patch[axis] > 1)
    model = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    export_nnunet(Model(networks, plan, task, "source", mirror), model)
    return model
