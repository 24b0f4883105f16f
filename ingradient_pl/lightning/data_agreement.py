"""Whether plan, draws and store go together, asked before anything is read."""

from dataclasses import replace

import numpy as np

from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.spacing import check_spacing
from ingradient_pl.store.store_union import AnyCases
from ingradient_pl.task import Task


def check_agreement(plan: Plan, store: AnyCases) -> None:
    """Refuse a plan that was made for other channels, labels, axes or a unit of length than the store has.

    Args:
        plan: Of the run.
        store: With its cases.

    Raises:
        ValueError: If it was; the message says how to plan for the store.
    """
    task = store.task
    if plan.orientation != store.orientation:
        raise ValueError(
            f"The plan is for cases in the orientation {plan.orientation}, the store holds them in "
            f"{store.orientation}: the model would see other axes in prediction than in training. Plan for "
            "this store (ingradient plan --store DIR --output plan.yaml), or prepare another with "
            f"--orientation {plan.orientation}."
        )
    wanted, found = (plan.channels, plan.outputs), (len(task.channels), task.outputs)
    if wanted != found:
        raise ValueError(
            f"The plan is for {wanted[0]} channels and {wanted[1]} outputs, the store holds {found[0]} "
            f"channels ({', '.join(task.channels)}) and {found[1]} outputs ({', '.join(task.labels)}). "
            "Plan for this store: ingradient plan --store DIR --output plan.yaml"
        )
    edges = np.median([case.grid.spacing for case in store.cases.values()], axis=0)[list(plan.transpose)]
    pairs = zip(plan.spacing, edges.tolist(), strict=True)
    kept = [edge if one is None else one for one, edge in pairs]  # an axis that is kept is like the cases'
    check_spacing(kept, edges.tolist())


def number_classes(draws: TrainingDraws, task: Task) -> TrainingDraws:
    """Give draws whose weights name classes as the store numbers them, not as files do.

    Weights of classes that the task does not have are refused: none of them would ever be the centre.

    Args:
        draws: As configured.
        task: Of the store.

    Raises:
        ValueError: If a class is weighted that the labels do not hold.
    """
    if task.overlap is not None and draws.class_weights is not None:
        raise ValueError(
            "class_weights names integers, and labels that may overlap have none. Leave it out: each label "
            "that a case holds is the centre of as many patches."
        )
    known = task.in_files
    unknown = sorted(set(draws.class_weights or ()) - set(known.values))
    if unknown:
        raise ValueError(
            f"class_weights names {unknown}, which the labels do not hold; they are "
            f"{list(known.foreground_values)}."
        )
    if draws.class_weights is None or task.integers is None:
        return draws
    numbers = {value: number for number, value in enumerate(task.integers)}
    weights = {numbers[value]: weight for value, weight in draws.class_weights.items()}
    return replace(draws, class_weights=weights)
