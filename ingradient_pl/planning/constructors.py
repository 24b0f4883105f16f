"""The one mapping from a plan to a network, a loss and training draws; ``conf/`` says the same in YAML."""

from typing import Any

from torch import nn

from ingradient_pl.draws.planned import draws
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.regions import RegionDiceCE
from ingradient_pl.networks.unet import UNet
from ingradient_pl.planning.plan import Plan

__all__ = ["draws", "loss", "unet"]


def unet(plan: Plan, channels: int | None = None, **settings: Any) -> UNet:
    """Build the network of a plan: nnU-Net's UNet, plain or with residual blocks.

    It takes (batch, channel, z, y, x) and gives logits (batch, output, z, y, x), a list, finest level first.

    Args:
        plan: Its widths, strides, kernels and blocks.
        channels: Of its input; None takes the image's. The second stage of a cascade has more.
        settings: Further arguments of :class:`UNet`: ``levels``, ``dropout``, ``channels_last``.

    Returns:
        The network, its weights drawn from torch's generator.
    """
    return UNet(
        channels=plan.channels if channels is None else channels,
        outputs=plan.outputs,
        widths=plan.widths,
        strides=plan.strides,
        kernels=plan.kernels,
        blocks=plan.blocks,
        decoder_blocks=plan.decoder_blocks,
        residual=plan.residual,
        **settings,
    )


def loss(plan: Plan, **settings: Any) -> DeepSupervision:
    """Build the loss of a plan: soft Dice and cross entropy at every level, for labels or for regions.

    It takes the network's list of logits and an integer label (batch, z, y, x), and gives a scalar.

    Args:
        plan: Its regions, ignore label and kind of Dice.
        settings: Further arguments of :class:`DiceCE`; of :class:`RegionDiceCE` where there are regions.

    Returns:
        The loss.
    """
    level_loss: nn.Module
    if plan.regions is None:
        level_loss = DiceCE(batch_dice=plan.batch_dice, ignore=plan.ignore, **settings)
    else:
        level_loss = RegionDiceCE(plan.regions, batch_dice=plan.batch_dice, ignore=plan.ignore, **settings)
    return DeepSupervision(level_loss)
