"""What a data module plans itself, and what a module makes of a plan: no YAML repeats a plan's fields."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import pytorch_lightning as pl
from torch import nn

from ingradient_pl.datasets.splits import Fold
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.planning import constructors
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.planning.settings import PlannerSettings, describe_plan
from ingradient_pl.store.store_union import open_stores, store_paths

FILE = "plan.yaml"


def plan_store(store: str | PathLike[str] | Sequence[str], planner: PlannerSettings, split: Fold) -> Plan:
    """Plan for a store whose cases can be divided, and say so in three lines.

    Args:
        store: Folder written by ``ingradient prepare``, an open one, or several folders.
        planner: What the planner is told.
        split: Which of the cases train and which validate.

    Raises:
        ValueError: If the cases cannot be divided so; nothing was planned.
    """
    opened = open_stores(store)
    split.split(opened.cases)  # or refused before it takes the time of planning
    made = planner.plan(opened)
    named = ", ".join(map(str, store_paths(opened)))
    tell(f"No plan was named: planned for {named} (others: data.planner, or data.plan).")
    for line in describe_plan(made):
        tell(line)
    return made


def keep_plan(trainer: pl.Trainer | None, plan: Plan) -> None:
    """Leave a plan in the run's folder.

    Args:
        trainer: Which knows the folder; None where there is no run.
        plan: That was made.
    """
    if trainer is not None and trainer.is_global_zero:
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_plan(folder / FILE, plan)


def make_parts(
    network: nn.Module | None, loss: nn.Module | None, plan: Plan | None
) -> tuple[nn.Module, nn.Module]:
    """Give network and loss: those that were made, else those of a plan.

    Args:
        network: One that was made; None takes the plan's.
        loss: One that was made; None takes the plan's.
        plan: The plan; None where both are given.

    Raises:
        ValueError: If one is neither given nor planned.
    """
    if plan is None and (network is None or loss is None):
        raise ValueError(
            "SegmentationModule needs a network and a loss, or the plan that they are made of: "
            "plan=data.plan. In a config of LightningCLI leave both out: they are made of the data's plan. "
            f"Got network={type(network).__name__} and loss={type(loss).__name__}."
        )
    if plan is None:
        assert network is not None  # for types
        assert loss is not None
        return network, loss
    return network or constructors.unet(plan), loss or constructors.loss(plan)
