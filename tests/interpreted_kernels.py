"""Each fused kernel beside its twin in 64 bits, in a process where Triton's interpreter runs the kernels.

    TRITON_INTERPRET=1 python interpreted_kernels.py

prints a line of JSON for each case: the kernel, the case, and by quantity the largest difference over the
largest value.
"""

import itertools
import json
import sys
from contextvars import ContextVar

import torch
from torch import nn
from torch.nn import functional as F

from ingradient_pl.kernels import dice_ce, matrices, noise, norm
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.soft_counts import softmax_counts
from ingradient_pl.optimizers.muon import Muon, muon_groups
from ingradient_pl.optimizers.orthogonal import orthogonal, orthogonal_flat

LAST = torch.channels_last_3d
KERNEL = ContextVar("KERNEL")
SHAPES = [(2, 5, 3, 4, 6), (1, 1, 2, 3, 4), (2, 32, 6, 8, 5), (3, 80, 2, 3, 2), (2, 4, 1, 1, 1)]


def apart(found, expected):
    largest = expected.abs().max().clamp_min(1e-3)
    return ((found.double() - expected.double()).abs().max() / largest).item()


def tell(case, **differences):
    sys.stdout.write(json.dumps([KERNEL.get(), case, differences]) + "\n")


def leaves(*tensors):
    return [None if one is None else one.detach().clone().requires_grad_() for one in tensors]


def norms():
    shapes = [(shape, torch.float32) for shape in SHAPES]
    shapes += itertools.product(SHAPES[1:3], (torch.bfloat16, torch.float16))
    ways = (0.01, False), (1.0, False), (0.01, True)
    for (shape, dtype), (slope, added) in itertools.product(shapes, ways):
        generator = torch.Generator().manual_seed(0)
        features, shortcut, above = (torch.randn(shape, generator=generator).to(dtype) for _ in range(3))
        features = (2 * features + 1).contiguous(memory_format=LAST)
        weight, bias, absorbed = (torch.randn(shape[1], generator=generator) for _ in range(3))
        ours = leaves(features, weight, bias, shortcut if added else None, absorbed)
        x, w, b, r, a = ours
        found = norm.instance_norm(x, w, b, slope, shortcut=r, absorbed=a)
        found.backward(above)
        exact = leaves(*(None if one is None else one.double() for one in ours[:4]))
        expected = norm.instance_norm_twin(*exact[:3], slope, shortcut=exact[3])
        expected.backward(above.double())
        names = ["features", "weight", "bias", *(["shortcut"] if added else [])]
        pairs = zip(names, ours, exact, strict=False)
        assert not a.grad.any()
        assert found.dtype == x.grad.dtype == dtype
        assert norm.side_by_side(found)[0] is found, "the answer is laid out anew"
        tell(
            f"{shape} {dtype} {slope} {added}".replace("torch.", ""),
            value=apart(found, expected),
            **{name: apart(one.grad, other.grad) for name, one, other in pairs},
        )
    _norm_of_part_of_the_channels()
    _norm_far_from_zero()


def _norm_of_part_of_the_channels():
    """As the gradient of a concatenation comes: some channels of a larger volume."""
    whole = torch.randn(2, 12, 4, 5, 6).contiguous(memory_format=LAST)
    assert norm.side_by_side(whole[:, 4:])[0].data_ptr() == whole[:, 4:].data_ptr(), "it was copied"
    x, w, b = leaves(torch.randn(2, 8, 4, 5, 6), torch.randn(8), torch.randn(8))
    norm.instance_norm(x, w, b, 0.01).backward(whole[:, 4:])
    y, v, c = leaves(x.double(), w.double(), b.double())
    norm.instance_norm_twin(y, v, c, 0.01).backward(whole[:, 4:].double())
    tell("part of channels float32", features=apart(x.grad, y.grad), weight=apart(w.grad, v.grad))


def _norm_far_from_zero():
    features = torch.randn(2, 8, 12, 10, 20) + 100
    one, zero = torch.ones(8), torch.zeros(8)
    found = norm.instance_norm(features, one, zero, 1.0)
    tell("mean of 100 spreads", value=apart(found, F.instance_norm(features.double())))


