"""Patches of made-up cases, as they come from a store."""

from types import SimpleNamespace

import numpy as np
import torch

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.draws.oversampling import FixedShare
from ingradient_pl.draws.records import Candidate
from ingradient_pl.draws.training import PlannedDraws
from ingradient_pl.geometry import Grid
from ingradient_pl.transforms.patch import Patch
from ingradient_pl.transforms.patch_sampling import PatchSampling
from ingradient_pl.transforms.resampling_rule import Rule

STILL = RandomAffine(rotation_p=0, scaling_p=0, mirror=(False, False, False))
MIRRORED = RandomAffine(rotation_p=0, scaling_p=0, mirror_p=1.0)
SCALED = RandomAffine(rotation_p=0, scaling_p=1)
TURNED = RandomAffine(rotation_p=1, scaling_p=1, flat=False)
FLAT = RandomAffine(rotation_p=1, scaling_p=1, flat=True)
MIXED = RandomAffine(rotation_p=0.4, scaling_p=0.4, flat=False)


def voxels_of(grid, classes=3, channels=1, dtype=np.int16, seed=0):
    """An image with noise, and a label of blobs that hold ``classes`` integers."""
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=[-(-count // 4) for count in grid.shape])
    for axis, count in enumerate(grid.shape):
        label = label.repeat(4, axis).take(range(1, count + 1) if count % 4 else range(count), axis)
    image = rng.normal(100, 5, (channels, *grid.shape)) + 50 * label
    return image.astype(dtype), label.astype(np.uint8 if classes <= 256 else np.uint16)


def sampling_of(native, draw, draws, rule=Rule()):  # noqa: B008
    """What of a case is read for a draw, and the way from there."""
    plan = SimpleNamespace(patch=draws.patch, spacing=draws.spacing, rule=rule)
    return PatchSampling.of(native, draw, plan, draws.margin)


def patch_of(number, native, shape, spacing, affine, *, image, label, body=None, extra=None, **how):
    """Patch ``number`` of a run on one case."""
    draws = PlannedDraws(
        shape,
        spacing,
        affine=affine,
        elastic=how.get("elastic"),
        oversampling=FixedShare(0.0),
        cases_per_batch=1,
    )
    draw = draws.draw(number, [Candidate("case", native, {}, ())])
    wanted = sampling_of(native, draw, draws, how.get("rule", Rule()))
    cut = torch.from_numpy(image[(slice(None), *wanted.image_box.slices)].copy())
    part = torch.from_numpy(label[wanted.label_box.slices].copy())
    inside = None if body is None else torch.from_numpy(body[wanted.image_box.slices].copy())
    mean, std = float(image.mean()), float(image.std())
    terms = torch.tensor([[float(image.min()) + 5, float(image.max()) - 5, mean, std]] * len(image))
    more = None if extra is None else torch.from_numpy(extra[wanted.label_box.slices].copy())
    return Patch("case", number, cut, part, wanted.start, inside, terms, wanted.sampling, extra=more)


def some(native, shape, spacing, affines, *, classes=3, channels=1, dtype=np.int16, body=False, **how):
    """One patch for each affine."""
    native = Grid(*native) if not isinstance(native, Grid) else native
    image, label = voxels_of(native, classes, channels, dtype)
    inside = label > 0 if body else None
    return [
        patch_of(number, native, shape, spacing, affine, image=image, label=label, body=inside, **how)
        for number, affine in enumerate(affines)
    ]
