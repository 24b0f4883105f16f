"""A data set of synthetic cases in nnU-Net's raw layout: what to try the commands on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.datasets.phantom import phantom
from ingradient_pl.files import replace_file, whole_file
from ingradient_pl.images import nifti
from ingradient_pl.images.frame import Frame

WRITTEN_BY = "ingradient_pl phantoms"
"""Tells a folder of phantoms, which may be written again, from a data set."""


def write_phantoms(
    folder: Path,
    cases: int = 5,
    shape: Sequence[int] = (20, 24, 28),
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
    seed: int = 0,
    channels: int = 1,
) -> Path:
    """Write a data set of phantoms in nnU-Net's raw layout: what to try the commands on.

    Args:
        folder: Where to; it is made.
        cases: How many patients, named ``phantom_000`` and on.
        shape: Voxels along (z, y, x); each case is up to two voxels larger along every axis.
        spacing: Size of a voxel in mm along (z, y, x).
        seed: Of the data set; case ``i`` depends on ``(seed, i)`` alone.
        channels: Channels of each image.

    Returns:
        The folder.
    """
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(cases):
        rng = np.random.default_rng([seed, number])
        grown = [int(count + rng.integers(3)) for count in shape]
        image, label = phantom(grown, spacing, rng, channels)
        for channel, voxels in enumerate(image):
            _write(folder / "imagesTr" / f"phantom_{number:03d}_{channel:04d}.nii.gz", voxels, spacing)
        _write(folder / "labelsTr" / f"phantom_{number:03d}.nii.gz", label, spacing)
    names = {"0": "MR"} | {str(channel): f"MR{channel}" for channel in range(1, channels)}
    table = {
        "name": folder.name,
        "channel_names": names,
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "written_by": WRITTEN_BY,
    }
    replace_file(folder / "dataset.json", json.dumps(table, indent=2).encode())
    return folder


def _write(path: Path, voxels: NDArray[np.generic], spacing: Sequence[float]) -> None:
    frame = Frame.of(spacing, (0.0, 0.0, 0.0), np.eye(3).ravel())
    with whole_file(path) as temporary:
        nifti.write(temporary, voxels[None], frame, None)
