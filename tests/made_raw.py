"""A small data set in nnU-Net's raw layout whose files a test then changes."""

import json

import nibabel
import numpy as np

SHAPE = (10, 12, 8)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def image(seed=0, shape=SHAPE):
    """Voxels (x, y, z) of which no two cases are alike, all above zero."""
    return np.random.default_rng(seed).integers(1, 200, shape).astype(np.int16)


def label(seed=0, shape=SHAPE):
    """A structure of 1, of another size in each case."""
    made = np.zeros(shape, np.uint8)
    made[2 : 5 + seed % 4, 3:9, 2:6] = 1
    return made


def save(path, voxels, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def raw_data(folder, cases=3, channels=("MR",), **described):
    """Write the data set: ``case0``, ``case1``, ..."""
    for case in range(cases):
        for channel in range(len(channels)):
            save(folder / "imagesTr" / f"case{case}_{channel:04d}.nii.gz", image(10 * case + channel))
        save(folder / "labelsTr" / f"case{case}.nii.gz", label(case))
    plain = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {"background": 0, "organ": 1},
        "file_ending": ".nii.gz",
        **described,
    }
    (folder / "dataset.json").write_text(json.dumps(plain))
    return folder
