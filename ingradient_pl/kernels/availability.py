"""Whether the fused kernels can be used, and which of them were switched off."""

import functools
import warnings

import torch
from torch import Tensor

from ingradient_pl.kernels.tracing import assume_constant_result

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
OLDEST = (7, 0)
"""Compute capability from which Triton's programs run (Volta)."""

_off: dict[str, str] = {}


@functools.cache
def triton_problem() -> str | None:
    """Say what keeps Triton from being used, None if nothing does; warn where it is there but broken."""
    try:
        import triton  # noqa: F401
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "triton":
            warnings.warn(
                f"Triton cannot be imported ({' '.join(str(error).split())}), so steps take torch's own "
                "operators, which are slower. Install the Triton that this torch asks for.",
                stacklevel=2,
            )
            return "it cannot be imported"
        return "it is not installed"
    return None


def usable(kernel: str, tensor: Tensor) -> bool:
    """Whether a fused kernel can take ``tensor``: on CUDA, or traced on the meta device as if it were there.

    Args:
        kernel: Its name, as :func:`switch_off` takes it.
        tensor: What it would read, of any shape.
    """
    if tensor.dtype not in DTYPES or not (tensor.is_cuda or tensor.is_meta):
        return False
    ready: bool = _is_ready(kernel, (tensor.device.index or 0) if tensor.is_cuda else None)
    return ready


def switch_off(kernel: str, reason: str) -> None:
    """Use torch's own operators instead of a fused kernel from now on.

    Args:
        kernel: ``norm``, ``dice_ce``, ``matrices`` or ``noise``.
        reason: Why, for whoever asks later.
    """
    _off[kernel] = reason


def switched_off() -> dict[str, str]:
    """Kernels that are not used, and why."""
    return dict(_off)


def switch_on(kernel: str) -> None:
    """Use a fused kernel again.

    Args:
        kernel: Its name, as :func:`switch_off` takes it.
    """
    _off.pop(kernel, None)


@assume_constant_result
def _is_ready(kernel: str, index: int | None) -> bool:
    if kernel in _off or triton_problem() is not None:
        return False
    return index is None or _new_enough(index)


@functools.cache
def _new_enough(index: int) -> bool:
    return torch.cuda.get_device_capability(index) >= OLDEST
