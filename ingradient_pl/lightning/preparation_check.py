"""Whether an accelerator normalises and resamples patches as the host does."""

from collections.abc import Sequence

import torch

from ingradient_pl.lightning.convolution_check import DeviceError, describe_versions, to_host
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.patch import Patch
from ingradient_pl.transforms.prepare_batch import Prepare

INTENSITY = 1e-2
"""Largest difference of a normalised intensity over the largest intensity."""
LABELS = 1e-2
"""Largest share of voxels with another label: where two labels weigh the same, rounding decides."""


def check_preparation(prepare: Prepare, patches: Sequence[Patch], device: torch.device) -> None:
    """Compare how a device and the host make network input of patches.

    Args:
        prepare: Of the run.
        patches: As they were read.
        device: Where batches are prepared.

    Raises:
        DeviceError: If intensities or labels differ; the message names how the patches were resampled.
    """
    expected = prepare(patches)
    packed = Packing(prepare.shape, prepare.masked, prepare.label_order)(patches)
    found = prepare(packed.to(device))
    largest = float(expected.image.abs().max().clamp_min(1e-6))
    off = float((to_host(found.image) - to_host(expected.image)).abs().max()) / largest
    others = float((found.label.cpu() != expected.label).double().mean())
    if off <= INTENSITY and others <= LABELS:
        return
    kinds = " and ".join(sorted({group.kind for group in packed.groups}))
    raise DeviceError(
        f"Resampling patches ({kinds}) on {describe_versions(device)} gives intensities that are off by "
        f"{off:.2g} of the largest, and other labels in {others:.2%} of the voxels: this run would learn "
        "from wrong data. Take another torch, or trainer=cpu."
    )
