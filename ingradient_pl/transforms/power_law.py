"""Gamma correction of volumes: powers of the grey scale between darkest and brightest voxel."""

from collections.abc import Sequence

import torch

from ingradient_pl.transforms.resample import on_host
from ingradient_pl.transforms.volumes import Numbers, Volumes, ranges, take_moments_

SMALLEST = 1e-7


def bend(volumes: Volumes, bends: Sequence[tuple[Numbers, bool]], *, keep_moments: bool) -> Volumes:
    """Raise volumes to powers, one after the other, on a scale from 0 (darkest) to 1 (brightest).

    Args:
        volumes: Changed in place, or not.
        bends: Exponents, and whether they act on the inverted scale, from 0 (brightest) to 1 (darkest).
        keep_moments: Whether each volume gets back its mean and standard deviation at the end.
    """
    mean, std, mean_now = take_moments_(volumes)
    low, high = ranges(volumes)
    inverted = bends[0][1]
    zero, span = (high, low - high) if inverted else (low, high - low)
    span = span.clamp(max=-SMALLEST) if inverted else span.clamp(min=SMALLEST)
    volumes = volumes.sub_(zero).div_(span)
    for gamma, inverts in bends:
        if inverts != inverted:  # what is rounded must not fall below zero, or it has no power
            volumes, inverted = (1 - volumes).clamp_(min=0), inverts
        volumes.pow_(gamma)
    if not keep_moments:
        return volumes.mul_(span).add_(zero + (mean - mean_now))
    return _restore(volumes, mean, -std if inverted else std)


def _restore(volumes: Volumes, mean: Numbers, std: Numbers) -> Volumes:
    """Give volumes the mean and the deviation that they had; a negative deviation inverts them."""
    _, std_now, mean_now = take_moments_(volumes)
    ratio = std / std_now.clamp(min=SMALLEST)
    if on_host(volumes):
        return volumes.mul_(ratio).add_(mean)
    return torch.addcmul(torch.addcmul(mean, mean_now, ratio, value=-1), volumes, ratio)
