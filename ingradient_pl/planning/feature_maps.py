"""nnU-Net's judgement of memory: values in the outputs of all convolutions of a UNet."""

from dataclasses import dataclass

from typing_extensions import override

from ingradient_pl.geometry import AXES
from ingradient_pl.planning.memory import Architecture, Memory


@dataclass(frozen=True)
class FeatureMaps(Memory):
    """nnU-Net's judgement: values in the outputs of all convolutions, against a network of known appetite.

    Args:
        values_3d: Values that a 3D network may hold for each pair of patches.
        values_2d: Values that a 2D network may hold for each dozen of patches.
        gigabytes: Memory that either of them takes; more memory holds more in proportion.
    """

    values_3d: float = 560e6
    values_2d: float = 85e6
    gigabytes: float = 8.0

    @override
    def patches(self, architecture: Architecture, gigabytes: float) -> float:
        flat = len(architecture.topology.patch) < AXES
        values, batch = (self.values_2d, 12) if flat else (self.values_3d, 2)
        return values * (gigabytes / self.gigabytes) / feature_maps(architecture) * batch

    @override
    def notes(self, architecture: Architecture) -> dict[str, object]:
        return {"memory_judged_by": "values in feature maps", "feature_maps": feature_maps(architecture)}


def feature_maps(architecture: Architecture) -> int:
    """Count the values in the outputs of all convolutions of a UNet, for one patch.

    Encoder and decoder stages count each convolution, decoder stages their transposed one too, residual
    blocks two and one more where their shortcut convolves; of the heads only the finest counts, with a map
    for every named label.

    Source: nnU-Net 2.8.1, whose networks count themselves.

    Args:
        architecture: Network and patch.
    """
    stages = [
        width * count for width, count in zip(architecture.widths, architecture.topology.voxels, strict=True)
    ]
    encoder = sum(blocks * values for blocks, values in zip(architecture.blocks, stages, strict=True))
    if architecture.residual:
        stem, shortcuts = stages[0], sum(stages[1:])
        encoder = stem + 2 * encoder + shortcuts
    decoded = zip(architecture.decoder_blocks, stages[:-1], strict=True)
    decoder = sum((blocks + 1) * values for blocks, values in decoded)
    head = architecture.labels * architecture.topology.voxels[0] if len(stages) > 1 else 0
    return encoder + decoder + head
