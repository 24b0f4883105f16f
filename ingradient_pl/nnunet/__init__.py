"""nnU-Net's files: plans, checkpoints, trained models and the names of its weights."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.nnunet.checkpoint import NnunetCheckpoint as NnunetCheckpoint
    from ingradient_pl.nnunet.checkpoint import read_checkpoint as read_checkpoint
    from ingradient_pl.nnunet.model import import_nnunet as import_nnunet
    from ingradient_pl.nnunet.model import read_nnunet as read_nnunet
    from ingradient_pl.nnunet.plans import read_nnunet_plans as read_nnunet_plans

__all__, __getattr__, __dir__ = attach(__name__)
