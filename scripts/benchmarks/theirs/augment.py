"""Answers each order (a seed) with the CPU seconds nnU-Net's transforms take for one patch of 128 cubed."""

import sys
import time

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import get_patch_size, nnUNetTrainer

PATCH, TURN = (128, 128, 128), 30 / 360 * 2 * np.pi

torch.set_num_threads(1)
scales = [[1 / 2**level] * 3 for level in range(5)]  # of the plan for 128 cubed
transforms = nnUNetTrainer.get_training_transforms(PATCH, (-TURN, TURN), scales, (0, 1, 2), False)
read = get_patch_size(PATCH, *[(-TURN, TURN)] * 3, (0.85, 1.25))
image = torch.randn((1, *map(int, read)), generator=torch.Generator().manual_seed(0))
axes = [torch.arange(count) - count / 2 for count in image.shape[1:]]
away = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij"))
label = ((away < 50**2).to(torch.int16) + (away < 20**2))[None]  # an organ, and a lesion in it
for line in sys.stdin:
    np.random.seed(int(line))  # noqa: NPY002
    torch.manual_seed(int(line))
    start = time.process_time()
    transforms(image=image.clone(), segmentation=label.clone())
    print(time.process_time() - start, flush=True)
