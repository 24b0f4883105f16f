"""Ask nnU-Net to resample, and keep some of its answers for the tests.

Run it where nnU-Net 2.8.1 is installed: python scripts/nnunet_resampling_oracle.py
It writes tests/expected/nnunet_resampling.json.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

CASES = [  # shape, spacing, new shape, new spacing: plain, separate z, its direction, ties
    ((13, 21, 18), (1.5, 1.0, 1.2), (20, 26, 15), (1.0, 0.8, 1.44)),
    ((7, 24, 22), (5.0, 0.8, 0.8), (9, 19, 18), (4.0, 1.0, 1.0)),
    ((12, 16, 14), (2.0, 2.0, 2.0), (4, 20, 18), (7.0, 1.6, 1.6)),
    ((10, 9, 17), (1.0, 4.0, 1.0), (12, 9, 14), (0.83, 4.0, 1.21)),
    ((9, 12, 11), (3.0, 3.0, 0.6), (14, 18, 7), (1.93, 2.0, 0.95)),
]
resample = partial(resample_data_or_seg_to_shape, order_z=0, force_separate_z=None)


def answers(number: int, shape: tuple, spacing: tuple, new: tuple, new_spacing: tuple) -> dict:
    """Forty voxels of the image, of its linear version and of the label; moments of all of them."""
    rng = np.random.default_rng(number)
    image = rng.normal(size=(1, *shape))
    label = (rng.random((1, *shape)) * 4).astype(np.int16)
    at = rng.integers(0, np.prod(new), 40)
    found = {"shape": shape, "spacing": spacing, "new": new, "new_spacing": new_spacing, "at": at.tolist()}
    for name, order in {"image": 3, "linear": 1}.items():
        values = resample(image, new, spacing, new_spacing, is_seg=False, order=order)
        found[name] = [round(float(value), 12) for value in values.ravel()[at]]
        found[f"{name}_moments"] = [float(values.mean()), float(values.std())]
    labels = resample(label, new, spacing, new_spacing, is_seg=True, order=1).ravel().astype(int)
    return found | {"label": labels[at].tolist(), "label_counts": np.bincount(labels, minlength=4).tolist()}


if __name__ == "__main__":
    file = Path(__file__).parents[1] / "tests/expected/nnunet_resampling.json"
    file.write_text(
        json.dumps([answers(number, *case) for number, case in enumerate(CASES)]), encoding="utf-8"
    )
