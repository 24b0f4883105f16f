"""Answers each order (the stem of an .npz) with the seconds nnU-Net takes for it, of several in a row."""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

IN_A_ROW = 3

for line in sys.stdin:
    file = Path(line.strip()).with_suffix(".npz")
    case = np.load(file)
    image = case["image"][None]
    grids = case["new"], case["spacing"], case["new_spacing"]
    resample = partial(
        resample_data_or_seg_to_shape, image, *grids, order=3, order_z=0, force_separate_z=None
    )
    resample()
    start = time.perf_counter()
    for _ in range(IN_A_ROW):
        found = resample()
    seconds = (time.perf_counter() - start) / IN_A_ROW
    np.save(file.with_name(f"{file.stem}_theirs.npy"), found[0])
    print(seconds, flush=True)
