"""The UNet: image in, pyramid of logits out, finest first."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl.kernels import norm
from ingradient_pl.networks.blocks import POINT, Convolution, Head, ResidualBlock, Zyx
from ingradient_pl.networks.norm import SLOPE
from ingradient_pl.short_repr import describe

AXES = 3
MOST_CONVOLUTIONS, MOST_FEATURES, MOST_WEIGHTS = 1000, 2**16, 2**31
"""Ten times what the largest networks in use have, and a few times their weights."""

SHOWN = ("channels", "outputs", "widths", "strides", "residual")
"""What stands in the representation of a network."""


class UNet(nn.Module):
    """nnU-Net's network: an encoder that strides, a decoder that climbs back, a head at each level.

    In two dimensions it is the same network with kernels (1, 3, 3) and strides (1, 2, 2) on patches of one
    slice: as many parameters, and the same result. Heads exist only where they are supervised, for a head
    without gradient stops distributed training; nnU-Net builds one more, for the coarsest level, and gives
    it the weight 0. Of one stage, for cases of a few voxels, it is not an U: convolutions and a head.

    Args:
        channels: Channels of the image.
        outputs: Logits per voxel.
        widths: Feature maps of each stage, finest first.
        strides: Of each stage, (z, y, x) in voxels of the stage before; the first is (1, 1, 1).
        kernels: Of each stage, odd.
        blocks: Convolutions (residual blocks, where ``residual``) of each encoder stage.
        decoder_blocks: Convolutions of each decoder stage, finest first: one fewer than stages.
        residual: Whether the encoder is built of residual blocks after a stem.
        levels: Logits in the pyramid; None takes all the decoder has but the coarsest, as nnU-Net's
            weights do.
        dropout: Chance in [0, 1) that a feature map is dropped while training.
        channels_last: Whether voxels hold their channels side by side in memory, which changes the speed
            alone; None does so on the CPU and, where the fused norm can be used, on CUDA: there weights are
            laid out likewise once, when they are moved.

    Raises:
        ValueError: If the entries do not fit each other, or ask for a network larger than any in use.

    Source: Isensee et al. 2021, https://doi.org/10.1038/s41592-020-01008-z; residual encoder: Isensee et al.
    2024, https://arxiv.org/abs/2404.09556.
    """

    def __init__(  # noqa: PLR0913 (one for each decision of the plan)
        self,
        channels: int,
        outputs: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        blocks: Sequence[int],
        decoder_blocks: Sequence[int],
        *,
        residual: bool = False,
        levels: int | None = None,
        dropout: float = 0.0,
        channels_last: bool | None = None,
    ) -> None:
        super().__init__()
        decoded = len(widths) - 1
        levels = max(1, decoded - 1) if levels is None else levels
        self.spec: dict[str, Any] = {
            "_target_": f"{UNet.__module__}.{UNet.__qualname__}",
            "channels": channels,
            "outputs": outputs,
            "widths": list(widths),
            "strides": [list(stride) for stride in strides],
            "kernels": [list(kernel) for kernel in kernels],
            "blocks": list(blocks),
            "decoder_blocks": list(decoder_blocks),
            "residual": residual,
            "levels": levels,
            "dropout": dropout,
            "channels_last": channels_last,
        }
        _check(self.spec)
        steps, sizes = [_zyx(stride) for stride in strides], [_zyx(kernel) for kernel in kernels]
        self.channels_last = channels_last
        self.stem = Convolution(channels, widths[0], sizes[0], dropout=dropout) if residual else nn.Identity()
        stage = _residual_stage if residual else _stage
        entering = [widths[0] if residual else channels, *widths]
        self.encoder = nn.ModuleList(
            stage(entering[i], widths[i], sizes[i], steps[i], blocks[i], dropout) for i in range(decoded + 1)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose3d(below, width, step, step)
            for (width, below), step in zip(pairwise(widths), steps[1:], strict=True)
        )
        self.decoder = nn.ModuleList(
            _stage(2 * widths[i], widths[i], sizes[i], POINT, decoder_blocks[i], dropout)
            for i in range(decoded)
        )
        self.heads = nn.ModuleList(Head(widths[i], outputs, POINT) for i in range(levels))
        self.apply(_initialise)

    def __repr__(self) -> str:
        """Name channels, outputs, stages and parameters; ``print`` lists every layer."""
        parameters = sum(weight.numel() for weight in self.parameters())
        return describe(self, {**{name: self.spec[name] for name in SHOWN}, "parameters": parameters})

    def __str__(self) -> str:
        return super().__repr__()

    @override
    def forward(
        self, image: Float[Tensor, "batch channel z y x"], levels: int | None = None
    ) -> list[Float[Tensor, "batch output _ _ _"]]:
        """Give the logits of each level, finest first; only the ``levels`` finest, where asked."""
        features = self.stem(_channels_last(image) if self._side_by_side(image) else image)
        skips = []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        heads = self.heads[: len(self.heads) if levels is None else levels]
        pyramid: list[Tensor] = []
        if not self.decoder:
            return [heads[0](features)]
        for i in reversed(range(len(self.decoder))):
            features = self.decoder[i](torch.cat([self.ups[i](features), skips[i]], dim=1))
            if i < len(heads):
                pyramid.append(heads[i](features))
        return pyramid[::-1]

    def _side_by_side(self, image: Tensor) -> bool:
        return image.is_cpu or norm.fits(image) if self.channels_last is None else self.channels_last

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "UNet":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for weight in self.parameters():  # else every step would lay them out anew, and their gradients back
            if weight.is_cuda and weight.ndim == 2 + AXES and self._side_by_side(weight):
                weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
        return self

    def depths(self) -> dict[str, int]:
        """Give how many stages lie between each parameter and the output, by name, along the longest way.

        Heads and the finest stage of the decoder have 0, the coarsest stage as many as the decoder has
        stages, and the first convolution the most.
        """
        decoded = len(self.decoder)
        found = {}
        for name, _ in self.named_parameters():
            part, number = name.split(".")[:2]
            if part in ("stem", "encoder"):
                found[name] = 2 * decoded - (int(number) if part == "encoder" else 0)
            else:
                found[name] = 0 if part == "heads" else int(number)
        return found

    def finest(self, image: Float[Tensor, "batch channel z y x"]) -> Float[Tensor, "batch output z y x"]:
        """Give the logits of the finest level alone, which is all that prediction needs.

        Args:
            image: Normalised patches.
        """
        logits: Tensor = self(image, levels=1)[0]
        return logits


def _channels_last(image: Tensor) -> Tensor:
    """Lay channels side by side; torch takes a single channel for laid apart unless its strides tell."""
    if image.shape[1] > 1:
        return image.contiguous(memory_format=torch.channels_last_3d)
    z, y, x = image.shape[2:]
    return image.contiguous().as_strided(image.shape, (z * y * x, 1, y * x, x, 1))


def _stage(channels: int, width: int, kernel: Zyx, stride: Zyx, count: int, dropout: float) -> nn.Sequential:
    first = Convolution(channels, width, kernel, stride, dropout=dropout)
    return nn.Sequential(
        first, *(Convolution(width, width, kernel, dropout=dropout) for _ in range(1, count))
    )


def _residual_stage(
    channels: int, width: int, kernel: Zyx, stride: Zyx, count: int, dropout: float
) -> nn.Sequential:
    first = ResidualBlock(channels, width, kernel, stride, dropout)
    return nn.Sequential(
        first, *(ResidualBlock(width, width, kernel, POINT, dropout) for _ in range(1, count))
    )


def _initialise(module: nn.Module) -> None:
    """He's normal weights, no bias; a residual block starts as its shortcut. As nnU-Net starts."""
    if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, ResidualBlock):
        nn.init.zeros_(module.second.norm.weight)


