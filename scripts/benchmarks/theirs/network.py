"""A training step of our network, nnU-Net's and MONAI's, in turns in one process; prints seconds as JSON.

Run by an interpreter that has the peers, with our checkout on its path. Argument: rounds.
"""

import json
import statistics
import sys
import time
import warnings

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn

from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.muon import Muon, muon_groups

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.networks.nets import DynUNet

BATCH, PATCH = 2, (40, 56, 40)
WIDTHS, STRIDES, KERNELS = [16, 32, 64, 128], [[1, 1, 1]] + [[2, 2, 2]] * 3, [[3, 3, 3]] * 4
BENT = {"nonlin": nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}
NORM = {"norm_op": nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "conv_bias": True}


def networks() -> dict[str, nn.Module]:
    """The same plan: as many supervised levels, and each at its own default memory format."""
    blocks = {"n_conv_per_stage": 2, "n_conv_per_stage_decoder": 2}
    shape = (1, 4, WIDTHS, nn.Conv3d, KERNELS, STRIDES)
    theirs = PlainConvUNet(*shape, num_classes=3, deep_supervision=True, **blocks, **NORM, **BENT)
    options = {"deep_supervision": True, "deep_supr_num": 1, "filters": WIDTHS}
    norm = {"norm_name": ("INSTANCE", {"affine": True})}
    monai = DynUNet(3, 1, 3, KERNELS, STRIDES, STRIDES[1:], **options, **norm)
    return {"ours": UNet(1, 3, WIDTHS, STRIDES, KERNELS, [2] * 4, [2] * 3), "nnunet": theirs, "monai": monai}


def pyramid(given) -> list[torch.Tensor]:
    levels = list(given.unbind(1)) if isinstance(given, torch.Tensor) else list(given)
    return levels[:2]  # nnU-Net gives the coarsest one the weight 0


def step_of(network: nn.Module, image: torch.Tensor):
    sgd = torch.optim.SGD(network.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)

    def step() -> None:
        sgd.zero_grad(set_to_none=True)
        sum(level.square().mean() for level in pyramid(network(image))).backward()
        sgd.step()

    return step


def main() -> None:
    rounds = int(sys.argv[1])
    made = networks()
    image = torch.randn(BATCH, 1, *PATCH)
    tasks = {name: step_of(network, image) for name, network in made.items()}
    tasks["muon"] = Muon(muon_groups(made["ours"])).step  # its gradients stay from the last step
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(rounds + 2):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn > 1:
                seconds[name].append(time.perf_counter() - start)
    weights = {name: sum(one.numel() for one in network.parameters()) for name, network in made.items()}
    ratios = {
        name: statistics.median(a / b for a, b in zip(found, seconds["nnunet"], strict=True))
        for name, found in seconds.items()
    }
    answer = {"seconds": {name: statistics.median(found) for name, found in seconds.items()}}
    answer |= {"ratios": ratios, "weights": weights}
    print(json.dumps({**answer, "threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
