"""Presets: nnU-Net's four published budgets, each with the network it was tuned for."""

from dataclasses import dataclass, field, replace

from ingradient_pl.planning.feature_maps import FeatureMaps
from ingradient_pl.planning.memory import Memory


@dataclass(frozen=True)
class Preset:
    """The kind of network and the budget it may use.

    Args:
        blocks: Convolutions (residual blocks, where ``residual``) of each encoder stage, finest first; the
            last entry goes on for deeper stages.
        decoder_blocks: Convolutions of every decoder stage.
        residual: Whether the encoder is built of residual blocks.
        memory_gb: Memory of the GPU that is planned for.
        memory: Judges how many patches fit into it.
        fit_2d: Patches that must fit before a 2D patch stops shrinking.
        fit_3d: The same for 3D.
        data_share: The most of the data set, in voxels, that one batch may hold, as a share in [0, 1].
        width: Feature maps of the finest stage; each further stage has twice as many,
        widest_2d: up to this many in 2D
        widest_3d: and this many in 3D.
        edge: Voxels that an axis keeps at the coarsest stage, where it is halved at all.

    Raises:
        ValueError: If a number is not positive or the share not in [0, 1].
    """

    blocks: tuple[int, ...] = (2,)
    decoder_blocks: int = 2
    residual: bool = False
    memory_gb: float = 8.0
    memory: Memory = field(default_factory=FeatureMaps)
    fit_2d: int = 2
    fit_3d: int = 2
    data_share: float = 0.05
    width: int = 32
    widest_2d: int = 512
    widest_3d: int = 320
    edge: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        names = ("decoder_blocks", "memory_gb", "fit_2d", "fit_3d", "width", "widest_2d", "widest_3d", "edge")
        wrong = {name: getattr(self, name) for name in names if not getattr(self, name) > 0}
        if wrong or not self.blocks or min(self.blocks) < 1:
            raise ValueError(f"A preset needs positive numbers; got {wrong or {'blocks': self.blocks}}.")
        if not 0 < self.data_share <= 1:
            raise ValueError(
                f"data_share must lie in (0, 1], got {self.data_share}. A percentage? Divide it by 100."
            )


RESENC_BLOCKS = (1, 3, 4, 6)

DEFAULT = Preset()
RESENC_M = Preset(
    blocks=RESENC_BLOCKS,
    decoder_blocks=1,
    residual=True,
    memory_gb=8.0,
    memory=FeatureMaps(680e6, 135e6, gigabytes=8.0),
    fit_2d=12,
    data_share=1.0,
)
RESENC_L = replace(RESENC_M, memory_gb=24.0, memory=FeatureMaps(2.1e9, 380e6, gigabytes=24.0))
RESENC_XL = replace(RESENC_M, memory_gb=40.0, memory=FeatureMaps(3.6e9, 560e6, gigabytes=40.0))
PRESETS = {"default": DEFAULT, "resenc_m": RESENC_M, "resenc_l": RESENC_L, "resenc_xl": RESENC_XL}