def _check(recipe: dict[str, Any]) -> None:
    stages = len(recipe["widths"])
    wanted = {"strides": stages, "kernels": stages, "blocks": stages, "decoder_blocks": stages - 1}
    wrong = {name: recipe[name] for name, count in wanted.items() if len(recipe[name]) != count}
    if stages < 1 or wrong:
        raise ValueError(
            f"A UNet of {stages} stages (its widths {recipe['widths']}) needs at least one stage, an entry "
            f"of strides, kernels and blocks for each, and one fewer of decoder_blocks; got {wrong}."
        )
    sizes = [tuple(size) for size in (*recipe["strides"], *recipe["kernels"])]
    if any(len(size) != AXES or min(size) < 1 for size in sizes):
        raise ValueError(f"Strides and kernels are three numbers >= 1 each, ordered (z, y, x); got {sizes}.")
    if any(edge % 2 == 0 for kernel in recipe["kernels"] for edge in kernel):
        raise ValueError(f"Kernels must be odd, so that images keep their size; got {recipe['kernels']}.")
    if tuple(recipe["strides"][0]) != POINT:
        raise ValueError(
            f"The first stage works at full size: its stride is (1, 1, 1), got {recipe['strides'][0]}."
        )
    _check_size(recipe)
    most = max(1, stages - 1)
    if not 1 <= recipe["levels"] <= most:
        raise ValueError(
            f"levels must lie between 1 and {most}, the levels the decoder has; got {recipe['levels']}."
        )
    if not 0 <= recipe["dropout"] < 1:
        raise ValueError(
            f"dropout is a chance in [0, 1), got {recipe['dropout']}. A percentage? Divide by 100."
        )


