"""Counts what a GPU would have to launch, on the ``meta`` device, where nothing is computed."""

from collections import Counter

import torch
import torch._dynamo  # from_numpy imports it, which a dispatch mode would trip over
from torch.utils._python_dispatch import TorchDispatchMode

FREE = ("empty", "detach", "lift_fresh", "set_")


class Kernels(TorchDispatchMode):
    """Counts operations on a device that are not views, and copies from the host."""

    def __init__(self):
        super().__init__()
        self.operations, self.copies = Counter(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        first = answer[0] if isinstance(answer, (tuple, list)) and answer else answer
        if not isinstance(first, torch.Tensor) or first.device.type == "cpu":
            return answer
        name = func._schema.name.removeprefix("aten::")
        view = any(entry.alias_info and not entry.alias_info.is_write for entry in func._schema.returns)
        if name in ("_to_copy", "copy_") and any(
            isinstance(arg, torch.Tensor) and arg.device.type == "cpu" for arg in args
        ):
            self.copies += 1
        elif not view and not name.startswith(FREE):
            self.operations[name] += 1
        return answer

    @property
    def total(self):
        return sum(self.operations.values())
