"""How many windows go through the networks together: what is fastest and fits the device's memory."""

import math
from typing import Literal, TypeAlias

import torch

from ingradient_pl.inference.model import Model
from ingradient_pl.inference.peak_memory import peak_bytes
from ingradient_pl.inference.sliding_window import FULL_BYTES

WindowBatch: TypeAlias = int | Literal["auto"]
"""Windows that go through the network together; ``auto``: :func:`choose_window_batch`."""

ON_CPU, ELSEWHERE = 2, 8
"""On 2 cores one window takes 168 ms, two 91 ms each, four 91 ms, eight 102 ms (40×56×40)."""
LOGIT_BYTES = 2**28
"""Of the logits of all windows at once, where nobody tells how much memory is free."""
SHARE = 0.8
"""Of the free memory of a GPU; the rest is for workspaces of convolutions and for gaps."""


def choose_window_batch(model: Model, device: torch.device, reserved: int = 0) -> int:
    """Give how many windows go through the networks of a plan together.

    At least one; on a processor two, elsewhere eight, on a CUDA device as many of them as its memory holds.

    Args:
        model: Its networks, and the plan they are of.
        device: Where they run.
        reserved: Bytes of the free memory that are for something else.
    """
    logits = FULL_BYTES * model.plan.outputs * math.prod(model.plan.patch)
    most = ON_CPU if device.type == "cpu" else ELSEWHERE
    free = free_bytes(device)
    each = None if free is None else _window_bytes(model)
    if free is None or each is None:
        return max(1, min(most, LOGIT_BYTES // logits))
    each += logits * len(model.networks)  # answers of all networks are there until they are added
    return max(1, min(most, int(SHARE * (free - reserved)) // each))


def free_bytes(device: torch.device) -> int | None:
    """Give the free memory of a CUDA device, what torch holds in reserve included; None for other devices.

    Args:
        device: As torch names it.
    """
    if device.type != "cuda":
        return None
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + held


def _window_bytes(model: Model) -> int | None:
    found = [peak_bytes(network, model.inputs, model.plan.patch) for network in model.networks]
    known = [one for one in found if one is not None]
    return max(known) if len(known) == len(found) else None
