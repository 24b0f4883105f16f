"""10,000 draws of each change against 10,000 of nnU-Net's own, whose moments are kept beside the tests.

Ours differs on purpose in what is not looked at here: a patch that is only scaled is read by cubic splines
and mirrored in the same step, where nnU-Net interpolates linearly and flips afterwards; the turn about y has
the other sign, whose range is the same. How an image follows its affine is tested in test_resample.py.
"""

import json
from dataclasses import replace
from pathlib import Path

import effects
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from shapes import unchecked

from ingradient_pl.draws.affine import RandomAffine
from ingradient_pl.geometry import Grid
from ingradient_pl.transforms.augment import NNUNET, Augment
from ingradient_pl.transforms.gaussian_noise import GaussianNoise
from ingradient_pl.transforms.intensity import BodyMask
from ingradient_pl.transforms.intensity_da5 import DA5

EXPECTED = json.loads(
    (Path(__file__).parent / "expected/nnunet_augmentation.json").read_text(encoding="utf-8")
)
ERRORS = 4.5
"""Standard errors of a difference that chance may make: about 400 moments are looked at."""

CHANGES = dict(zip(effects.INTENSITIES, NNUNET, strict=False))
LOOKS = {**effects.INTENSITIES, "low resolution, flat": effects.smoothing}
WRONG = [  # ends of ranges, off by 5 % of themselves; of the width where the end is zero
    ("noise", {"sigma": (0.005, 0.1)}),
    ("noise", {"sigma": (0.0, 0.105)}),
    ("blur", {"sigma": (0.5, 1.05)}),
    ("brightness", {"factor": (0.7125, 1.25)}),
    ("brightness", {"factor": (0.75, 1.3125)}),
    ("contrast", {"factor": (0.7125, 1.25)}),
    ("contrast", {"factor": (0.75, 1.3125)}),
    ("low resolution", {"factor": (0.475, 1.0)}),
    ("low resolution", {"factor": (0.5, 0.95)}),
    ("inverted gamma", {"gamma": (0.665, 1.5)}),
    ("inverted gamma", {"gamma": (0.7, 1.575)}),
    ("inverted gamma", {"inverted": False}),
    ("gamma", {"gamma": (0.665, 1.5)}),
    ("gamma", {"gamma": (0.7, 1.575)}),
    ("contrast", {"keep_range": False}),
    ("gamma", {"keep_moments": False}),
]
WRONG_MOTIONS = [
    ("cube", {"rotation": 28.5}),
    ("cube", {"rotation": (-30.0, 31.5)}),
    ("cube", {"scaling": (0.665, 1.4)}),
    ("cube", {"scaling": (0.7, 1.47)}),
    ("cube", {"rotation_axis_p": 0.95}),
    ("flat", {"flat_rotation": 171.0}),
    ("flat", {"flat": False}),
    ("long slice", {"flat_rotation": 15.75}),
]


def change(name):
    return CHANGES[name.removesuffix(", flat")]


def seen(transform, name, look, seed=0):
    """What was seen in each of 10,000 draws."""
    image = effects.known(effects.FLAT if name.endswith("flat") else effects.SHAPE)
    rng, found = np.random.default_rng(seed), []
    for _ in range(effects.DRAWS // effects.BATCH):
        batch = torch.from_numpy(np.repeat(image[None], effects.BATCH, 0))
        after = transform(batch, [rng] * effects.BATCH).numpy()
        found.append(look(image.astype(np.float64), after.astype(np.float64)))
    return effects.moments({key: np.concatenate([one[key] for one in found]) for key in found[0]})


def effect(transform, name, seed=0):
    certain = {"p": 1.0, **({"channel_p": 1.0} if hasattr(transform, "channel_p") else {})}
    return seen(replace(transform, **certain), name, LOOKS[name], seed)


def drawn(affine, rng, grid):
    """10,000 matrices; the checker of shapes looks at the first."""
    first = affine.draw(rng, grid)
    with unchecked():
        return np.array([first, *(affine.draw(rng, grid) for _ in range(effects.DRAWS - 1))])


def matrices(affine, kind, seed=0):
    rng, patch = np.random.default_rng(seed), effects.PATCH[kind]
    grid = Grid.of((1,) * (3 - len(patch)) + patch, (1.0, 1.0, 1.0))
    found = drawn(affine, rng, grid)
    return found if affine.is_flat(grid) is False else found[:, 1:, 1:]


def affine(kind, **settings):
    """The default affine, but always turned and scaled, and never mirrored."""
    sure = {"rotation_p": 1.0, "scaling_p": 1.0, "mirror_p": 0.0}
    return effects.moments(effects.affine(matrices(RandomAffine(**{**sure, **settings}), kind)))


def agree(ours, theirs):
    return max(effects.apart(ours, theirs).values()) < ERRORS


def shown(ours, theirs):
    apart = effects.apart(ours, theirs)
    return {name: (errors, ours[name], theirs[name]) for name, errors in apart.items() if errors >= ERRORS}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKS)
