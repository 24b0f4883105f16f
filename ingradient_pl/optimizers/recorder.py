"""How a training step is recorded on a device and replayed: CUDA graphs."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Outputs(NamedTuple):
    """What a step gives: loss, and logits of each level, finest first; the next step writes over them."""

    loss: Tensor
    pyramid: list[Tensor]


class Recorder(Protocol):
    """How a step is recorded on a device."""

    def warm_up(self, step: Callable[[], Outputs], times: int) -> None:
        """Run the step a few times as it will be recorded.

        Args:
            step: Reads and writes the same memory each time.
            times: At least once.
        """

    def record(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record it; give what replays it and where its outputs lie.

        Args:
            step: Reads and writes the same memory each time.
        """


class CudaRecorder:
    """CUDA graphs."""

    def warm_up(self, step: Callable[[], Outputs], times: int) -> None:
        """Run it on a stream of its own, as recording does: gradients then belong to no other.

        Args:
            step: Reads and writes the same memory each time.
            times: At least once.
        """
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(times):
                step()
        torch.cuda.current_stream().wait_stream(stream)

    def record(self, step: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Record it into memory of its own.

        Args:
            step: Reads and writes the same memory each time.
        """
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # what warming up took, the record takes again
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = step()
        return graph.replay, outputs
