"""Plan: every decision the data set makes for the network, in one record and one readable YAML."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ingradient_pl.geometry import AXES, Grid
from ingradient_pl.transforms.normalise import Normaliser

Zyx = tuple[int, int, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """All that training and prediction must agree on.

    Axes are the network's: those of the store (or of an array given to ``predict``), in the order that
    ``transpose`` gives.

    Args:
        channels: Channels of the image.
        outputs: Logits per voxel.
        spacing: Size of the network's voxels in mm; None keeps an axis as it comes (the axis a 2D network
            walks along).
        patch: The network's input in voxels.
        batch_size: Patches per step, over all ranks.
        widths: Feature maps of each stage, finest first.
        strides: Of each stage; the first is (1, 1, 1).
        kernels: Of each stage.
        blocks: Convolutions (residual blocks, where ``residual``) of each encoder stage.
        decoder_blocks: Convolutions of each decoder stage, finest first: one fewer than stages.
        normalisation: One normaliser for each channel.
        residual: Whether the encoder is built of residual blocks.
        batch_dice: Whether Dice is taken over the batch as if it were one image.
        transpose: Axis ``i`` of the network is axis ``transpose[i]`` of the case.
        orientation: Patient directions that the case's axes are brought to first, named x, y, z
            (``LPS``); ``stored`` takes the axes as the file has them, as models of nnU-Net do.
        separate_z_above: Resample an axis apart, slice by slice, where voxels are longer along it than
            ``separate_z_above`` times the others.
        notes: How the plan came about, for people: planner, median shape, what was assumed.

    Raises:
        ValueError: If lengths of the per-stage or per-channel entries disagree.
    """

    channels: int
    outputs: int
    spacing: tuple[float | None, float | None, float | None]
    patch: Zyx
    batch_size: int
    widths: tuple[int, ...]
    strides: tuple[Zyx, ...]
    kernels: tuple[Zyx, ...]
    blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    normalisation: tuple[Normaliser, ...]
    residual: bool = False
    batch_dice: bool = False
    transpose: Zyx = (0, 1, 2)
    orientation: str = "LPS"
    separate_z_above: float = 3.0
    notes: dict[str, object] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("spacing", "patch", "widths", "blocks", "decoder_blocks", "normalisation", "transpose"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # YAML knows lists only
        for name in ("strides", "kernels"):
            object.__setattr__(self, name, tuple(_zyx(name, entry) for entry in getattr(self, name)))
        _zyx("patch", self.patch)
        _zyx("spacing", self.spacing)
        self._check_lengths()

    def _check_lengths(self) -> None:
        stages = len(self.widths)
        wanted = {
            "strides": stages,
            "kernels": stages,
            "blocks": stages,
            "decoder_blocks": stages - 1,
            "normalisation": self.channels,
        }
        for name, count in wanted.items():
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"The plan has {stages} stages (its widths) and {self.channels} channels, so '{name}' "
                    f"needs {count} entries; got {len(getattr(self, name))}: {getattr(self, name)}."
                )
        reach = [math.prod(stride[axis] for stride in self.strides) for axis in range(AXES)]
        if any(size % factor for size, factor in zip(self.patch, reach, strict=True)):
            raise ValueError(
                f"A patch of {self.patch} voxels cannot be halved as the strides ask: "
                f"it must be a multiple of {tuple(reach)}."
            )

    def grid(self, native: Grid) -> Grid:
        """Give the grid of a whole case at the network's spacing; ``native`` has the network's axes."""
        return native.respaced(self.spacing)

    def patch_grid(self, native: Grid) -> Grid:
        """Give the network's input as a grid, its kept axes as long as those of ``native``."""
        pairs = zip(self.spacing, native.spacing, strict=True)
        return Grid.of(self.patch, [old if mm is None else mm for mm, old in pairs])


def _zyx(name: str, entry: Sequence[T]) -> tuple[T, T, T]:
    if len(entry) != AXES:
        raise ValueError(f"'{name}' of a plan needs three numbers, ordered (z, y, x); got {list(entry)}.")
    z, y, x = entry
    return z, y, x
