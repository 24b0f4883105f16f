"""A self-test of an accelerator when a run starts: its convolutions and the fused kernels against the host.

It takes the run's own network, shapes, layout and precision, for that is where faults of libraries lie: cuDNN
9.8 to 9.10 gave silently wrong bf16 convolutions for large outputs (pytorch#163539). What is computed on the
device is compared with 64 bits on the host where few values can be had exactly: boxes of a convolution's
output, some channels of a norm, a part of the logits.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from ingradient_pl.kernels import availability, dice_ce, matrices, norm
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.norm import SLOPE

TOLERANCE = {torch.float32: 1e-2, torch.float16: 1e-2, torch.bfloat16: 4e-2}
"""Largest difference over the largest value. In 32 bits cuDNN computes with the ten of TF32."""
BOX = 4
"""Edge in voxels of the boxes of a convolution's output that the host computes."""
BEND = 1e-4
"""Normalised values nearer to zero than this have no gradient of their own in the check of a norm."""
MOST_VOXELS = 2**19
"""Of an image of logits that the host computes the loss of."""


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


class DeviceError(RuntimeError):
    """An accelerator, or a library on it, that computes something wrong."""


def check_device(network: nn.Module, image: Tensor, dtype: torch.dtype | None = None) -> list[Fault]:
    """Compare what a device computes with the host, and leave out the fused kernels that are off.

    Args:
        network: On the device; its weights are read, not changed.
        image: A batch of the run's shape on the device, ``(batch, channel, z, y, x)``.
        dtype: Of autocast; None computes in 32 bits.

    Returns:
        The fused kernels that are off, which are switched off now and warned of.

    Raises:
        DeviceError: If a convolution of torch's is off; the message names it and what may help.
    """
    first = {norm.NAME: lambda: _norm(network, image, dtype), matrices.NAME: lambda: _matrices(network)}
    faults = [fault for name, check in first.items() if (fault := _check_kernel(name, check, image.device))]
    convolutions, logits = _convolutions(network, image, dtype)
    if convolutions:
        worst = max(convolutions, key=lambda fault: fault.off)
        raise DeviceError(
            f"{worst.name} on {_versions(image.device)} is off by {worst.off:.2g} of its largest value: this "
            "run would learn from wrong numbers. Take another torch (its cuDNN comes with it), or "
            "trainer.precision=32-true, which takes other kernels."
        )
    last = _check_kernel(dice_ce.NAME, lambda: _loss(logits), image.device)
    return faults if last is None else [*faults, last]


