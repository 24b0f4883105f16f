"""A resumed run follows its config: what was changed holds, though the checkpoint remembers otherwise."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from ingradient_pl.lightning.counted_steps import count_steps, steps_per_epoch
from ingradient_pl.lightning.run_log import tell

RATES = ("lr", "initial_lr")
NOT_SETTINGS = ("params", *RATES)
PLAIN = (bool, int, float, str, type(None))


class ChangedSettings(pl.Callback):
    """Apply changed settings of optimiser, schedule and callbacks once a run was resumed.

    Lightning restores them with their state, so that a new learning rate, weight decay or length would stand
    in the config and do nothing. Each checkpoint holds what was configured; where that differs now

    - settings of the optimiser's groups are set,
    - another learning rate scales the schedule,
    - another schedule or another length is followed as if it had held from the first step,
    - arguments of callbacks that they restore with their state are as configured.

    Raises:
        ValueError: If the optimiser is of another class: its state would mean nothing to this one.
    """

    def __init__(self) -> None:
        self.before: dict[str, Any] = {}
        self.now: dict[str, Any] = {}
        self.per_epoch = 0
        self.arguments: dict[int, dict[str, Any]] = {}

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self.arguments = {
            id(one): _restored_arguments(one) for one in callbacks if not isinstance(one, ModelCheckpoint)
        }

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.now = {
            "optimizers": [
                {"class": _name(type(one)), "groups": [_plain(group) for group in one.param_groups]}
                for one in trainer.optimizers
            ],
            "scheduler": _describe_schedule(getattr(pl_module, "scheduler", None)),
            "length": _length(trainer, pl_module),
            "counted": {"steps": 0, "epochs": 0.0, "per_epoch": steps_per_epoch(trainer)},
        }
        for old, new in zip(self.before.get("optimizers", ()), self.now["optimizers"], strict=False):
            if old["class"] != new["class"]:
                raise ValueError(
                    f"The run was trained with {old['class']}, its config now names {new['class']}: "
                    "a resumed run keeps its optimiser. Start a new run for another one."
                )
            if len(old["groups"]) != len(new["groups"]):
                raise ValueError(
                    f"The run was trained with {len(old['groups'])} groups of weights of one rate each, its "
                    f"config now makes {len(new['groups'])}: what the optimiser remembers does not fit. "
                    "Keep module.layer_decay and the network, or start a new run: init_from=RUN"
                )

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            vars(callback).update(self.arguments.get(id(callback), {}))
        if not self.before:
            return
        rescaled = False
        for optimizer, old, new in zip(
            trainer.optimizers, self.before["optimizers"], self.now["optimizers"], strict=False
        ):
            rescaled |= _apply(optimizer, old["groups"], new["groups"])
        steps = count_steps(trainer, self.before, self.now)
        schedule = ("scheduler", "length")
        changed = [key for key in schedule if self.before.get(key) != self.now[key]]
        if changed or steps is not None:
            self._follow(trainer, pl_module, steps)
        if changed:
            tell(f"The schedule is followed anew: {', '.join(changed)} changed.")
        elif rescaled and steps is None:
            self._scale(trainer)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.per_epoch = _steps_of_whole_epochs(checkpoint)
        known = checkpoint.get("callbacks", {})
        for one in trainer.checkpoint_callbacks:
            if isinstance(one, ModelCheckpoint) and one.monitor is not None and one.state_key not in known:
                tell(f"{one.filename}.ckpt is chosen anew, by {one.monitor} ({one.mode}): it was not before.")

    @override
    def state_dict(self) -> dict[str, Any]:
        return self.now

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        counted = {"steps": 0, "epochs": 0.0, "per_epoch": self.per_epoch}
        self.before = {"counted": counted, **state_dict} if state_dict else {}

    def _follow(self, trainer: pl.Trainer, module: pl.LightningModule, steps: int | None) -> None:
        """Put each schedule where it would be, had its settings held from the first step."""
        make = getattr(module, "make_scheduler", None)
        if make is None:
            return
        for config, new in zip(trainer.lr_scheduler_configs, self.now["optimizers"], strict=False):
            old = config.scheduler
            for group, configured in zip(old.optimizer.param_groups, new["groups"], strict=True):
                group["lr"] = group["initial_lr"] = configured["lr"]
            config.scheduler = _make_advanced(partial(make, steps=steps), old.optimizer, old.last_epoch)

    def _scale(self, trainer: pl.Trainer) -> None:
        """Scale what a schedule remembers of its rates with the groups' own."""
        for config, old, new in zip(
            trainer.lr_scheduler_configs, self.before["optimizers"], self.now["optimizers"], strict=False
        ):
            factors = [
                after["lr"] / before["lr"] for before, after in zip(old["groups"], new["groups"], strict=True)
            ]
            scheduler = config.scheduler
            for name in ("base_lrs", "_last_lr"):
                if hasattr(scheduler, name):
                    scaled = [
                        rate * factor for rate, factor in zip(getattr(scheduler, name), factors, strict=True)
                    ]
                    setattr(scheduler, name, scaled)


