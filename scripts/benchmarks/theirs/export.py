"""nnU-Net's export of ready logits (resample, decide, put back) on the same grids; print the seconds."""

import json
import sys
import time
from types import SimpleNamespace

import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from nnunetv2.utilities.label_handling.label_handling import LabelManager

NATIVE, WANTED = 0.8, 1.5


def probabilities(data, new_shape, current, new):
    """As its plans ask for."""
    settings = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return resample_data_or_seg_to_shape(data, new_shape, current, new, **settings)


def main(slices: int, classes: int) -> None:
    shape = (slices, 512, 512)
    network = [round(NATIVE / WANTED * count) for count in shape]
    labels = LabelManager({"background": 0, **{f"organ_{i}": i for i in range(1, classes)}}, None)
    plans = SimpleNamespace(transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2])
    configuration = SimpleNamespace(spacing=[WANTED] * 3, resampling_fn_probabilities=probabilities)
    properties = {
        "spacing": [NATIVE] * 3,
        "shape_after_cropping_and_before_resampling": shape,
        "shape_before_cropping": shape,
        "bbox_used_for_cropping": [[0, count] for count in shape],
    }
    logits = torch.randn(classes, *network)
    start = time.perf_counter()
    convert_predicted_logits_to_segmentation_with_correct_shape(
        logits, plans, configuration, labels, properties, num_threads_torch=torch.get_num_threads()
    )
    print(json.dumps({"seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
