"""Kernels as operators of torch, and the device on which they are launched."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NAMESPACE = "ingradient"
LIBRARY: Any = torch.library.Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
"""Where the kernels stand as operators, so that torch can trace, count and compile around them."""


def define(schema: str, kernel: Callable[..., Any], shapes: Callable[..., Any]) -> None:
    """Make an operator of a kernel: ``torch.ops.ingradient.NAME``.

    Args:
        schema: Name, arguments and answer, as torch writes them.
        kernel: Launches it. On a CPU too, where Triton's interpreter runs it; nothing but tests comes there.
        shapes: Gives answers of the right shape where nothing is computed (the meta device, tracing).
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    for key in ("CUDA", "CPU"):
        LIBRARY.impl(name, kernel, key)
    torch.library.register_fake(f"{NAMESPACE}::{name}", shapes, lib=LIBRARY)


def on_device_of(tensor: Tensor) -> Any:
    """Make the GPU of ``tensor`` the current one, which Triton launches on; nothing where it is on none.

    Args:
        tensor: Of any shape.
    """
    context: Any = torch.cuda.device_of
    return context(tensor)
