"""Muon: matrices step in orthogonal directions, everything else by AdamW, in one optimiser."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from ingradient_pl.optimizers.parameters import Parameters

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST = 1e-7
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Muon(Optimizer):
    """Step every kernel by its momentum made orthogonal: all its directions learn at one pace.

    A kernel is taken as the matrix (width out, all the rest). For a transposed convolution that strides as
    far as it reaches, the same view is (width in, all that comes out): the matrix it applies to a voxel.
    Biases and norms go by AdamW, and so do kernels of one voxel that narrow: heads, whose outputs
    are no features (Jordan).

    Args:
        params: :class:`Parameters` of a network, which are grouped by :func:`muon_groups`; or parameters,
            pairs of name and parameter, or groups of either; a group may hold ``muon`` (False sends it to
            AdamW) and ``transposed``.
        lr: Length of Muon's step: spectral norm of the change, times sqrt(out / in) where a kernel widens.
        momentum: Nesterov's.
        weight_decay: Share of a weight that each step takes away, per ``lr``; of AdamW's kernels too.
        steps: Newton-Schulz iterations.
        adam_lr: Length of AdamW's step.
        adam_betas: Its memory of gradients and of their squares.
        adam_eps: Keeps it from dividing by zero.

    Raises:
        ValueError: If a rate or a memory is out of range.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, with its scale and coefficients.
    :class:`torch.optim.Muon` is the same for matrices alone, and leaves the rest to a second optimiser.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        steps: int = 5,
        adam_lr: float = 1e-3,
        adam_betas: tuple[float, float] = (0.9, 0.99),
        adam_eps: float = 1e-8,
    ) -> None:
        if min(lr, weight_decay, adam_lr, adam_eps) < 0 or steps < 1:
            raise ValueError(
                "Rates and weight decay are >= 0, and steps >= 1; got "
                f"{lr=}, {weight_decay=}, {adam_lr=}, {adam_eps=}, {steps=}."
            )
        if not all(0 <= share < 1 for share in (momentum, *adam_betas)):
            raise ValueError(f"momentum and adam_betas lie in [0, 1); got {momentum=}, {adam_betas=}.")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "steps": steps,
            "transposed": False,
            "betas": tuple(adam_betas),
            "eps": adam_eps,
            "adam_lr": adam_lr,
        }
        super().__init__(muon_groups(params.network) if isinstance(params, Parameters) else params, defaults)

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        found = param_group["params"]
        entries = [found] if isinstance(found, Tensor) else list(found)
        slow = {"lr": param_group.get("adam_lr", self.defaults["adam_lr"])}
        if "muon" in param_group:
            given = {**param_group, "params": entries}
            super().add_param_group(given if given["muon"] else {**slow, **given})
            return
        kinds = [(entry, _is_kernel(entry[1] if isinstance(entry, tuple) else entry)) for entry in entries]
        kernels = [entry for entry, kernel in kinds if kernel]
        others = [entry for entry, kernel in kinds if not kernel]
        if kernels:
            super().add_param_group({**param_group, "params": kernels, "muon": True})
        if others:
            super().add_param_group({**param_group, **slow, "params": others, "muon": False})

    @override
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params and group["muon"]:
                self._step_kernels(params, group)
            elif params:
                self._step_others(params, group)
        return loss

    def _step_kernels(self, params: list[Tensor], group: dict[str, Any]) -> None:
        grads = [cast("Tensor", param.grad) for param in params]
        buffers = [_state(self.state[param], "momentum_buffer", param) for param in params]
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, grads)
        ahead = torch._foreach_add(grads, buffers, alpha=group["momentum"])
        alike = defaultdict(list)
        for i, update in enumerate(ahead):
            alike[update.shape].append(i)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        for shape, places in alike.items():
            matrices = torch.stack([ahead[i].flatten(1) for i in places])
            directions = orthogonal(matrices, group["steps"]).to(matrices.dtype).unbind()
            rows, columns = matrices.shape[1:]
            widening = columns / rows if group["transposed"] else rows / columns
            length = group["lr"] * math.sqrt(max(1, widening))
            updates = [direction.view(shape) for direction in directions]
            torch._foreach_add_([params[i] for i in places], updates, alpha=-length)

    def _step_others(self, params: list[Tensor], group: dict[str, Any]) -> None:
        grads = [cast("Tensor", param.grad) for param in params]
        states = [self.state[param] for param in params]
        means = [_state(state, "exp_avg", param) for state, param in zip(states, params, strict=True)]
        squares = [_state(state, "exp_avg_sq", param) for state, param in zip(states, params, strict=True)]
        for state in states:
            state["step"] = state.get("step", 0) + 1
        short, long = group["betas"]
        torch._foreach_lerp_(means, grads, 1 - short)
        torch._foreach_mul_(squares, long)
        torch._foreach_addcmul_(squares, grads, grads, 1 - long)
        kernels = [param for param in params if param.ndim > 1]
        if group["weight_decay"] and kernels:
            torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, [math.sqrt(1 - long ** state["step"]) for state in states])
        torch._foreach_add_(roots, group["eps"])
        lengths = [-group["lr"] / (1 - short ** state["step"]) for state in states]
        torch._foreach_addcdiv_(params, means, roots, lengths)