def losses():
    shapes = (7, 3, 2, 5, 4), (1, 5, 1, 7, 9), (2, 20, 2, 3, 4)
    ways = (None, False, False), (2, True, False), (None, True, True), (2, False, True)
    for shape, last, (ignore, pooled, weighed) in itertools.product(shapes, (True, False), ways):
        generator = torch.Generator().manual_seed(0)
        logits = 3 * torch.randn(shape, generator=generator)
        logits = logits.contiguous(memory_format=LAST if last else torch.contiguous_format)
        edges = [2 * edge for edge in shape[2:]]
        label = torch.randint(0, shape[1], (shape[0], *edges), generator=generator, dtype=torch.uint8)
        label = label[:, 1::2, 1::2, 1::2]
        weights = (torch.rand(shape[1], generator=generator) + 0.5) if weighed else None
        (ours,), (exact,) = leaves(logits), leaves(logits.double())
        settings = dice_ce.Settings(ignore, pooled, 1, 1e-5, 0.7, 1.3)
        found = dice_ce.dice_ce(ours, label, weights, settings)
        (3 * found).backward()
        options = {"cross_entropy": 0.7, "dice": 1.3, "class_weights": weights.tolist() if weighed else None}
        expected = DiceCE(batch_dice=pooled, ignore=ignore, **options).double()(exact, label)
        (3 * expected).backward()
        case = f"{shape} last={last} ignore={ignore} pooled={pooled} weighed={weighed}"
        tell(case, value=apart(found, expected), logits=apart(ours.grad, exact.grad))
        if not pooled:
            _sums(logits, label, ignore)
    _partly_annotated()


def _partly_annotated():
    """Labels of cases in which some classes were not annotated; the background may be far below them."""
    for shape, pooled, first, far in [
        ((3, 3, 2, 5, 4), False, 1, False),
        ((3, 3, 2, 5, 4), True, 1, False),
        ((5, 6, 3, 3, 4), False, 0, False),
        ((5, 6, 3, 3, 4), True, 0, True),
        ((2, 20, 2, 3, 4), False, 1, True),
    ]:
        generator = torch.Generator().manual_seed(2)
        logits = 3 * torch.randn(shape, generator=generator)
        if far:
            logits[:, 0] -= 120
        known = torch.rand(shape[:2], generator=generator) < 0.5
        known[:, 0], known[0], known[1, 1:] = True, True, False
        told = known[:, :, None, None, None] & (torch.rand(shape, generator=generator) < 0.3)
        label = told.to(torch.uint8).argmax(1).to(torch.uint8)
        (ours,), (exact,) = leaves(logits), leaves(logits.double())
        ignore = shape[1] - 1 if pooled else None
        settings = dice_ce.Settings(ignore, pooled, first, 1e-5, 0.7, 1.3)
        found = dice_ce.dice_ce(ours, label, None, settings, known)
        options = {"cross_entropy": 0.7, "dice": 1.3, "background": first == 0}
        expected = DiceCE(batch_dice=pooled, ignore=ignore, **options).double()(exact, label, known)
        for one in (found, expected):
            (3 * one).backward()
        case = f"partly {shape} pooled={pooled} first={first} far={far}"
        tell(case, value=apart(found, expected), logits=apart(ours.grad, exact.grad))


def _sums(logits, label, ignore):
    (ours,), (exact,) = leaves(logits), leaves(logits.double())
    found = dice_ce.class_sums(ours, label, ignore)
    expected = torch.stack(list(softmax_counts(exact, label, ignore)), 1)
    above = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * above).sum().backward()
    (expected * above).sum().backward()
    tell("sums", value=apart(found, expected), logits=apart(ours.grad, exact.grad))


def cut(squares, rows):
    """The squares with zeros beyond each one's rows, whatever was there."""
    out = torch.zeros_like(squares)
    for target, square, edge in zip(out, squares, rows, strict=True):
        target[:edge, :edge] = square[:edge, :edge]
    return out


