"""What window weights and batches are compared with."""

import torch
from scipy.ndimage import gaussian_filter


def gaussian_map(patch):
    """nnU-Net's weights, as its paper and source define them."""
    spike = torch.zeros(patch, dtype=torch.float64).numpy()
    spike[tuple(length // 2 for length in patch)] = 1
    weights = gaussian_filter(spike, [length / 8 for length in patch], 0, mode="constant")
    return torch.from_numpy(weights / weights.max() * 10)
