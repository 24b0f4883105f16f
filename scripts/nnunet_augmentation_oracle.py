"""Draw nnU-Net's own augmentation 10,000 times, and keep the moments of its effects for the tests.

Run it where nnU-Net 2.8.1 is installed: python scripts/nnunet_augmentation_oracle.py
It writes tests/expected/nnunet_augmentation.json. All settings are asked of nnU-Net's trainer.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import effects  # noqa: E402
from effects import BATCH, DRAWS, FLAT, INTENSITIES, PATCH, SHAPE, known, moments  # noqa: E402


def transforms(patch):
    """The list that nnU-Net's trainer makes for a patch."""
    asked = SimpleNamespace(patch_size=patch)
    trainer = SimpleNamespace(configuration_manager=asked, print_to_log_file=lambda *_: None)
    turn, dummy, read, mirror = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(
        trainer
    )
    made = nnUNetTrainer.get_training_transforms(patch, turn, None, mirror, dummy)
    return made.transforms, [int(edge) for edge in read]


def seen(shape, transform, look):
    """Moments of what was seen in many draws of an intensity change."""
    image, found = known(shape), []
    for _ in range(DRAWS // BATCH):
        after = [transform(image=torch.from_numpy(image.copy()))["image"].numpy() for _ in range(BATCH)]
        found.append(look(image.astype(np.float64), np.stack(after).astype(np.float64)))
    return moments({name: np.concatenate([one[name] for one in found]) for name in found[0]})


def intensity(shape, wrapper, look):
    """How often patches and channels are changed, and what a change does."""
    often = seen(shape, wrapper, effects.touched)
    asked = {"p": wrapper.apply_probability, "channel_p": wrapper.transform.p_per_channel}
    wrapper.transform.p_per_channel = 1
    return {**asked, "often": often, "effect": seen(shape, wrapper.transform, look)}


def matrices(spatial, patch, read):
    """The matrix by which each draw moved an image, read off ramps along its axes."""
    ramps = np.stack(np.meshgrid(*(np.arange(float(n)) for n in read), indexing="ij")).astype(np.float32)
    core, found = tuple(slice(n // 2 - 2, n // 2 + 2) for n in patch), []
    for _ in range(DRAWS):
        after = spatial(image=torch.from_numpy(ramps.copy()))["image"].numpy()[(slice(None), *core)]
        steps = [np.diff(after, axis=axis).mean(tuple(range(1, after.ndim))) for axis in range(1, after.ndim)]
        found.append(np.stack(steps, 1))
    return np.array(found, np.float64)


def affines(patch):
    """How often a patch is turned, scaled and mirrored, and by how much."""
    made, read = transforms(patch)
    kinds = {type(one).__name__: one for one in made}
    spatial, mirror = kinds["SpatialTransform"], kinds["MirrorTransform"]
    if "Convert3DTo2DTransform" in kinds:  # the slices move alike: one of them tells
        patch, read = patch[1:], read[1:]
    often = moments(effects.moved(matrices(spatial, patch, read)))
    spatial.p_rotation = spatial.p_scaling = 1
    effect = moments(effects.affine(matrices(spatial, patch, read)))
    axes = len(mirror.allowed_axes)
    signs = np.ones((DRAWS, axes))
    for row in signs:
        row[mirror.get_parameters()["axes"]] = -1
    return {"often": often, "effect": effect, "mirrored": moments(effects.mirrored(signs))}


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    wrappers = [one for one in transforms(PATCH["cube"])[0] if type(one).__name__ == "RandomTransform"]
    found = {
        name: intensity(SHAPE, wrapper, look)
        for (name, look), wrapper in zip(INTENSITIES.items(), wrappers, strict=True)
    }
    flat = [one for one in transforms(PATCH["flat"])[0] if type(one).__name__ == "RandomTransform"]
    found["low resolution, flat"] = intensity(FLAT, flat[4], effects.smoothing)
    answer = {
        "nnunetv2": version("nnunetv2"),
        "batchgeneratorsv2": version("batchgeneratorsv2"),
        "order": [type(one.transform).__name__ for one in wrappers],
        "draws": DRAWS,
        "intensities": found,
        "affines": {name: affines(patch) for name, patch in PATCH.items()},
    }
    file = ROOT / "tests/expected/nnunet_augmentation.json"
    file.write_text(json.dumps(answer) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