def products():
    torch.manual_seed(0)
    shapes = [(8, 27), (32, 28), (40, 72), (70, 100), (16, 16), (4, 2 * matrices.PART + 3)]
    layout = matrices.layout_of(shapes, torch.device("cpu"))
    own = [torch.randn(shape) for shape in shapes]
    flat = torch.cat([one.flatten() for one in own])
    rows = [min(shape) for shape in shapes]
    squares = cut(torch.randn(len(shapes), layout.size, layout.size), rows)
    exact = flat.double(), squares.double()
    tell(
        "products",
        gram=apart(matrices.gram(flat, layout), matrices.gram_twin(exact[0], layout)),
        multiply=apart(
            matrices.multiply(flat, layout, squares), matrices.multiply_twin(exact[0], layout, exact[1])
        ),
    )
    own_square = cut(torch.randn(len(shapes), layout.size, layout.size), rows)
    own_square = own_square + own_square.mT
    parts = [own_square, own_square @ own_square, own_square @ own_square - own_square]  # they commute
    combined = matrices.combine(*parts, layout, (0.5, -2.0, 3.0))
    wanted = matrices.combine_twin(*(part.double() for part in parts), layout, (0.5, -2.0, 3.0))
    tell("combined", value=apart(cut(combined, rows), wanted))
    lengths = torch.arange(1.0, len(shapes) + 1)
    found = orthogonal_flat(flat, layout, lengths).split([rows * columns for rows, columns in shapes])
    pairs = zip(own, lengths, found, strict=True)
    differences = [apart(one.view(x.shape) / length, orthogonal(x[None])[0]) for x, length, one in pairs]
    tell("orthogonal", **{str(shape): one for shape, one in zip(shapes, differences, strict=True)})


def muon():
    def network():
        torch.manual_seed(0)
        parts = [nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(4, 8, 3, stride=2, padding=1)]
        return nn.Sequential(*parts, nn.ConvTranspose3d(8, 4, 2, 2), nn.Conv3d(4, 3, 1))

    def trained(net, **settings):
        optimizer = Muon(muon_groups(net), weight_decay=0.1, **settings)
        image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
        for _ in range(3):
            optimizer.zero_grad()
            net(image).square().mean().backward()
            optimizer.step()
        return [param.detach() for param in net.parameters()]

    expected = trained(network())
    matrices.fits = lambda tensor: True
    rates = {"lr": torch.tensor(0.02), "adam_lr": torch.tensor(1e-3)}
    ways = {
        "together": (network(), {}),
        "channels last": (network().to(memory_format=LAST), {}),
        "rates as tensors": (network(), rates),
    }
    for name, (net, settings) in ways.items():
        found = trained(net, **settings)
        tell(name, weights=max(apart(one, other) for one, other in zip(found, expected, strict=True)))


def noises():
    for shape, dtype in itertools.product(
        [(5, 3, 7, 11), (4, 1, 40, 56), (6, 16, 16, 16)], (torch.float32, torch.bfloat16)
    ):
        generator = torch.Generator().manual_seed(0)
        volumes = torch.randn(shape, generator=generator).to(dtype)
        rows = torch.tensor([0, 2, 3])
        keys = torch.randint(-(2**31), 2**31, (3, 2), generator=generator).to(torch.int32)
        keys[:, 1] |= 1
        values = torch.cat([torch.rand(3, 1, generator=generator), keys.view(torch.float32)], 1)
        found = volumes.clone()
        assert noise.add_noise_(found, rows, values) is found
        assert torch.equal(found[1], volumes[1])
        assert not torch.equal(found[0], volumes[0])
        expected = noise.add_noise_twin_(volumes.double(), rows, values)
        tell(f"{shape} {dtype}".replace("torch.", ""), value=apart(found, expected))


KERNELS = {"noise": noises, "norm": norms, "dice_ce": losses, "matrices": products, "muon": muon}
"""In this order: Muon's takes the kernels for all matrices from then on."""

if __name__ == "__main__":
    for name, compare in KERNELS.items():
        KERNEL.set(name)
        compare()
