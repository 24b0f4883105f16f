"""Answers each order (the stem of an .npz) with the seconds nnU-Net takes to resample it a second time."""

import sys
import time
from pathlib import Path

import numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

for line in sys.stdin:
    file = Path(line.strip()).with_suffix(".npz")
    case = np.load(file)
    image = case["image"][None]
    grids = case["new"], case["spacing"], case["new_spacing"]
    for _ in range(2):
        start = time.perf_counter()
        found = resample_data_or_seg_to_shape(image, *grids, order=3, order_z=0, force_separate_z=None)
        seconds = time.perf_counter() - start
    np.save(file.with_name(f"{file.stem}_theirs.npy"), found[0])
    print(seconds, flush=True)
