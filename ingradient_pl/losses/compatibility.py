"""Whether a loss is meant for the labels it is to be trained on; asked before the first step."""

import inspect

from torch import nn

from ingradient_pl.task import Task


def check_loss(loss: nn.Module, task: Task, *, partly: bool = False) -> None:
    """Refuse a loss that counts what nobody annotated, or that takes regions for classes or the reverse.

    Asked are ``loss`` and all its parts: those that say ``ignore`` (an integer or None) or ``regions``
    (integers of each output, or None for classes) of themselves. A loss from elsewhere that says neither is
    trusted to know what it does.

    Args:
        loss: With all its parts.
        task: What it is to be trained on.
        partly: Whether some case does not annotate all labels: then each loss must take a third argument,
            ``known``.

    Raises:
        ValueError: If they do not fit; the message names the cure.
    """
    if partly:
        _check_takes_known(loss)
    for part in loss.modules():
        if hasattr(part, "regions"):
            _check_regions(type(part).__name__, part.regions, task)
        if hasattr(part, "ignore") and part.ignore != task.ignore:
            wanted = "null" if task.ignore is None else task.ignore
            raise ValueError(
                f"{type(part).__name__} leaves out voxels of the integer {part.ignore}, but the labels "
                f"of the data set say ignore: {wanted}. Plan anew (ingradient plan --store DIR), "
                f"or set plan.ignore={wanted}"
            )


def _check_takes_known(loss: nn.Module) -> None:
    if "known" not in inspect.signature(loss.forward).parameters:
        raise ValueError(
            f"Some cases do not annotate all labels, and {type(loss).__name__} would take what they leave "
            "out for background: its forward takes no argument 'known' (batch, output). Add it, with a mean "
            "over known outputs, or train with loss@module.loss=dice_ce"
        )
    inside = [getattr(loss, "level_loss", None), *(getattr(loss, "losses", None) or ())]
    for part in inside:
        if isinstance(part, nn.Module):
            _check_takes_known(part)


def _check_regions(name: str, regions: object, task: Task) -> None:
    if regions == task.regions:
        return
    if regions is None:
        raise ValueError(
            f"The data set has regions ({', '.join(task.foreground)}), which may lie inside each other, and "
            f"{name} gives each voxel to one label. Train with loss@module.loss=regions"
        )
    if task.regions is None:
        raise ValueError(
            f"{name} is for regions, which may lie inside each other; the labels of the data set "
            f"({', '.join(task.foreground)}) do not. Train with loss@module.loss=dice_ce"
        )
    raise ValueError(
        f"{name} is for regions of the integers {regions}, the data set has {task.regions} "
        f"({', '.join(task.foreground)}). Plan anew for this store: ingradient plan --store DIR"
    )
