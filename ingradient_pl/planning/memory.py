"""Memory: how many patches a network can be trained on at once, judged before it is built."""

from typing import NamedTuple

from ingradient_pl.planning.topology import Topology


class Architecture(NamedTuple):
    """A network that a planner considers.

    Args:
        topology: Patch, strides and kernels, along two or three axes.
        widths: Feature maps of each stage, finest first.
        blocks: Convolutions (residual blocks, where ``residual``) of each encoder stage.
        decoder_blocks: Convolutions of each decoder stage.
        residual: Whether the encoder is built of residual blocks.
        channels: Channels of the image.
        outputs: Logits per voxel.
        labels: Names of labels, background included: what nnU-Net counts instead of outputs.
    """

    topology: Topology
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    residual: bool
    channels: int
    outputs: int
    labels: int


class Memory:
    """What every judge of memory is: a frozen dataclass of settings with three answers."""

    def patch(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Give the patch (z, y, x) that the network takes where ``patch`` is wanted; mostly that itself.

        Args:
            patch: Voxels (z, y, x).
        """
        return patch

    def patches(self, architecture: Architecture, gigabytes: float) -> float:
        """Give how many patches fit into the memory of a GPU; less than 1 where not even one does.

        Args:
            architecture: Network and patch.
            gigabytes: Memory of the GPU.
        """
        raise NotImplementedError

    def notes(self, architecture: Architecture) -> dict[str, object]:
        """Give what was assumed, in plain values for people to read.

        Args:
            architecture: Network and patch.
        """
        raise NotImplementedError
