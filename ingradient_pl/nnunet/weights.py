"""Weights that nnU-Net trained, under the names of our UNet."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from ingradient_pl.networks.blocks import POINT, Convolution, ResidualBlock
from ingradient_pl.networks.unet import UNet
from ingradient_pl.phrases import name_some

VOLUME_KERNEL = 5
"""Axes of the kernel of a 3D convolution."""
WRAPPED = ("module.", "_orig_mod.")
"""What distributed training and compilation put before every name."""


def nnunet_weights(network: UNet, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of nnU-Net's PlainConvUNet or ResidualEncoderUNet, as ``network`` takes them.

    Heads of levels that ``network`` does not supervise are left out, and the kernels of a two-dimensional
    network become one voxel thick.

    Args:
        network: Of the same plan as the weights.
        weights: nnU-Net's ``network_weights``.

    Returns:
        For ``network.load_state_dict``.

    Raises:
        ValueError: If a weight is missing or has another shape than the plan says.
    """
    known = {unwrap(name): weight for name, weight in weights.items()}
    wanted = network.state_dict()
    found: dict[str, Tensor] = {}
    for ours, theirs in nnunet_names(network):
        if theirs not in known:
            raise ValueError(
                f"nnU-Net's weights hold no '{theirs}', so they are of another network than the plan's: "
                f"a residual encoder? other stages? They hold {name_some(sorted(known))}."
            )
        weight = known[theirs]
        if weight.ndim == wanted[ours].ndim - 1:
            weight = weight.unsqueeze(2)
        if weight.shape != wanted[ours].shape:
            raise ValueError(
                f"nnU-Net's '{theirs}' has the shape {tuple(weight.shape)}, but the plan asks for "
                f"{tuple(wanted[ours].shape)}. Do plan and weights come from the same folder?"
            )
        found[ours] = weight
    return found


def to_nnunet_weights(network: UNet, *, flat: bool = False) -> dict[str, Tensor]:
    """Name the weights of ``network`` as nnU-Net's PlainConvUNet or ResidualEncoderUNet holds them.

    nnU-Net registers each convolution and norm twice and the encoder again inside the decoder: a strict load
    wants every name. Heads of levels that are not supervised here become zero; no prediction uses them.

    Args:
        network: Each of its weights keeps its shape.
        flat: Whether nnU-Net's network is two-dimensional: kernels then lose their axis of one voxel.

    Returns:
        nnU-Net's ``network_weights``, on the CPU in float32.
    """
    own = {name: weight.detach().cpu().float() for name, weight in network.state_dict().items()}
    named: dict[str, Tensor] = {}
    for ours, theirs in nnunet_names(network):
        weight = own[ours]
        named[theirs] = weight.squeeze(2) if flat and weight.ndim == VOLUME_KERNEL else weight.contiguous()
    last = len(network.decoder) - 1
    for stage in range(len(network.decoder)):
        above = named[f"decoder.transpconvs.{stage}.bias"]
        outputs = own["heads.0.bias"].shape[0]
        head = f"decoder.seg_layers.{stage}"
        kernel = named[f"decoder.seg_layers.{last}.weight"].shape[2:]
        named.setdefault(f"{head}.weight", own["heads.0.weight"].new_zeros(outputs, len(above), *kernel))
        named.setdefault(f"{head}.bias", own["heads.0.bias"].new_zeros(outputs))
    named |= {alias: weight for name, weight in named.items() for alias in _find_registered_again(name)}
    return named | {
        f"decoder.{name}": weight for name, weight in named.items() if name.startswith("encoder.")
    }


def _find_registered_again(name: str) -> Iterator[str]:
    for part, number in (("conv", 0), ("norm", 1)):
        before, found, after = name.rpartition(f".{part}.")
        if found:
            yield f"{before}.all_modules.{number}.{after}"


def nnunet_names(network: UNet) -> Iterator[tuple[str, str]]:
    """Pair our name of each weight with nnU-Net's, whose decoder counts from the coarsest stage.

    Args:
        network: With or without residual blocks.
    """
    residual = isinstance(network.stem, Convolution)
    if residual:
        yield from _convolution("stem", "encoder.stem.convs.0", network.stem)
    for s, stage in enumerate(network.encoder):
        for i, block in enumerate(stage.children()):
            theirs = f"encoder.stages.{s}.blocks.{i}" if residual else f"encoder.stages.{s}.0.convs.{i}"
            yield from _block(f"encoder.{s}.{i}", theirs, block)
    last = len(network.decoder) - 1
    for s, stage in enumerate(network.decoder):
        yield from _both(f"ups.{s}", f"decoder.transpconvs.{last - s}")
        for i, block in enumerate(stage.children()):
            yield from _block(f"decoder.{s}.{i}", f"decoder.stages.{last - s}.convs.{i}", block)
    for s in range(len(network.heads)):
        yield from _both(f"heads.{s}", f"decoder.seg_layers.{last - s}")


def unwrap(name: str) -> str:
    """Give the name of a tensor without what distributed training and compilation put before it.

    >>> unwrap("module._orig_mod.encoder.stem.convs.0.conv.weight")
    'encoder.stem.convs.0.conv.weight'

    Args:
        name: As the file has it.
    """
    for prefix in WRAPPED:
        name = name.removeprefix(prefix)
    return name


def _block(ours: str, theirs: str, block: nn.Module) -> Iterator[tuple[str, str]]:
    if not isinstance(block, ResidualBlock):
        yield from _convolution(ours, theirs, block)
        return
    yield from _convolution(f"{ours}.first", f"{theirs}.conv1", block.first)
    yield from _convolution(f"{ours}.second", f"{theirs}.conv2", block.second)
    if block.project is not None:
        pooled = int(block.stride != POINT)  # pooling is the shortcut's first layer
        yield from _convolution(f"{ours}.project", f"{theirs}.skip.{pooled}", block.project)


def _convolution(ours: str, theirs: str, block: nn.Module) -> Iterator[tuple[str, str]]:
    for name, _ in block.named_parameters():
        yield f"{ours}.{name}", f"{theirs}.{name}"


def _both(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    for name in ("weight", "bias"):
        yield f"{ours}.{name}", f"{theirs}.{name}"