def muon_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Groups for :class:`Muon` that tell transposed convolutions apart, whose matrices stand on end.

    From bare parameters they cannot be told, and step by a factor of sqrt(out / in) less.
    """
    turned = {id(module.weight) for module in network.modules() if isinstance(module, TRANSPOSED)}
    apart: dict[bool, list[Tensor]] = {False: [], True: []}
    for param in network.parameters():
        apart[id(param) in turned].append(param)
    return [{"params": params, "transposed": key} for key, params in apart.items() if params]


def orthogonal(
    matrices: Float[Tensor, "batch rows columns"], steps: int = 5
) -> Float[Tensor, "batch rows columns"]:
    """Bring all singular values near one (0.7 to 1.2) and leave the singular vectors.

    Each iteration is X <- (a + b A + c A A) X with A = X X'. On a GPU it runs as it stands, in bfloat16. On
    the CPU the small A is iterated instead of X, which is the same but for rounding (A <- P A P, and the
    product of all P meets X once): a quarter of the work for kernels. A holds squares, so it wants true
    32 bits: where matrix products were allowed to be coarser, it takes 64.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if tall else matrices
    wide = wide / wide.flatten(1).norm(dim=1).clamp_min(SMALLEST)[:, None, None]
    if wide.is_cpu:
        fine = torch.get_float32_matmul_precision() == "highest"
        near = _by_squares(wide.float() if fine else wide.double(), steps)
    else:
        near = _by_iteration(wide.bfloat16(), steps)
    return near.mT.contiguous() if tall else near


def _by_iteration(matrices: Tensor, steps: int) -> Tensor:
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = matrices @ matrices.mT
        turn = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        matrices = torch.baddbmm(matrices, turn, matrices, beta=a)
    return matrices


def _by_squares(matrices: Tensor, steps: int) -> Tensor:
    a, b, c = COEFFICIENTS
    gram = matrices @ matrices.mT
    product = None
    for step in range(steps):
        turn = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        turn.diagonal(dim1=1, dim2=2).add_(a)
        product = turn if product is None else turn @ product
        if step < steps - 1:
            gram = turn @ gram @ turn
    assert product is not None  # steps >= 1
    return product @ matrices


def _is_kernel(param: Tensor) -> bool:
    """Whether it is a matrix between features; a kernel of one voxel that narrows is a head."""
    matrix = param.ndim > 1
    point = matrix and param.shape[2:].numel() == 1
    return matrix and not (point and param.shape[0] < param.shape[1])


def _state(state: dict[str, Any], name: str, param: Tensor) -> Tensor:
    if name not in state:
        state[name] = torch.zeros_like(param, memory_format=torch.preserve_format)
    found: Tensor = state[name]
    return found
