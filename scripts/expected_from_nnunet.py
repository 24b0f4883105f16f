"""Print the numbers that tests hold the networks and the losses to, by running nnU-Net itself.

Run it where nnunetv2 is installed: python scripts/expected_from_nnunet.py
"""

import json
import zlib

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss, DC_and_topk_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch import nn

CUBE = {"strides": [1, 2, 2], "kernel_sizes": [[3, 3, 3]] * 3, "conv_op": nn.Conv3d}
FLAT = {"strides": [[1, 1], [2, 2], [2, 2]], "kernel_sizes": [[3, 3]] * 3, "conv_op": nn.Conv2d}
MIXED = {
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "conv_op": nn.Conv3d,
}
PLAIN = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
RESIDUAL = {"n_blocks_per_stage": [1, 2, 2], "n_conv_per_stage_decoder": 1}


def logits_of(kind: type[nn.Module], shape: tuple[int, ...], **options: object) -> list[list[float]]:
    """Ten logits, evenly spaced, of each level for weights and an image that are drawn by name."""
    norm = nn.InstanceNorm3d if options["conv_op"] is nn.Conv3d else nn.InstanceNorm2d
    settings = {"norm_op": norm, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "conv_bias": True}
    bent = {"nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}, "deep_supervision": True}
    network = kind(2, 3, (4, 8, 12), num_classes=3, **settings, **bent, **options)
    state = network.state_dict()
    for name, weight in state.items():
        # The same tensor has up to four names
        known = name.replace("all_modules.0", "conv").replace("all_modules.1", "norm")
        rng = np.random.default_rng(zlib.crc32(known.replace("decoder.encoder", "encoder").encode()))
        fresh = rng.standard_normal(weight.shape, dtype=np.float32) * 0.3
        weight.copy_(torch.from_numpy(fresh + known.endswith("norm.weight")))
    network.load_state_dict(state)
    image = torch.from_numpy(np.random.default_rng(1).standard_normal(shape, dtype=np.float32))
    with torch.no_grad():
        return [level.flatten()[:: level.numel() // 9][:10].tolist() for level in network(image)]


def loss_of(loss: nn.Module, *, regions: bool = False, ignore: bool = False) -> list[float]:
    """A loss at three sizes of a level."""
    found = []
    for level, edge in enumerate((16, 8, 4)):
        rng = np.random.default_rng(level)
        logits = torch.from_numpy(rng.standard_normal((2, 3, edge, edge, edge), dtype=np.float32) * 3)
        label = torch.from_numpy(rng.integers(0, 4 if ignore else 3, (2, 1, edge, edge, edge)))
        if regions:
            members = [label > 0, label == 2, (label > 0) & (label != 2), *([label == 3] if ignore else [])]
            label = torch.cat(members, 1)
        found.append(float(loss(logits, label)))
    return found


def main() -> None:
    """Print all of it as one JSON."""
    torch.set_num_threads(1)
    expected: dict[str, object] = {
        "plain": logits_of(PlainConvUNet, (2, 2, 8, 8, 12), **CUBE, **PLAIN),
        "plain flat": logits_of(PlainConvUNet, (2, 2, 8, 12), **FLAT, **PLAIN),
        "plain mixed": logits_of(PlainConvUNet, (2, 2, 8, 8, 12), **MIXED, **PLAIN),
        "residual": logits_of(ResidualEncoderUNet, (2, 2, 8, 8, 12), **CUBE, **RESIDUAL),
        "residual flat": logits_of(ResidualEncoderUNet, (2, 2, 8, 12), **FLAT, **RESIDUAL),
        "residual mixed": logits_of(ResidualEncoderUNet, (2, 2, 8, 8, 12), **MIXED, **RESIDUAL),
    }
    for pooled in (False, True):
        for ignore in (None, 3):
            dice = {"batch_dice": pooled, "smooth": 1e-5, "ddp": False}
            light = {"dice_class": MemoryEfficientSoftDiceLoss}
            name = f"{'pooled' if pooled else 'single'}{' ignore' if ignore else ''}"
            plain = DC_and_CE_loss({**dice, "do_bg": False}, {}, ignore_label=ignore, **light)
            expected[f"labels {name}"] = loss_of(plain, ignore=bool(ignore))
            both = DC_and_BCE_loss({}, {**dice, "do_bg": True}, use_ignore_label=bool(ignore), **light)
            expected[f"regions {name}"] = loss_of(both, regions=True, ignore=bool(ignore))
        top = DC_and_topk_loss({**dice, "do_bg": False}, {"k": 10, "label_smoothing": 0.0})
        expected[f"topk {'pooled' if pooled else 'single'}"] = loss_of(top)
    print(json.dumps(expected))


if __name__ == "__main__":
    main()
