"""What a plan may take over of the plan that a source of weights had."""

from collections.abc import Sequence
from typing import Literal, get_args

from ingradient_pl.messages import UsageError

Key = Literal["spacing", "patch", "topology", "normalisation"]
"""What a plan may take over."""


def chosen_keys(take: str | Sequence[str]) -> tuple[str, ...]:
    """Give what ``--take`` names: ``source`` is all, ``target`` the network alone.

    Args:
        take: One of the two words, or keys.

    >>> chosen_keys("target"), chosen_keys(["patch"])
    (('topology',), ('patch',))

    Raises:
        UsageError: If there is no such key.
    """
    known = get_args(Key)
    chosen = {"source": known, "target": ("topology",)}.get(take) if isinstance(take, str) else tuple(take)
    wrong = [take] if chosen is None else [name for name in chosen if name not in known]
    if wrong or not chosen:
        raise UsageError(f"--take is source, target, or a list of {', '.join(known)}; got {take}.")
    return chosen
