"""Networks: images (batch, channel, z, y, x) to logits of each supervised level, finest first."""

from typing import TYPE_CHECKING

from ingradient_pl.lazy import attach

if TYPE_CHECKING:
    from ingradient_pl.networks.external import ExternalNetwork as ExternalNetwork
    from ingradient_pl.networks.external import external_network as external_network
    from ingradient_pl.networks.unet import UNet as UNet

__all__, __getattr__, __dir__ = attach(__name__)
