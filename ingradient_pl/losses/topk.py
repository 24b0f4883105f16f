"""Cross entropy of the voxels that are hardest."""

from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ingradient_pl.losses.known_outputs import merge_unknown

NOWHERE = -100
"""An integer that no label has."""


class TopKCE(nn.Module):
    """Mean cross entropy of the share of voxels where it is highest.

    Args:
        share: Of the voxels of a batch, in (0, 1]; 1 is the plain cross entropy. Where several processes
            train, each takes the share of its own part.
        ignore: Integer of voxels that nobody annotated; None if there are none.

    Raises:
        ValueError: If ``share`` is not a share.

    Source: Wu et al. 2016, https://arxiv.org/abs/1605.06885; equal to nnU-Net's for ``share=0.1``.
    """

    regions: None = None  # each voxel has one label

    def __init__(self, share: float = 0.1, *, ignore: int | None = None) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise ValueError(
                f"share of the voxels must lie in (0, 1], got {share}. A percentage? Divide by 100."
            )
        self.share, self.ignore = share, ignore

    @override
    def forward(
        self,
        logits: Float[Tensor, "batch output z y x"],
        label: Integer[Tensor, "batch z y x"],
        known: Bool[Tensor, "batch output"] | None = None,
    ) -> Float[Tensor, ""]:
        ignored = NOWHERE if self.ignore is None else self.ignore
        merged = merge_unknown(logits.float(), known)
        entropy = F.cross_entropy(merged, label.long(), ignore_index=ignored, reduction="none")
        hardest = max(1, int(entropy.numel() * self.share))
        return entropy.flatten().topk(hardest, sorted=False).values.mean()