def _steps_of_whole_epochs(checkpoint: dict[str, Any]) -> int:
    """Give the steps of an epoch where a checkpoint was saved at the end of one; else 0.

    For checkpoints of before steps were counted: a run that accumulates gradients from now on would take
    them all for steps as they are now.
    """
    progress = checkpoint.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {}).get("current", {})
    done, steps = progress.get("processed", 0), checkpoint.get("global_step", 0)
    return steps // done if done == checkpoint.get("epoch", -1) + 1 and not steps % done else 0


def _apply(optimizer: Optimizer, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    """Set what was configured otherwise; whether a learning rate was among it."""
    rescaled = False
    for group, before, after in zip(optimizer.param_groups, old, new, strict=False):
        for key, value in after.items():
            if before.get(key) != value and key not in NOT_SETTINGS:
                group[key] = value
                tell(f"{key} is {value} from here on (it was {before.get(key)}).")
        if before["lr"] != after["lr"]:
            rescaled = True
            factor = after["lr"] / before["lr"] if before["lr"] else 0.0
            group["lr"] *= factor
            group["initial_lr"] = after["lr"]
            tell(f"The learning rate is that of {after['lr']:g} from here on (it was {before['lr']:g}).")
    return rescaled


def _make_advanced(make: Callable[[Optimizer], LRScheduler], optimizer: Optimizer, steps: int) -> LRScheduler:
    """Make a schedule and step it to where the run is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*", category=UserWarning)
        scheduler = make(optimizer)
        for _ in range(steps):
            scheduler.step()
    return scheduler


def _length(trainer: pl.Trainer, module: pl.LightningModule) -> int | None:
    """Give the length that the schedule was told; None where it needs none."""
    if getattr(module, "length_argument", None) is None:
        return None
    steps = trainer.estimated_stepping_batches
    found = steps if getattr(module, "interval", "step") == "step" else trainer.max_epochs
    return None if found is None or found == float("inf") else int(found)


def _plain(group: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a group that can be compared and written down."""
    kept = {name: _value(value) for name, value in group.items() if name != "params"}
    kept["lr"] = _value(group.get("initial_lr", group["lr"]))
    return {
        name: value for name, value in kept.items() if isinstance(value, (*PLAIN, list)) and name != RATES[1]
    }


def _value(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_value(entry) for entry in value]
    return float(value) if hasattr(value, "item") else value


def _describe_schedule(factory: Any) -> Any:
    """Say what makes a schedule, where it can be said: its name and its plain arguments."""
    if not isinstance(factory, partial):
        return None
    return [
        _name(factory.func),
        {key: value for key, value in factory.keywords.items() if isinstance(value, PLAIN)},
    ]


def _restored_arguments(callback: Any) -> dict[str, Any]:
    """Give the arguments of a callback that it would restore with its state, as they are configured."""
    state = callback.state_dict()
    names = set(inspect.signature(type(callback).__init__).parameters) & set(state)
    return {name: value for name, value in vars(callback).items() if name in names}


def _name(made: Any) -> str:
    return f"{made.__module__}.{made.__qualname__}"
