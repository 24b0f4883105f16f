"""A whole training step recorded once and replayed: forward, loss, backward, clipping and optimiser.

On CUDA a step of many small kernels costs the host more than the device. Recorded as a CUDA graph it is one
launch. What a record holds are addresses: inputs are copied to where they were, weights and state are changed
in place, and what changes from step to step (the learning rates) is read from tensors.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from ingradient_pl.optimizers.recorder import CudaRecorder, Outputs, Recorder
from ingradient_pl.optimizers.snapshot import Snapshot

WARM_UP = 3
"""Steps before recording, in which libraries choose their ways and make their buffers."""
CHECKED = 2
"""Batches whose replayed step is held against one that is not."""
LOSS_TOLERANCE, CHANGE_TOLERANCE = 0.02, 0.3
"""Of the loss (absolute, and of its size), and of the change of all weights. Muon's directions are equally
long however weak, so they show what rounding leaves open; a record that reads elsewhere is off by all."""
MOVING = {"params", "lr", "initial_lr", "fused", "foreach", "capturable"}
"""Entries of an optimiser's group that may change between steps."""

OWN = set(vars(nn.Module())) - {"training"}
"""What every module of torch has, whatever it is."""


class GraphError(RuntimeError):
    """A step that cannot be recorded, or whose record does not do what the step does; says why."""


class StepGraph:
    """A training step on batches of one shape, recorded on the first of them.

    Args:
        network: Image (batch, channel, z, y, x) to logits of each level, finest first; or to bare logits.
        loss: Takes them, the label and whatever else comes with a batch, gives a scalar.
        optimizer: Steps the network. Its learning rates may change between steps, nothing else of it.
        clip: Clips the gradients, without asking for their norm; None leaves them.
        autocast: Makes the context of forward and loss. It must not cache casts of weights between steps.
        forward: Calls the network; None calls it as it is.
        recorder: How steps are recorded.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        optimizer: Optimizer,
        *,
        clip: Callable[[], object] | None = None,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        forward: Callable[[Tensor], Any] | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.clip, self.autocast = clip, autocast
        self.forward: Callable[[Tensor], Any] = network if forward is None else forward
        self.recorder: Recorder = CudaRecorder() if recorder is None else recorder
        self.inputs: tuple[Tensor, ...] | None = None
        self.outputs: Outputs | None = None
        self.checks = CHECKED
        self._replay: Callable[[], None] | None = None
        self._constants: Any = None
        self._settings: Any = None
        self._rates: list[Tensor] = []

    def takes(self, image: Tensor, *truth: Tensor) -> bool:
        """Whether a batch is of the shape that is recorded; any is before the first.

        Args:
            image: Shape (batch, channel, z, y, x).
            *truth: The label, shape (batch, z, y, x), and whatever else the loss takes.
        """
        if self.inputs is None:
            return True
        return len(truth) + 1 == len(self.inputs) and all(
            one.shape == held.shape and one.dtype == held.dtype
            for one, held in zip((image, *truth), self.inputs, strict=True)
        )

    def is_outdated(self) -> bool:
        """Whether numbers, words or modes of network or loss, which a record holds, have changed since.

        It goes through all modules: something to be asked once an epoch.
        """
        return self._replay is not None and self._settings != _settings(self.network, self.loss)

    def prepare(self, image: Tensor, *truth: Tensor) -> None:
        """Record the step if it is not, and hold it against one that is not, on the first batches.

        Weights, optimiser and random numbers are as before afterwards, also where it fails.

        Args:
            image: Shape (batch, channel, z, y, x).
            *truth: The label, shape (batch, z, y, x), and whatever else the loss takes.

        Raises:
            GraphError: If that cannot be done, or the record does something else.
        """
        if self._replay is not None and self._constants != _constants(self.optimizer, self.network):
            raise GraphError(
                "a setting of the optimiser other than its rates, or what is trained, changes in the run"
            )
        if self._replay is not None and not self.checks:
            return
        before = Snapshot(self.network, self.optimizer)
        devices = [image.device] if image.is_cuda else []
        with torch.random.fork_rng(devices):
            try:
                self._load(image, *truth)
                if self._replay is None:
                    self._record(before)
                self._check(before)
                self.checks -= 1
            except GraphError:
                raise
            except Exception as error:
                line = " ".join(str(error).split())[:200]
                raise GraphError(f"recording it failed ({type(error).__name__}: {line})") from error
            finally:
                before.restore()

    def __call__(self, image: Tensor, *truth: Tensor) -> Outputs:
        """Step on a batch; :meth:`prepare` comes before."""
        if self._replay is None or self.outputs is None:
            raise GraphError("nothing is recorded yet")
        self._load(image, *truth)
        self._load_rates()
        self._replay()
        return self.outputs

    def _load(self, *batch: Tensor) -> None:
        if self.inputs is None:
            self.inputs = tuple(one.detach().clone() for one in batch)
        for held, one in zip(self.inputs, batch, strict=True):
            held.copy_(one)

    def _record(self, before: "Snapshot") -> None:
        prepare_optimizer(self.optimizer)
        device = next(self.network.parameters()).device
        groups = self.optimizer.param_groups
        self._rates = [torch.tensor(float(group["lr"]), device=device) for group in groups]
        self._constants = _constants(self.optimizer, self.network)
        self._settings = _settings(self.network, self.loss)
        with self._recordable():
            self.recorder.warm_up(self._step, WARM_UP)
            before.restore()
            self._replay, self.outputs = self.recorder.record(self._step)

    def _step(self) -> Outputs:
        assert self.inputs is not None  # loaded before
        image, *truth = self.inputs
        self.optimizer.zero_grad(
            set_to_none=True
        )  # a record's gradients lie in its memory, written not added to
        with self.autocast():
            given = self.forward(image)
            loss = self.loss(given, *truth)
        loss.backward()
        if self.clip is not None:
            self.clip()
        self.optimizer.step()
        levels = [given] if isinstance(given, Tensor) else list(given)
        return Outputs(loss.detach(), [level.detach() for level in levels])

    def _check(self, before: "Snapshot") -> None:
        """Hold two replayed steps against two that are not: losses, and where they lead the weights."""
        assert self._replay is not None  # recorded before
        assert self.outputs is not None
        ends, losses = [], []
        self._load_rates()
        for replayed in (False, True):
            before.restore()
            torch.manual_seed(0)
            for _ in range(2):
                if replayed:
                    self._replay()
                outputs = self.outputs if replayed else self._step()
                losses.append(outputs.loss.float().clone())
            ends.append(before.changes())
        _compare(torch.stack(losses[:2]), torch.stack(losses[2:]), *ends)

    def _load_rates(self) -> None:
        for rate, group in zip(self._rates, self.optimizer.param_groups, strict=True):
            found = group["lr"]
            if isinstance(found, Tensor):
                rate.copy_(found)
            else:
                rate.fill_(found)

    @contextmanager
    def _recordable(self) -> Iterator[None]:
        """Let the optimiser read its rates from tensors, which torch's SGD does in its fused form alone."""
        groups = self.optimizer.param_groups
        held = [dict(group) for group in groups]
        fused = {"fused": True, "foreach": False} if isinstance(self.optimizer, SGD) else {}
        for group, rate in zip(groups, self._rates, strict=True):
            group.update({"lr": rate, **fused})
        try:
            yield
        finally:
            for group, entries in zip(groups, held, strict=True):
                group.update({key: entries[key] for key in ("lr", *fused)})


