"""Whether an accelerator computes 3D convolutions right: values and gradients beside the host's.

Boxes of the output in the corners and the middle are compared with 64 bits on the host, and the gradients
that a box in the last corner sends back: few values, which can be had exactly whatever the shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from typing_extensions import override

TOLERANCE = {torch.float32: 1e-2, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""Largest difference over the largest value. In 32 bits cuDNN computes with the ten of TF32."""
BOX = 4
"""Edge in voxels of the boxes of a convolution's output that the host computes."""


class Fault(NamedTuple):
    """An operation whose result is not what the host computes.

    Args:
        name: What was computed, and on which shapes.
        off: Largest difference over the largest value.
        kernel: Name of the fused kernel, as ``kernels.availability`` has it; None for torch's own.
    """

    name: str
    off: float
    kernel: str | None = None


def compute(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute an operation as the network asked for it.

    Args:
        function: Of torch.
        args: Its positional arguments.
        kwargs: Its other arguments.
    """
    return function(*args, **kwargs)


class DeviceError(RuntimeError):
    """An accelerator, or a library on it, that computes something wrong."""


class ConvolutionCheck(TorchFunctionMode):
    """Watches convolutions go by, and keeps those that are off.

    Args:
        dtype: What autocast computes in; None where it does not cast.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        super().__init__()
        self.dtype = dtype
        self.faults: list[Fault] = []

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        answer = compute(func, args, kwargs or {})
        if func is torch.conv3d:
            convolution = Convolution.of(*args, **(kwargs or {}))
            if convolution is not None:
                self._check(convolution, answer)
        return answer

    def _check(self, convolution: "Convolution", answer: Tensor) -> None:
        shape = " x ".join(str(edge) for edge in answer.shape)
        what = f"3D convolution of {tuple(convolution.weight.shape[2:])} to {shape} in {answer.dtype}"
        what = what.replace("torch.", "")
        kept = convolution.cast(self.dtype or convolution.image.dtype)
        off = _values_off(kept, answer)
        if not off <= TOLERANCE[answer.dtype]:
            self.faults.append(Fault(f"A {what}", off))
            return
        off = _gradients_off(kept)
        if not off <= TOLERANCE[kept.image.dtype]:
            self.faults.append(Fault(f"The gradient of a {what}", off))


class Convolution(NamedTuple):
    """Arguments of a 3D convolution that is checked.

    Args:
        image: Its input, ``(batch, channel, z, y, x)``.
        weight: Its kernels.
        bias: None where there is none.
        steps: Stride along each axis.
        zeros: Padding along each axis, in voxels.
        spread: Dilation along each axis.
        groups: Of channels.
    """

    image: Tensor
    weight: Tensor
    bias: Tensor | None
    steps: tuple[int, ...]
    zeros: tuple[int, ...]
    spread: tuple[int, ...]
    groups: int

    @classmethod
    def of(
        cls,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> "Convolution | None":
        """Take the arguments of ``torch.conv3d``; None where padding is by name.

        Args:
            input: Shape (batch, channel, z, y, x).
            weight: Shape (output, channel, z, y, x).
            bias: Shape (output,), or None.
            stride: One number, or one for each axis.
            padding: One number, one for each axis, or a word of torch's.
            dilation: One number, or one for each axis.
            groups: Into which channels are divided.
        """
        if isinstance(padding, str):
            return None
        steps, zeros, spread = (_along_axes(one) for one in (stride, padding, dilation))
        return cls(input, weight, bias, steps, zeros, spread, groups)

    def cast(self, dtype: torch.dtype) -> "Convolution":
        """Give it in ``dtype``, detached.

        Args:
            dtype: Of image, weight and bias.
        """
        bias = None if self.bias is None else self.bias.detach().to(dtype)
        return self._replace(
            image=self.image.detach().to(dtype), weight=self.weight.detach().to(dtype), bias=bias
        )

    def compute(self, image: Tensor, weight: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
        """Compute it for another image.

        Args:
            image: Shape (batch, channel, z, y, x).
            weight: Shape (output, channel, z, y, x).
            bias: Shape (output,), or None.
            padding: As torch takes it.
        """
        found: Tensor = compute(
            torch.conv3d, (image, weight, bias, self.steps, padding, self.spread, self.groups), {}
        )
        return found

    def reach(self, start: Sequence[int], stop: Sequence[int]) -> tuple[list[slice], list[int]]:
        """Give the part of the image that a box of the output is made of, and the zeros around it.

        Args:
            start: First voxel (z, y, x) of the box.
            stop: The voxel (z, y, x) after its last.
        """
        inside: list[slice] = []
        around: list[int] = []
        for axis, (first, last) in enumerate(zip(start, stop, strict=True)):
            step, edge = self.steps[axis], self.image.shape[2 + axis]
            size = (self.weight.shape[2 + axis] - 1) * self.spread[axis] + 1
            low = first * step - self.zeros[axis]
            high = (last - 1) * step - self.zeros[axis] + size
            inside.append(slice(max(0, low), min(edge, high)))
            around = [max(0, -low), max(0, high - edge), *around]
        return inside, around

    def onto_host(self, image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Compute it in 64 bits for a part of an image, zeros around it included.

        Args:
            image: Shape (channel, z, y, x), on the host.
            weight: Shape (output, channel, z, y, x), on the host.
            bias: Shape (output,), or None.
        """
        return F.conv3d(image[None], weight, bias, self.steps, 0, self.spread, self.groups)[0]


def _along_axes(value: Any) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 3 if len(values) == 1 else values


def _values_off(convolution: Convolution, answer: Tensor) -> float:
    """Compare boxes of the output in the corners and the middle of the first and the last image."""
    weight = to_host(convolution.weight)
    bias = None if convolution.bias is None else to_host(convolution.bias)
    worst = 0.0
    for index in {0, len(answer) - 1}:
        for place in (0.0, 0.5, 1.0):
            start = [int(place * max(0, edge - BOX)) for edge in answer.shape[2:]]
            stop = [min(edge, first + BOX) for first, edge in zip(start, answer.shape[2:], strict=True)]
            inside, around = convolution.reach(start, stop)
            part = F.pad(to_host(convolution.image[index][(slice(None), *inside)]), around)
            box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
            found = to_host(answer[index][(slice(None), *box)])
            worst = max(worst, largest_difference(found, convolution.onto_host(part, weight, bias)))
    return worst


def _gradients_off(convolution: Convolution) -> float:
    """Compare the gradients that a box in the last corner of the last image sends back."""
    weight = convolution.weight.requires_grad_()
    image = convolution.image.requires_grad_()
    with torch.enable_grad(), torch.autocast(image.device.type, enabled=False):
        answer = convolution.compute(image, weight, None, convolution.zeros)
        start = [max(0, edge - BOX) for edge in answer.shape[2:]]
        box = tuple(slice(first, None) for first in start)
        above = torch.zeros_like(answer)
        above[-1][(slice(None), *box)] = torch.randn_like(above[-1][(slice(None), *box)])
        to_image, to_weight = torch.autograd.grad(answer, (image, weight), above)
        inside, around = convolution.reach(start, answer.shape[2:])
        part = to_host(image[-1][(slice(None), *inside)]).requires_grad_()
        kernels = to_host(weight).requires_grad_()
        expected = convolution.onto_host(F.pad(part, around), kernels, None)
        pairs = torch.autograd.grad(expected, (part, kernels), to_host(above[-1][(slice(None), *box)]))
    found = to_host(to_image[-1][(slice(None), *inside)]), to_host(to_weight)
    return max(largest_difference(one, other) for one, other in zip(found, pairs, strict=True))


def to_host(tensor: Tensor) -> Tensor:
    """Give a tensor on the host in 64 bits, without its gradient.

    Args:
        tensor: On any device.
    """
    return tensor.detach().cpu().double()


def largest_difference(found: Tensor, expected: Tensor) -> float:
    """Give the largest difference over the largest expected value; infinity where one is not finite.

    Args:
        found: On the host.
        expected: Of the same shape.
    """
    if not found.numel():
        return 0.0
    largest = expected.abs().max().clamp_min(1e-6)
    off = (found.double() - expected).abs().max() / largest
    return float(off) if off.isfinite() else float("inf")


def describe_versions(device: torch.device) -> str:
    """Name a device, and the versions of torch and cuDNN that compute there.

    Args:
        device: Of the run.
    """
    if device.type != "cuda":
        return f"{device.type} (torch {torch.__version__})"
    name, cudnn = torch.cuda.get_device_name(device), torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name} (torch {torch.__version__}, cuDNN {cudnn})"
