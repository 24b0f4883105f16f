"""Cases that stay in the device's memory while a run trains: patches are cut there, and nothing is read."""

from collections.abc import Sequence

import numpy as np
import torch

from ingradient_pl.geometry import Box
from ingradient_pl.store.records import StoredCase
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.transforms.resident_cases import ResidentCases, ResidentLayout

SHARE = 0.3
KEPT_TYPES = ("uint8", "int8", "int16", "int32", "float32")
"""Image types that devices interpolate; others are kept as 32 bit floats."""


def plan_residence(store: AnyCases, names: Sequence[str], *, bodies: bool) -> ResidentLayout:
    """Give cases their places in a device's memory; no voxel is read.

    Args:
        store: Where they are.
        names: The cases.
        bodies: Whether bodies are kept too.
    """
    cases = [store.cases[name] for name in names]
    starts, start = dict[str, int](), 0
    for case in cases:
        starts[case.name] = start
        start += int(np.prod(case.grid.shape, dtype=np.int64))
    dtypes = {case.dtype for case in cases}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    largest = max([0, *store.task.values, *(value for case in cases for value in case.classes)])
    label_dtype = torch.uint8 if largest <= np.iinfo(np.uint8).max else torch.int32
    return ResidentLayout(
        starts,
        {case.name: case.grid.shape for case in cases},
        len(store.task.channels),
        getattr(torch, dtype if dtype in KEPT_TYPES else "float32"),
        label_dtype,
        largest + 1,
        bodies,
    )


def keep_on_device(store: AnyCases, layout: ResidentLayout, device: torch.device) -> ResidentCases:
    """Read whole cases into a device's memory.

    Args:
        store: Opened with the plan's axes.
        layout: Which cases, and where each goes.
        device: Mostly a GPU with room for ``layout``.

    Raises:
        StoreError: If one cannot be read; it names the case and the file.
    """
    resident = ResidentCases.empty(layout, device)
    for name in layout.starts:
        case: StoredCase = store.cases[name]
        voxels = store.read(name, Box((0, 0, 0), case.grid.shape), body=layout.has_bodies)
        image = torch.from_numpy(np.ascontiguousarray(voxels.image)).to(layout.dtype)
        label = torch.from_numpy(np.ascontiguousarray(voxels.label)).to(layout.label_dtype)
        body = None if voxels.body is None else torch.from_numpy(np.ascontiguousarray(voxels.body))
        resident.fill(name, image, label, body)
    return resident


def why_not(layout: ResidentLayout, device: torch.device, share: float) -> str | None:
    """Say why cases do not stay on a device; None where they fit.

    Args:
        layout: Of the cases.
        device: Whose memory.
        share: Of its free memory that they may take; a host's is not looked at.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    if layout.size <= share * free:
        return None
    return (
        f"The {len(layout.starts)} training cases need {layout.size / 1e9:.1f} GB on {device}, more than "
        f"data.resident_share={share:g} of the {free / 1e9:.1f} GB that are free: patches are read from the "
        "store. With data.resident=false this is not looked at."
    )
