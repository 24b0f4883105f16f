"""Trained networks to start from: a checkpoint of ours, a model folder of nnU-Net, an encoder of nnssl."""

import json
from dataclasses import replace

import torch
from tiny_models import plan

from ingradient_pl.inference.checkpoint import Model, write
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.nnunet.weights import to_nnunet_weights
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
NNSSL = "nnssl residual"


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
    if kind == NNSSL:
        return nnssl_folder(folder, networks[0], adaptation(plan))
    if kind == "ours":
        write(folder / "source.ckpt", networks, plan, task)
        return folder / "source.ckpt"
    mirror = tuple(axis for axis in range(3) if plan.patch[axis] > 1)
    model = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    export_nnunet(Model(networks, plan, task, "source", mirror), model)
    return model


def adaptation(plan, **changes):
    """What nnssl writes beside the weights of an encoder."""
    instance = "torch.nn.modules.instancenorm.InstanceNorm3d"
    arguments = {
        "n_stages": len(plan.widths),
        "features_per_stage": list(plan.widths),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [list(kernel) for kernel in plan.kernels],
        "strides": [list(stride) for stride in plan.strides],
        "n_blocks_per_stage": list(plan.blocks),
        "n_conv_per_stage_decoder": list(reversed(plan.decoder_blocks)),
        "conv_bias": True,
        "norm_op": instance,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.modules.activation.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "spacing_style": "onemmiso",
        "spacing": [1, 1, 1],
        "patch_size": [16, 16, 16],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
    }
    kind = "ResidualEncoderUNet" if plan.residual else "PlainConvUNet"
    return {
        "architecture_plans": {"arch_class_name": kind, "arch_kwargs": arguments},
        "pretrain_plan": {
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "configurations": {"onemmiso": configuration},
        },
        "pretrain_num_input_channels": plan.channels,
        "recommended_downstream_patchsize": [8, 16, 16],
        "key_to_encoder": "encoder.stages",
        "key_to_stem": "encoder.stem" if plan.residual else "encoder.stages.0",
        "keys_to_in_proj": ["encoder.stem.convs.0.conv", "encoder.stem.convs.0.all_modules.0"],
        **changes,
    }


def nnssl_folder(folder, network, plan, name="nnssl", weights=None):
    """Write an encoder as nnssl does: ``checkpoint_final.pth``, its adaptation plan beside it."""
    found = to_nnunet_weights(network) if weights is None else weights
    path = folder / name
    path.mkdir()
    torch.save({"network_weights": found, "citations": ["a paper"]}, path / "checkpoint_final.pth")
    (path / "adaptation_plan.json").write_text(json.dumps(plan))
    return path