def compute(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute an operation as the network asked for it."""
    return function(*args, **kwargs)


class _Convolutions(TorchFunctionMode):
    """Watches convolutions go by, and keeps those that are off."""

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
            image, weight, bias, stride, padding = _arguments(*args, **(kwargs or {}))
            if not isinstance(padding, str):
                off = self._off(answer, image, weight, bias, stride, padding)
                if not off <= TOLERANCE[answer.dtype]:
                    shape = " x ".join(str(edge) for edge in answer.shape)
                    what = f"A 3D convolution of {tuple(weight.shape[2:])} to {shape} in {answer.dtype}"
                    self.faults.append(Fault(what.replace("torch.", ""), off))
        return answer

    def _off(
        self, answer: Tensor, image: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any
    ) -> float:
        kept = self.dtype or image.dtype
        weight = _host(weight.to(kept))
        bias = None if bias is None else _host(bias.to(kept))
        worst = 0.0
        for index in {0, len(image) - 1}:
            for place in (0.0, 0.5, 1.0):
                start = [int(place * max(0, edge - BOX)) for edge in answer.shape[2:]]
                stop = [min(edge, first + BOX) for first, edge in zip(start, answer.shape[2:], strict=True)]
                inside, around = _reach(start, stop, weight.shape[2:], stride, padding, image.shape[2:])
                part = F.pad(_host(image[index][(slice(None), *inside)].to(kept)), around)
                expected = F.conv3d(part[None], weight, bias, stride)[0]
                box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
                worst = max(worst, _apart(_host(answer[index][(slice(None), *box)]), expected))
        return worst


def _arguments(
    image: Tensor, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, *_: Any
) -> tuple[Tensor, Tensor, Any, Any, Any]:
    stride, padding = ((one,) * 3 if isinstance(one, int) else one for one in (stride, padding))
    return image, weight, bias, stride, padding


def _reach(
    start: Sequence[int],
    stop: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    edges: Sequence[int],
) -> tuple[list[slice], list[int]]:
    """Give the part of an image that a box of the output is made of, and the zeros around it."""
    inside: list[slice] = []
    around: list[int] = []
    for first, last, size, step, zeros, edge in zip(start, stop, kernel, stride, padding, edges, strict=True):
        low, high = first * step - zeros, (last - 1) * step - zeros + size
        inside.append(slice(max(0, low), min(edge, high)))
        around = [max(0, -low), max(0, high - edge), *around]
    return inside, around


def _convolutions(network: nn.Module, image: Tensor, dtype: torch.dtype | None) -> tuple[list[Fault], Tensor]:
    """Run the network once; give its convolutions that are off, and its finest logits."""
    training = network.training
    network.eval()
    device = image.device.type
    try:
        cast = torch.autocast(device, dtype, enabled=dtype is not None, cache_enabled=False)
        with torch.no_grad(), cast, _Convolutions(dtype) as seen:
            given = network(image)
    finally:
        network.train(training)
    return seen.faults, given if isinstance(given, Tensor) else next(iter(given))


def _check_kernel(name: str, check: Callable[[], Fault | None], device: torch.device) -> Fault | None:
    """Check a fused kernel; where it is off, or fails, switch it off and say so."""
    try:
        fault = check()
    except Exception as error:  # noqa: BLE001 - whatever Triton, its compiler or the driver says
        line = " ".join(str(error).split())[:200]
        fault = Fault(f"{name} ({type(error).__name__}: {line})", float("inf"), name)
    if fault is not None:
        availability.switch_off(name, f"off by {fault.off:.2g}")
        warnings.warn(
            f"The fused kernel for {fault.name} is off by {fault.off:.2g} on {_versions(device)}. This run "
            "takes torch's own operators instead, which are slower.",
            stacklevel=2,
        )
    return fault


def _norm(network: nn.Module, image: Tensor, dtype: torch.dtype | None) -> Fault | None:
    """Compare the first and last channel of a norm of the finest features, there and back."""
    width = next((one.shape[0] for one in network.parameters() if one.ndim > 1), 1)
    shape = (len(image), width, *image.shape[2:])
    features = (torch.randn(shape, device=image.device) + 1).to(dtype or image.dtype)
    if not norm.fits(features):
        return None
    above = torch.randn_like(features)
    weight, bias = torch.rand(2, width, device=image.device) + 0.5
    ends = [0, width - 1]
    exact = [_host(one[:, ends] if one.ndim > 1 else one[ends]) for one in (features, weight, bias)]
    # at the bend of leaky ReLU rounding decides for one slope or the other, which says nothing of a kernel
    undecided = norm.instance_norm_twin(exact[0], exact[1], exact[2], 1.0).abs() < BEND
    above[:, ends] = above[:, ends].masked_fill(undecided.to(image.device), 0.0)
    inputs = [one.detach().requires_grad_() for one in (features, weight, bias)]
    value = norm.instance_norm(inputs[0], inputs[1], inputs[2], SLOPE)
    found = [value, *torch.autograd.grad(value, inputs, above)]
    exact = [one.requires_grad_() for one in exact]
    normal = norm.instance_norm_twin(exact[0], exact[1], exact[2], SLOPE)
    expected = [normal, *torch.autograd.grad(normal, exact, _host(above[:, ends]))]
    chosen = [_host(one.detach()[:, ends] if one.ndim > 1 else one.detach()[ends]) for one in found]
    off = max(_apart(one, other.detach()) for one, other in zip(chosen, expected, strict=True))
    name = f"norm and activation of {' x '.join(str(edge) for edge in shape)}"
    return None if off <= TOLERANCE[features.dtype] else Fault(name, off, norm.NAME)


def _loss(logits: Tensor) -> Fault | None:
    """Compare soft Dice and cross entropy of the network's logits with random labels, and their gradient."""
    if not dice_ce.fits(logits) or logits.shape[1] == 1:
        return None
    rows = max(1, MOST_VOXELS // max(1, logits.shape[3:].numel()))
    part = logits[:1, :, :rows].detach().requires_grad_()
    label = torch.randint(0, logits.shape[1], (1, *part.shape[2:]), device=logits.device, dtype=torch.uint8)
    loss = DiceCE()
    exact = _host(part.detach()).requires_grad_()
    pairs = []
    for given, truth in ((part, label), (exact, label.cpu())):
        value = loss(given, truth)
        (gradient,) = torch.autograd.grad(value, given)
        pairs.append((_host(value.detach()), _host(gradient)))
    off = max(_apart(one, other) for one, other in zip(*pairs, strict=True))
    name = f"the loss of {logits.shape[1]} outputs"
    return None if off <= TOLERANCE[logits.dtype] else Fault(name, off, dice_ce.NAME)


def _matrices(network: nn.Module) -> Fault | None:
    """Compare the products of the smallest and the largest kernel, as Muon takes them."""
    kernels = sorted((one for one in network.parameters() if one.ndim > 1), key=lambda one: one.numel())
    if not kernels or not matrices.fits(kernels[0]):
        return None
    ends = [kernels[0], kernels[-1]]
    shapes = [(one.shape[0], one.shape[1:].numel()) for one in ends]
    flat = torch.cat([one.detach().flatten() for one in ends])
    layout = matrices.layout_of(shapes, flat.device)
    on_host = layout._replace(table=layout.table.cpu())
    squares = matrices.gram(flat, layout)
    found = [squares, matrices.multiply(flat, layout, squares)]
    expected = matrices.gram_twin(_host(flat), on_host)
    product = matrices.multiply_twin(_host(flat), on_host, expected)
    off = max(_apart(_host(one), other) for one, other in zip(found, (expected, product), strict=True))
    return None if off <= TOLERANCE[flat.dtype] else Fault("products of matrices", off, matrices.NAME)


def _host(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()


def _apart(found: Tensor, expected: Tensor) -> float:
    if not found.numel():
        return 0.0
    largest = expected.abs().max().clamp_min(1e-6)
    off = (found.double() - expected).abs().max() / largest
    return float(off) if off.isfinite() else float("inf")


def _versions(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device.type} (torch {torch.__version__})"
    name, cudnn = torch.cuda.get_device_name(device), torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name} (torch {torch.__version__}, cuDNN {cudnn})"
