"""Whether training cases shall stay in the device's memory, as the setting and the data say."""

import torch

from ingradient_pl.lightning.run_log import tell


def wants_residence(resident: bool | str, device: torch.device, *, further: bool) -> bool:  # noqa: FBT001
    """Say whether to look for room on the device; what was asked for and cannot be is told.

    Args:
        resident: The setting: True, False, or "auto", which wants it on CUDA.
        device: Of the run.
        further: Whether cases have further volumes, which are read from the store.
    """
    if further and resident is True:
        tell("data.resident=true: cases with further volumes are read from the store all the same.")
    return not further and (resident is True or (resident == "auto" and device.type == "cuda"))
