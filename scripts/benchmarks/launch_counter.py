"""Counts the kernels, copies and bytes of a call on a GPU, without one: its operations on ``meta``."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

NO_KERNEL = {
    "aten::empty",
    "aten::empty_like",
    "aten::empty_strided",
    "aten::new_empty",
    "aten::new_empty_strided",
    "aten::detach",
    "aten::lift_fresh",
    "aten::is_pinned",
    "aten::set_",
}
SYNCHRONISING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique_dim"}


class LaunchCounter(TorchDispatchMode):
    """Counts the kernels, host-to-device copies, waits and bytes of all that runs inside.

    A view costs nothing and is not counted; every other operation is one kernel that reads its inputs and
    writes its outputs once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.copies = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        name = func._schema.name
        inputs = [entry for entry in tree_leaves((args, kwargs)) if isinstance(entry, Tensor)]
        outputs = [entry for entry in tree_leaves(answer) if isinstance(entry, Tensor)]
        devices = {entry.device.type for entry in (*inputs, *outputs)}
        view = any(
            entry.alias_info is not None and not entry.alias_info.is_write for entry in func._schema.returns
        )
        if name in SYNCHRONISING and "meta" in devices:
            self.waits[name] += 1
        elif name in ("aten::_to_copy", "aten::copy_") and devices >= {"cpu", "meta"}:
            self.copies += 1
        elif "meta" in {entry.device.type for entry in outputs} and not view and name not in NO_KERNEL:
            self.kernels[name] += 1
            self.bytes += sum(entry.nbytes for entry in (*inputs, *outputs))
        return answer

    @property
    def launches(self) -> int:
        """Kernels in all."""
        return sum(self.kernels.values())


@contextmanager
def counted() -> Iterator[LaunchCounter]:
    """Count what runs inside; random numbers for ``meta`` come from a generator of the CPU."""
    generator = torch.Generator

    def on_host(device: Any = "cpu") -> torch.Generator:
        return generator("cpu" if torch.device(device).type == "meta" else device)

    torch.Generator = on_host  # type: ignore[assignment, misc]
    try:
        with LaunchCounter() as counter:
            yield counter
    finally:
        torch.Generator = generator  # type: ignore[misc]
