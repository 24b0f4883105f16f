"""Normalisation of images: a normaliser's four numbers a channel (low, high, mean, std) brought to voxels."""

from collections.abc import Sequence

from jaxtyping import Bool, Float, Num
from torch import Tensor


def normalise(
    image: Num[Tensor, "channel z y x"],
    terms: Float[Tensor, "channel 4"],
    body: Bool[Tensor, "z y x"] | None = None,
    masked: Sequence[bool] | None = None,
) -> Float[Tensor, "channel z y x"]:
    """Clip, subtract and divide, channel by channel; the input is left as it is.

    Args:
        image: Voxels as they lie in the store.
        terms: Rows of :class:`~ingradient_pl.transforms.normalise.Terms`; their dtype is the answer's.
        body: Voxels inside the patient; what lies outside becomes zero. None where no normaliser asks.
        masked: Which channels ask for it; None means all.
    """
    low, high, mean, std = terms[:, :, None, None, None].unbind(1)
    out = clip_(image.to(terms.dtype, copy=True), low, high).sub_(mean).div_(std)
    if body is None:
        return out
    if masked is None or all(masked):
        return out.mul_(body)
    for channel, asks in enumerate(masked):
        if asks:
            out[channel].mul_(body)
    return out


def clip_(image: Float[Tensor, "*_"], low: Tensor, high: Tensor) -> Float[Tensor, "*_"]:
    """Clip in place to limits that are tensors: a fifth of the time that ``clamp_`` takes for it on a CPU.

    Args:
        image: Changed in place.
        low: Smallest intensity, of a shape that broadcasts to the image's.
        high: Largest intensity, of a shape that broadcasts to the image's.
    """
    return image.clamp_min_(low).clamp_max_(high)


def limits(terms: Float[Tensor, "channel 4"]) -> tuple[Float[Tensor, " channel"], Float[Tensor, " channel"]]:
    """Give the smallest and largest normalised intensity of each channel, zero (the padding) between them.

    Args:
        terms: Low, high, mean and standard deviation of each channel.
    """
    low, high, mean, std = terms.unbind(1)
    return ((low - mean) / std).clamp(max=0), ((high - mean) / std).clamp(min=0)
