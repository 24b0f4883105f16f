"""How many bits a training step computes in, where nobody said."""

import torch

HALF, FULL = "16-mixed", "32-true"


def fitting_precision(accelerator: str) -> str:
    """Give Lightning's name of the precision that fits an accelerator.

    On a GPU that is fp16 where it is safe and 32 bits elsewhere, as nnU-Net trains. Processors compute in 32
    bits, which gives the same numbers on all of them: those with instructions for bf16 would be faster in
    ``bf16-mixed``, others much slower.

    Args:
        accelerator: Lightning's name of it: ``cpu``, ``gpu``, ``cuda``, ``auto``, ...
    """
    if accelerator == "auto":
        return HALF if torch.cuda.is_available() else FULL
    return HALF if accelerator in ("gpu", "cuda") else FULL
