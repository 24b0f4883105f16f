"""How many bits a training step computes in, where nobody said."""

import torch

BRAIN, HALF, FULL = "bf16-mixed", "16-mixed", "32-true"
REFUSED = {"16-true": HALF, "bf16-true": BRAIN}
DOUBLE = "64-true"


def fitting_precision(accelerator: str) -> str:
    """Give Lightning's name of the precision that fits an accelerator.

    On a GPU that has it (Ampere and newer) that is bf16 where it is safe and 32 bits elsewhere: it needs no
    scaled loss, whose scaler looks at every step's gradients and has the host wait for them. On an older GPU
    it is fp16, as nnU-Net trains. Processors compute in 32 bits, which gives the same numbers on all of them:
    those with instructions for bf16 would be faster in ``bf16-mixed``, others much slower.

    Args:
        accelerator: Lightning's name of it: ``cpu``, ``gpu``, ``cuda``, ``auto``, ...
    """
    if accelerator not in ("auto", "gpu", "cuda"):
        return FULL
    if not torch.cuda.is_available():
        return FULL if accelerator == "auto" else HALF
    return BRAIN if torch.cuda.is_bf16_supported(including_emulation=False) else HALF


def check_precision(precision: str) -> None:
    """Refuse a precision that would also change what patches are read in: positions, matrices, intensities.

    Args:
        precision: As Lightning names it, such as ``bf16-mixed``.

    Raises:
        ValueError: If it is one; the message names what to take instead.
    """
    if precision == DOUBLE:
        raise ValueError(
            f"trainer.precision={precision}: patches are read and prepared in 32 bits. Take {FULL}, or "
            f"{BRAIN} where the device has it."
        )
    if precision in REFUSED:
        raise ValueError(
            f"trainer.precision={precision} would round the positions and intensities of patches to 16 bits "
            "before the network sees them, and labels with them. Take "
            f"trainer.precision={REFUSED[precision]}: the network computes in 16 bits, patches stay in 32."
        )


def autocast_dtype(precision: str) -> torch.dtype | None:
    """What autocast computes in under a precision of Lightning's; None where it does not cast.

    Args:
        precision: As Lightning names it, such as ``bf16-mixed``.
    """
    return {BRAIN: torch.bfloat16, HALF: torch.float16}.get(precision)
