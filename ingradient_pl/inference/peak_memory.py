"""The most memory that one window takes in a network, found out on tensors without content."""

import weakref
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typing_extensions import override

from ingradient_pl.inference.forward import Finest, WithoutOutputs

_PEAKS: "WeakKeyDictionary[nn.Module, dict[tuple[int, ...], int | None]]" = WeakKeyDictionary()


def peak_bytes(network: nn.Module, channels: int, patch: tuple[int, ...]) -> int | None:
    """Give the most bytes that one window takes in a network, in 16 bits, without its weights.

    The network runs on tensors that have a shape and no content, once for each size of a window: a network
    without some of its outputs takes as much whichever they are.

    Args:
        network: In evaluation mode; it is left as it is.
        channels: Of a window.
        patch: Voxels of a window, (z, y, x).

    Returns:
        None for a network that cannot run so, as it looks at values.
    """
    partial = isinstance(network, WithoutOutputs)
    whole: Any = network.network if partial else network
    known = _PEAKS.setdefault(whole, {})
    if (key := (partial, channels, *patch)) not in known:
        known[key] = _trace_peak(network, channels, patch)
    return known[key]


def _trace_peak(network: nn.Module, channels: int, patch: tuple[int, ...]) -> int | None:
    whole = Finest(network)
    own = [*whole.named_parameters(), *whole.named_buffers()]
    empty = {name: torch.empty_like(one, device="meta", dtype=_in_half(one.dtype)) for name, one in own}
    try:
        with torch.inference_mode(), _LiveBytes() as live:
            window = torch.empty((1, channels, *patch), device="meta", dtype=torch.half)
            torch.func.functional_call(whole, empty, (window,))
    except Exception:  # noqa: BLE001 - whatever a network of others makes of tensors without content
        return None
    return int(live.peak)


def _in_half(dtype: torch.dtype) -> torch.dtype:
    return torch.half if dtype.is_floating_point else dtype


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the bytes of all tensors that are made inside and not gone yet."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        inputs = {
            one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)
        }
        for one in tree_leaves(answer):
            if isinstance(one, Tensor) and one.untyped_storage()._cdata not in inputs:
                storage = one.untyped_storage()
                self.live += storage.nbytes()
                weakref.finalize(storage, self._leave, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return answer

    def _leave(self, size: int) -> None:
        self.live -= size
