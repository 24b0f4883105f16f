"""SegmentationModule: a network, its loss, its optimiser and schedule, under Lightning's hooks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities import rank_zero_warn
from pytorch_lightning.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from ingradient_pl.lightning.callbacks.changed_settings import ChangedSettings
from ingradient_pl.lightning.callbacks.epoch_log import EpochLog
from ingradient_pl.lightning.callbacks.finite import StopAtNaN
from ingradient_pl.lightning.callbacks.freeze import make_freeze
from ingradient_pl.lightning.callbacks.idle import TellIdle
from ingradient_pl.lightning.callbacks.run_record import RunRecord
from ingradient_pl.lightning.callbacks.self_contained import SelfContained
from ingradient_pl.lightning.callbacks.throughput import Throughput
from ingradient_pl.lightning.callbacks.time_left import TRAIN_LOSS, is_told_to_bar
from ingradient_pl.lightning.callbacks.validation_dice import ValidationDice
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.device_check import check_run
from ingradient_pl.lightning.further_volumes import takes_extra
from ingradient_pl.lightning.graph import graph_problem, make_graph
from ingradient_pl.lightning.loss_agreement import check_use_of_data
from ingradient_pl.lightning.module_settings import name_settings
from ingradient_pl.lightning.network_seed import mix_seed, seed_network
from ingradient_pl.lightning.own_plan import make_parts
from ingradient_pl.lightning.precision import check_precision
from ingradient_pl.lightning.process_agreement import check_processes
from ingradient_pl.lightning.quiet import spare_steps
from ingradient_pl.lightning.run_schedule import make_schedule, run_length
from ingradient_pl.lightning.step_values import as_pyramid, is_logged, step_inputs
from ingradient_pl.lightning.whole_cases import WholeCaseModule, check_strategy
from ingradient_pl.networks.external import ExternalNetwork, freeze_unused
from ingradient_pl.optimizers.parameters import Parameters, scale_rates
from ingradient_pl.optimizers.step_graph import GraphError, StepGraph
from ingradient_pl.planning.plan import Plan
from ingradient_pl.short_repr import describe
from ingradient_pl.transforms.patch import Batch


class SegmentationModule(WholeCaseModule):
    """Fit a network whose output is a pyramid of logits, finest first.

    Args:
        network: Image ``(batch, channel, z, y, x)`` to logits of each supervised level; None takes
            the plan's.
        loss: Pyramid and label ``(batch, z, y, x)`` to a scalar; None takes the plan's.
        optimizer: Makes the optimiser from the network's parameters.
        scheduler: Makes the learning-rate schedule from the optimiser.
        interval: What the schedule counts: optimiser steps or epochs.
        length_argument: Name of the schedule's argument that takes the length of the run, counted so; None
            where it has none.
        compile: Whether the network is compiled on its first step. Weights keep their names, so
            checkpoints predict and resume without it.
        graph: Whether a training step is recorded on its first batch and replayed as one launch (a CUDA
            graph): "auto" where it can be, with a line that says why where it cannot on a GPU; True tries
            with networks of other packages too, and refuses where it cannot; False never.
        freeze: Names of the network's parameters that do not train, with ``*`` and ``?``: ``encoder.*``.
        freeze_epochs: After how many epochs they train as well; None: never.
        layer_decay: Factor in (0, 1] by which a stage of the network learns more slowly than the one after
            it, from the heads back to the first convolution; 1: all alike.
        plan: What network and loss are made of where they are not given; LightningCLI takes the data's.
    """

    def __init__(  # noqa: PLR0913 (one for each group or key of the config)
        self,
        network: nn.Module | None = None,
        loss: nn.Module | None = None,
        optimizer: OptimizerCallable = torch.optim.SGD,
        scheduler: LRSchedulerCallable = torch.optim.lr_scheduler.ConstantLR,
        interval: Literal["step", "epoch"] = "step",
        length_argument: str | None = None,
        *,
        compile: bool = False,
        graph: Literal["auto"] | bool = "auto",
        freeze: Sequence[str] = (),
        freeze_epochs: int | None = None,
        layer_decay: float = 1.0,
        plan: Plan | None = None,
    ) -> None:
        super().__init__()
        if graph not in (True, False, "auto") or interval not in ("step", "epoch"):
            raise ValueError(
                f"module.graph is auto, true or false, and module.interval step or epoch; got {graph} and "
                f"{interval}."
            )
        network, loss = make_parts(network, loss, plan)
        self.freeze_patterns = (freeze,) if isinstance(freeze, str) else tuple(freeze)
        self.freeze_epochs, self.layer_decay = freeze_epochs, layer_decay
        self.init_record: dict[str, Any] | None = None  # where the weights came from, for the run's record
        self._graph: StepGraph | None = None
        self._replays = False  # whether the batch at hand is stepped by it
        self.network, self.loss = network, loss
        self.optimizer, self.scheduler = optimizer, scheduler
        self.interval, self.length_argument, self.graph = interval, length_argument, graph
        self.save_hyperparameters(name_settings(self), logger=False)
        if compile:
            self.network.compile()  # in place, where torch.compile would wrap it and so rename its weights

    @override
    def __repr__(self) -> str:
        return describe(self, {"network": self.network, "loss": self.loss})

    @override
    def setup(self, stage: str) -> None:
        super().setup(stage)
        check_precision(self.trainer.precision)
        check_strategy(self.trainer.strategy)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, SegmentationData):
            check_use_of_data(self.loss, data)
            self._freeze_unused(data)

    @override
    def configure_callbacks(self) -> list[pl.Callback]:
        # whoever trains this gets checkpoints that predict on their own, and runs that know what they are
        trainer = self._trainer
        given = getattr(trainer, "callbacks", ())
        dice = [] if any(isinstance(one, ValidationDice) for one in given) else [ValidationDice()]
        several = trainer is not None and trainer.num_devices * trainer.num_nodes > 1
        freeze = make_freeze(self.freeze_patterns, self.freeze_epochs, several=several)
        own = [SelfContained(), RunRecord(), ChangedSettings(), Throughput(), EpochLog(), StopAtNaN()]
        return [*dice, *own, *freeze, TellIdle()]

    @override
    def forward(self, image: torch.Tensor) -> Any:
        return self.network(image)

    @override
    def on_fit_start(self) -> None:
        check_processes(self.trainer)
        self._seed = torch.initial_seed()  # what seed_everything set, the same on all ranks

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_current_fx_name":  # a text that Lightning sets twice a hook: no module, no weight
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @override
    def on_train_start(self) -> None:
        spare_steps(self.trainer)
        check_run(self.trainer, self.network)
        problem = "module.graph=false"
        if self.graph is not False:
            found = graph_problem(self.trainer, self.network, any_network=self.graph is True)
            if takes_extra(self.loss):
                found = "the loss takes the further volume of each case"
            if found is None:
                self._graph = make_graph(self.trainer, self.network, self.loss)
                return
            problem = found
        self._without_graph(problem, told=self.graph is True or self.device.type == "cuda")

    @override
    def on_fit_end(self) -> None:
        self._graph = None  # and the memory it holds

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0 and self._graph is not None and self._graph.is_outdated():
            self.record_again()
        self._replays = self._prepare_graph(batch)
        # Dropout depends on seed and patches alone, as these do: a resumed run drops what it would have
        seed_network(mix_seed(self._seed, batch.numbers[0]), self.device)

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        if self._replays and self._graph is not None:
            outputs = self._graph(*step_inputs(batch))
            loss, pyramid = outputs.loss.clone(), outputs.pyramid
        else:
            pyramid = as_pyramid(self.network(batch.image))
            loss = self._loss(pyramid, batch)
        if is_logged(self.trainer, batch_idx):
            self.log(TRAIN_LOSS, loss, prog_bar=is_told_to_bar(self.trainer), batch_size=len(batch.cases))
        if not self._is_looked_at(batch_idx):
            return {"loss": loss}  # logits that nobody looks at would stay until the next step
        return {"loss": loss, "pyramid": [level.detach() for level in pyramid]}

    @override
    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        if not self._replays:  # what is replayed has been there and back
            super().backward(loss, *args, **kwargs)

    @override
    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        if not self._replays:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    @override
    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: torch.optim.Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        if self._replays and optimizer_closure is not None:
            optimizer_closure()
        else:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        return self._score(batch, "val/loss")

    @override
    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        return self._score(batch, "test/loss")

    def _score(self, batch: Batch, name: str) -> dict[str, Any]:
        pyramid = as_pyramid(self.network(batch.image))
        loss = self._loss(pyramid, batch)
        self.log(name, loss, prog_bar=True, batch_size=len(batch.cases), sync_dist=True)
        return {"loss": loss, "pyramid": pyramid}

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(Parameters(self.network, self.layer_decay))
        scale_rates(optimizer)
        scheduler = self.make_scheduler(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": LRSchedulerConfigType(scheduler=scheduler, interval=self.interval),
        }

    def make_scheduler(self, optimizer: Optimizer, steps: int | None = None) -> Any:
        """Make the schedule of the whole run, at its first step.

        Args:
            optimizer: Whose rates it sets.
            steps: Of the whole run, where the schedule counts steps; None: as the trainer reckons them.

        Raises:
            ValueError: If the schedule has a length and the run has none.
        """
        argument = self.length_argument
        length = None if argument is None else run_length(self.trainer, self.interval, steps)
        return make_schedule(self.scheduler, optimizer, argument, length)

    def _loss(self, pyramid: list[torch.Tensor], batch: Batch) -> Any:
        more = {"extra": batch.extra} if takes_extra(self.loss) else {}
        return self.loss(pyramid, *step_inputs(batch)[1:], **more)

    def record_again(self) -> None:
        """Have the next step recorded anew, where steps are: other weights train than before."""
        if self._graph is not None:
            self._graph = make_graph(self.trainer, self.network, self.loss)

    def _freeze_unused(self, data: SegmentationData) -> None:
        """Ask no gradient of weights that get none where several processes train: they would wait for it."""
        if self.trainer.world_size == 1 or not isinstance(self.network, ExternalNetwork):
            return
        unused = freeze_unused(self.network, (2, data.inputs, *data.plan.patch))
        if unused:
            rank_zero_warn(
                f"The levels that are kept do not depend on {len(unused)} weights of the network "
                f"({unused[0]}, ...): they are not trained."
            )

    def _prepare_graph(self, batch: Batch) -> bool:
        """Record the step where it is not yet; tell whether this batch is stepped by the record."""
        if self._graph is None or not self._graph.takes(*step_inputs(batch)):
            return False
        try:
            self._graph.prepare(*step_inputs(batch))
        except GraphError as error:
            self._graph = None
            self._without_graph(str(error), told=True)
        return self._graph is not None

    def _without_graph(self, problem: str, *, told: bool) -> None:
        """Go on without a record of the step, or refuse where one was asked for.

        Raises:
            ValueError: If ``module.graph=true``.
        """
        if self.graph is True:
            raise ValueError(
                f"module.graph=true, but a training step cannot be recorded: {problem}. Set "
                "module.graph=auto to train without where it cannot."
            )
        if told:
            rank_zero_warn(
                f"Training steps are launched one kernel at a time, not as a CUDA graph: {problem}"
            )

    def _is_looked_at(self, batch_idx: int) -> bool:
        """Whether a callback may look at the logits of a training batch."""
        known = [getattr(one, "looks_at", None) for one in self.trainer.callbacks]  # type: ignore[attr-defined]
        return any(looks is not None and looks(self.trainer, batch_idx) for looks in known)
