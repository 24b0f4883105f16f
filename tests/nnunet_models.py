"""Models of nnU-Net's with weights drawn from the names of their parameters."""

import base64
import collections
import json
import zlib
from pathlib import Path

import numpy as np
import torch

from ingradient_pl.nnunet.weights import nnunet_names

ANISOTROPIC = json.loads((Path(__file__).parent / "expected" / "nnunet_anisotropic.json").read_text())


def drawn(network, fold=""):
    """Weights by nnU-Net's names, drawn as the script drew them."""
    weights = collections.OrderedDict()
    for name, theirs in nnunet_names(network):
        shape = network.state_dict()[name].shape
        known = theirs.replace("all_modules.0", "conv").replace("all_modules.1", "norm")
        known = fold + known.replace("decoder.encoder", "encoder")
        rng = np.random.default_rng(zlib.crc32(known.encode()))
        fresh = rng.standard_normal(tuple(shape), dtype=np.float32) * 0.3
        weights[theirs] = torch.from_numpy(fresh + known.endswith("norm.weight"))
    return weights


def equal_share(found, expected):
    """Of the voxels that were kept; counts of labels must agree as closely."""
    kept = np.frombuffer(zlib.decompress(base64.b64decode(expected["voxels"])), np.uint8)
    assert list(found.shape) == expected["shape"]
    off = np.abs(np.bincount(found.ravel(), minlength=4) - expected["counts"]).max()
    assert off <= 1e-4 * found.size
    return (found.ravel()[:: ANISOTROPIC["every"]] == kept).mean()


def made_up():
    """The script's: steps that a spline overshoots, each slice of another brightness."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (9, 70, 60)), indexing="ij")
    image = (np.sin(y / 5) + np.cos(x / 7 + z) > 0) * (z + 1.0) + np.sin(x / 3 + y / 4)
    return image.astype(np.float32)[None]