def test_patches_and_channels_are_changed_as_often_as_nnunets(name):
    expected = EXPECTED["intensities"][name]
    assert change(name).p == expected["p"]
    assert getattr(change(name), "channel_p", 1.0) == expected["channel_p"]
    assert not shown(seen(change(name), name, effects.touched), expected["often"])
    rarer = replace(change(name), p=change(name).p * 0.7)  # 10,000 draws tell 0.1 from 0.08, not from 0.095
    assert not agree(seen(rarer, name, effects.touched), expected["often"])


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKS)
def test_a_change_does_what_nnunets_does(name):
    assert not shown(effect(change(name), name), EXPECTED["intensities"][name]["effect"])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=str)
def test_a_range_five_percent_off_is_noticed(name, wrong):
    assert not agree(effect(replace(change(name), **wrong), name), EXPECTED["intensities"][name]["effect"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", effects.PATCH)
def test_patches_are_turned_scaled_and_mirrored_as_often_as_nnunets(kind):
    expected = EXPECTED["affines"][kind]
    often = effects.moments(effects.moved(matrices(RandomAffine(mirror_p=0.0), kind)))
    assert not shown(often, expected["often"])
    # nnU-Net flips the dummy-2D patch after it is 3D again: z may be mirrored though it is not turned
    still, rng = RandomAffine(rotation_p=0.0, scaling_p=0.0), np.random.default_rng(0)
    patch = effects.PATCH[kind]
    grid = Grid.of((1,) * (3 - len(patch)) + patch, (1.0, 1.0, 1.0))
    signs = np.array([np.diag(matrix) for matrix in drawn(still, rng, grid)])
    assert not shown(effects.moments(effects.mirrored(signs[:, -len(patch) :])), expected["mirrored"])


@pytest.mark.parametrize("kind", effects.PATCH)
def test_angles_and_factors_are_nnunets(kind):
    assert not shown(affine(kind), EXPECTED["affines"][kind]["effect"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "wrong"), WRONG_MOTIONS, ids=str)
def test_a_motion_five_percent_off_is_noticed(kind, wrong):
    if wrong.get("flat") is False:  # turned about all axes, the slices leave their plane
        assert matrices(RandomAffine(**wrong), kind).shape[1] == 3
        return
    assert not agree(affine(kind, **wrong), EXPECTED["affines"][kind]["effect"])


def test_the_changes_come_in_nnunets_order_and_the_config_has_them():
    names = {"noise": "GaussianNoise", "blur": "GaussianBlur", "brightness": "MultiplicativeBrightness"}
    names |= {"contrast": "Contrast", "low resolution": "SimulateLowResolution"}
    names |= {"inverted gamma": "Gamma", "gamma": "Gamma"}
    assert [f"{names[name]}Transform" for name in CHANGES] == EXPECTED["order"]
    assert isinstance(NNUNET[len(CHANGES)], BodyMask)
    for name, expected in (("nnunet", NNUNET), ("heavy", DA5)):
        shipped = OmegaConf.load(Path(__file__).parents[1] / f"conf/augment/{name}.yaml").transforms
        assert tuple(instantiate(node, _convert_="all") for node in shipped.values()) == expected


def test_the_body_mask_comes_last_whatever_is_added():
    names = [*map(str, range(len(NNUNET))), "mine"]
    changes = dict(zip(names, [*NNUNET, GaussianNoise(p=1)], strict=True))
    assert Augment(changes).transforms == (*NNUNET[:-1], GaussianNoise(p=1), NNUNET[-1])