def _check_size(recipe: dict[str, Any]) -> None:
    """Refuse what would take hours and all memory to make, before any of it is made."""
    widths, counts = recipe["widths"], [*recipe["blocks"], *recipe["decoder_blocks"]]
    if min(counts) < 1 or sum(counts) > MOST_CONVOLUTIONS:
        raise ValueError(
            f"Each stage has at least one block, and a network at most {MOST_CONVOLUTIONS}; got blocks "
            f"{recipe['blocks']} and decoder_blocks {recipe['decoder_blocks']}."
        )
    features = [recipe["channels"], recipe["outputs"], *widths]
    if min(features) < 1 or max(features) > MOST_FEATURES:
        raise ValueError(
            f"Channels, outputs and widths lie between 1 and {MOST_FEATURES}; got {recipe['channels']}, "
            f"{recipe['outputs']} and {widths}."
        )
    weights = _count_weights(recipe)
    if weights > MOST_WEIGHTS:
        raise ValueError(
            f"A network of these widths, kernels and blocks has {weights:.2g} weights, where at most "
            f"{MOST_WEIGHTS:.2g} are made. Give fewer or narrower stages."
        )


def _count_weights(recipe: dict[str, Any]) -> int:
    """Count the weights of convolutions and heads, without biases, norms and projections of shortcuts."""
    widths, voxels = recipe["widths"], [math.prod(kernel) for kernel in recipe["kernels"]]
    entering = [recipe["channels"], *widths]
    strides = [math.prod(stride) for stride in recipe["strides"]]
    per_block = 2 if recipe["residual"] else 1
    encoder = sum(
        volume * width * (before + (per_block * count - 1) * width)
        for volume, width, before, count in zip(voxels, widths, entering, recipe["blocks"], strict=False)
    )
    ups = sum(
        below * width * step for (width, below), step in zip(pairwise(widths), strides[1:], strict=True)
    )
    decoder = sum(
        volume * width * (1 + count) * width
        for volume, width, count in zip(voxels, widths, recipe["decoder_blocks"], strict=False)
    )
    return int(encoder + ups + decoder + recipe["outputs"] * sum(widths))


def _zyx(numbers: Sequence[int]) -> Zyx:
    z, y, x = numbers
    return z, y, x
