"""Muon: matrices step in orthogonal directions, everything else by AdamW, in one optimiser."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from typing_extensions import override

from ingradient_pl.kernels import matrices
from ingradient_pl.optimizers.orthogonal import orthogonal, orthogonal_flat
from ingradient_pl.optimizers.parameters import RATE, Parameters

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Muon(Optimizer):
    """Step every kernel by its momentum made orthogonal: all its directions learn at one pace.

    A kernel is taken as the matrix (width out, all the rest). For a transposed convolution that strides as
    far as it reaches, the same view is (width in, all that comes out): the matrix it applies to a voxel.
    Biases and norms go by AdamW, and so do kernels of one voxel that narrow: heads, whose outputs
    are no features (Jordan).

    Where the fused products can be used (CUDA with Triton) the kernels of all groups are stepped together, in
    a number of launches that does not grow with theirs. Nothing here asks the host to wait, and rates may be
    tensors, so that a CUDA graph can hold a step.

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
            "capturable": True,  # torch then loads the count of steps to where the parameter is
        }
        if isinstance(params, Parameters):
            params = muon_groups(params.network, params.rates())
        super().__init__(params, defaults)

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
        together: dict[Any, list[tuple[Tensor, dict[str, Any]]]] = defaultdict(list)
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if not group["muon"]:
                self._step_others(params, group)
                continue
            flat = [param for param in params if matrices.fits(param) and _rows_outermost(param)]
            if params:
                self._decay(params, group)
            for param in flat:
                together[param.device, group["momentum"], group["steps"]].append((param, group))
            taken = {id(param) for param in flat}
            self._step_by_shape([param for param in params if id(param) not in taken], group)
        for kernels in together.values():
            self._step_flat(kernels)
        return loss

    def _decay(self, params: list[Tensor], group: dict[str, Any]) -> None:
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])

    def _ahead(self, params: list[Tensor], momentum: float) -> list[Tensor]:
        """Take the gradients into the momentum, and give what lies ahead of it (Nesterov)."""
        grads = [cast("Tensor", param.grad) for param in params]
        buffers = [_state(self.state[param], "momentum_buffer", param) for param in params]
        torch._foreach_mul_(buffers, momentum)
        torch._foreach_add_(buffers, grads)
        return list(torch._foreach_add(grads, buffers, alpha=momentum))

    def _step_by_shape(self, params: list[Tensor], group: dict[str, Any]) -> None:
        if not params:
            return
        ahead = self._ahead(params, group["momentum"])
        alike = defaultdict(list)
        for i, update in enumerate(ahead):
            alike[update.shape].append(i)
        for shape, places in alike.items():
            stacked = torch.stack([ahead[i].flatten(1) for i in places])
            directions = orthogonal(stacked, group["steps"]).to(stacked.dtype).unbind()
            length = group["lr"] * _widening(params[places[0]], group)
            updates = [direction.view(shape) for direction in directions]
            if isinstance(length, Tensor):  # its number is not the host's to know
                torch._foreach_mul_(updates, length)
                length = 1.0
            torch._foreach_add_([params[i] for i in places], updates, alpha=-length)

    def _step_flat(self, kernels: list[tuple[Tensor, dict[str, Any]]]) -> None:
        """Step the kernels of several groups together, each as it lies in memory: a row for each output.

        The order of a row's values may differ from layout to layout, which orthogonal directions do not mind.
        """
        params, group = [param for param, _ in kernels], kernels[0][1]
        ahead = self._ahead(params, group["momentum"])
        flat = torch.cat(
            [_in_memory(_match_layout(one, param)) for one, param in zip(ahead, params, strict=True)]
        )
        layout, factors = self._flat_layout(kernels)
        rates = [-one["lr"] * own for one, own in factors]
        lengths = torch.cat(rates) if len(rates) > 1 else rates[0]
        update = orthogonal_flat(flat, layout, lengths, group["steps"])
        sizes = [param.numel() for param in params]
        torch._foreach_add_([_in_memory(param) for param in params], torch.split(update, sizes))

    def _flat_layout(
        self, kernels: list[tuple[Tensor, dict[str, Any]]]
    ) -> tuple[matrices.Layout, list[tuple[dict[str, Any], Tensor]]]:
        """Give where matrices lie, and each group's factors; copied to the device the first time only."""
        known: dict[Any, Any] = self.__dict__.setdefault("_layouts", {})  # not of the state that is saved
        key = tuple((id(param), id(group)) for param, group in kernels)
        if key not in known:
            device = kernels[0][0].device
            shapes = [(param.shape[0], param.shape[1:].numel()) for param, _ in kernels]
            by_group: dict[int, tuple[dict[str, Any], list[float]]] = {}
            for param, group in kernels:
                by_group.setdefault(id(group), (group, []))[1].append(_widening(param, group))
            factors = [(group, torch.tensor(own, device=device)) for group, own in by_group.values()]
            known[key] = matrices.layout_of(shapes, device), factors
        layout, held = known[key]
        return layout, held

    def _step_others(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """Step by AdamW, whose decay is for kernels alone."""
        for decays in (True, False):
            chosen = [param for param in params if (param.ndim > 1 and group["weight_decay"] > 0) == decays]
            if not chosen:
                continue
            states = [self.state[param] for param in chosen]
            means = [_state(state, "exp_avg", param) for state, param in zip(states, chosen, strict=True)]
            squares = [
                _state(state, "exp_avg_sq", param) for state, param in zip(states, chosen, strict=True)
            ]
            counts = [_count(state, param) for state, param in zip(states, chosen, strict=True)]
            torch._foreach_add_(counts, 1)
            short, long = group["betas"]
            torch._fused_adamw_(
                chosen,
                [cast("Tensor", param.grad) for param in chosen],
                means,
                squares,
                [],
                counts,
                lr=group["lr"],
                beta1=short,
                beta2=long,
                weight_decay=group["weight_decay"] if decays else 0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )


def muon_groups(network: nn.Module, rates: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Groups for :class:`Muon` that tell transposed convolutions apart, whose matrices stand on end.

    From bare parameters they cannot be told, and step by a factor of sqrt(out / in) less.

    Args:
        network: All its parameters are given, each once.
        rates: Share of the learning rates of each parameter, by name; those of one share are a group.
    """
    turned = {id(module.weight) for module in network.modules() if isinstance(module, TRANSPOSED)}
    shares = rates or {}
    keys = [(share, key) for share in dict.fromkeys(shares.values()) or (None,) for key in (False, True)]
    apart: dict[tuple[float | None, bool], list[Tensor]] = {key: [] for key in keys}
    for name, param in network.named_parameters():
        apart[shares.get(name), id(param) in turned].append(param)
    return [
        {"params": params, "transposed": key, **({} if share is None else {RATE: share})}
        for (share, key), params in apart.items()
        if params
    ]


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


def _count(state: dict[str, Any], param: Tensor) -> Tensor:
    """Give the number of steps done, on the parameter's device."""
    found = state.get("step", 0)
    if not isinstance(found, Tensor):
        found = torch.tensor(float(found), dtype=torch.float32, device=param.device)
    state["step"] = counted = found.to(param.device, torch.float32)
    return counted


def _widening(param: Tensor, group: dict[str, Any]) -> float:
    """How much longer a kernel's step is for giving more than it takes."""
    rows, columns = param.shape[0], param.shape[1:].numel()
    return math.sqrt(max(1, columns / rows if group["transposed"] else rows / columns))


def _rows_outermost(param: Tensor) -> bool:
    """Whether the values of each output lie together in memory, without gaps."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    last = param.ndim in layouts and param.is_contiguous(memory_format=layouts[param.ndim])
    return last or param.is_contiguous()


def _match_layout(tensor: Tensor, param: Tensor) -> Tensor:
    return tensor if tensor.stride() == param.stride() else torch.empty_like(param).copy_(tensor)


def _in_memory(tensor: Tensor) -> Tensor:
    """Give the values in the order they lie, as a view."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))