def optimizer_problem(optimizer: Optimizer) -> str | None:
    """Say why an optimiser's step cannot be recorded; None if it can.

    Args:
        optimizer: With the groups that it will step.
    """
    name = type(optimizer).__name__
    groups = optimizer.param_groups
    if isinstance(optimizer, SGD):
        return "SGD with dampening begins otherwise" if any(group["dampening"] for group in groups) else None
    if all("capturable" in group for group in groups):
        return None
    return f"{name} keeps the count of its steps on the host"


def prepare_optimizer(optimizer: Optimizer) -> None:
    """Let an optimiser of torch's keep its count of steps on the device.

    Args:
        optimizer: Changed in place; one of no torch class is left as it is.
    """
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True
    for param, state in optimizer.state.items():
        count = state.get("step")
        if isinstance(count, Tensor):
            state["step"] = count.to(param.device)


def _constants(optimizer: Optimizer, network: nn.Module) -> Any:
    groups = [
        {key: value for key, value in group.items() if key not in MOVING} for group in optimizer.param_groups
    ]
    learnt = [param.requires_grad for group in optimizer.param_groups for param in group["params"]]
    return groups, learnt, network.training


def _settings(*modules: nn.Module) -> list[dict[str, Any]]:
    """Give what modules hold beside tensors and modules: numbers, words, tuples and lists of them."""
    return [
        {key: value for key, value in vars(one).items() if key not in OWN and _is_plain(value)}
        for module in modules
        for one in module.modules()
    ]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _compare(expected: Tensor, found: Tensor, wanted: Sequence[Tensor], reached: Sequence[Tensor]) -> None:
    """Compare losses, and changes of the weights.

    Raises:
        GraphError: If they are not those of the same step.
    """
    apart = torch._foreach_sub(list(reached), list(wanted))
    sizes = [torch.stack(torch._foreach_norm(list(one))).norm() for one in (apart, wanted)]
    off = (found - expected).abs() / (1 + expected.abs())
    told = torch.cat([off, torch.stack(sizes), expected, found]).tolist()
    worst, difference, change = max(told[:2]), told[2], told[3]
    if not (worst <= LOSS_TOLERANCE and difference <= CHANGE_TOLERANCE * change):
        raise GraphError(
            f"replayed, it does something else: losses {told[6:]} instead of {told[4:6]}, and weights whose "
            f"change is off by {difference:.3g} of {change:.3g}"
        )
