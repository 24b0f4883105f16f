"""A self-test of an accelerator when a run starts: its convolutions and the fused kernels against the host.

It takes the run's own network, shapes, layout and precision, for that is where faults of libraries lie: cuDNN
9.8 to 9.10 gave silently wrong bf16 convolutions for large outputs (pytorch#163539). What is computed on the
device is compared with 64 bits on the host where few values can be had exactly: boxes of a convolution's
output, some channels of a norm, a part of the logits.
"""

import warnings
from collections.abc import Callable

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ingradient_pl.kernels import availability, dice_ce, matrices, noise, norm
from ingradient_pl.lightning.convolution_check import (
    TOLERANCE,
    ConvolutionCheck,
    DeviceError,
    Fault,
    describe_versions,
    largest_difference,
    to_host,
)
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.precision import autocast_dtype
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.norm import SLOPE

BEND = 1e-4
"""Normalised values nearer to zero than this have no gradient of their own in the check of a norm."""
MOST_VOXELS = 2**19
"""Of an image of logits that the host computes the loss of."""


def check_run(trainer: pl.Trainer, network: nn.Module) -> None:
    """Hold a run's accelerator against the host on its patches, shapes and precision; not a CPU.

    Args:
        trainer: Of the run, on its device.
        network: What it trains, on the device.

    Raises:
        DeviceError: If patches or convolutions come out otherwise.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    device = trainer.strategy.root_device
    if device.type == "cpu" or not isinstance(data, SegmentationData):
        return
    data.check_preparation(device)
    batch = data.draws.batch_size // trainer.world_size
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        image = torch.randn((batch, data.inputs, *data.plan.patch), device=device)
        check_device(network, image, autocast_dtype(trainer.precision))


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
    first = {
        norm.NAME: lambda: _norm(network, image, dtype),
        matrices.NAME: lambda: _matrices(network),
        noise.NAME: lambda: _noise(image),
    }
    faults = [fault for name, check in first.items() if (fault := _check_kernel(name, check, image.device))]
    convolutions, logits = _convolutions(network, image, dtype)
    if convolutions:
        worst = max(convolutions, key=lambda fault: fault.off)
        raise DeviceError(
            f"{worst.name} on {describe_versions(image.device)} is off by {worst.off:.2g} of its largest "
            "value: this run would learn from wrong numbers. Take another torch (its cuDNN comes with it), "
            "or trainer.precision=32-true, which takes other kernels."
        )
    last = _check_kernel(dice_ce.NAME, lambda: _loss(logits), image.device)
    return faults if last is None else [*faults, last]


def _convolutions(network: nn.Module, image: Tensor, dtype: torch.dtype | None) -> tuple[list[Fault], Tensor]:
    """Run the network once; give its convolutions that are off, and its finest logits."""
    training = network.training
    network.eval()
    device = image.device.type
    try:
        cast = torch.autocast(device, dtype, enabled=dtype is not None, cache_enabled=False)
        with torch.no_grad(), cast, ConvolutionCheck(dtype) as seen:
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
            f"The fused kernel for {fault.name} is off by {fault.off:.2g} on {describe_versions(device)}. "
            "This run takes torch's own operators instead, which are slower.",
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
    exact = [to_host(one[:, ends] if one.ndim > 1 else one[ends]) for one in (features, weight, bias)]
    # at the bend of leaky ReLU rounding decides for one slope or the other, which says nothing of a kernel
    undecided = norm.instance_norm_twin(exact[0], exact[1], exact[2], 1.0).abs() < BEND
    above[:, ends] = above[:, ends].masked_fill(undecided.to(image.device), 0.0)
    inputs = [one.detach().requires_grad_() for one in (features, weight, bias)]
    value = norm.instance_norm(inputs[0], inputs[1], inputs[2], SLOPE)
    found = [value, *torch.autograd.grad(value, inputs, above)]
    exact = [one.requires_grad_() for one in exact]
    normal = norm.instance_norm_twin(exact[0], exact[1], exact[2], SLOPE)
    expected = [normal, *torch.autograd.grad(normal, exact, to_host(above[:, ends]))]
    chosen = [to_host(one.detach()[:, ends] if one.ndim > 1 else one.detach()[ends]) for one in found]
    off = max(largest_difference(one, other.detach()) for one, other in zip(chosen, expected, strict=True))
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
    exact = to_host(part.detach()).requires_grad_()
    pairs = []
    for given, truth in ((part, label), (exact, label.cpu())):
        value = loss(given, truth)
        (gradient,) = torch.autograd.grad(value, given)
        pairs.append((to_host(value.detach()), to_host(gradient)))
    off = max(largest_difference(one, other) for one, other in zip(*pairs, strict=True))
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
    expected = matrices.gram_twin(to_host(flat), on_host)
    product = matrices.multiply_twin(to_host(flat), on_host, expected)
    off = max(
        largest_difference(to_host(one), other) for one, other in zip(found, (expected, product), strict=True)
    )
    return None if off <= TOLERANCE[flat.dtype] else Fault("products of matrices", off, matrices.NAME)


def _noise(image: Tensor) -> Fault | None:
    """Compare noise added to one channel of the first and the last image."""
    volumes = torch.zeros_like(image, memory_format=torch.contiguous_format)[:, 0].contiguous()
    if not noise.fits(volumes):
        return None
    rows = torch.tensor(sorted({0, len(volumes) - 1}))
    keys = torch.tensor([[0x3C6EF372, 0x510E527F], [-0x5AB00AC6, 0x1F83D9AB]], dtype=torch.int32)
    values = torch.cat([torch.ones(2, 1), keys.view(torch.float32)], 1)[: len(rows)]
    found = noise.add_noise_(volumes.clone(), rows.to(image.device), values.to(image.device))
    expected = noise.add_noise_twin_(torch.zeros(volumes.shape), rows, values)
    off = largest_difference(to_host(found), to_host(expected))
    return None if off <= TOLERANCE[torch.float32] else Fault("Gaussian noise", off, noise.NAME)
