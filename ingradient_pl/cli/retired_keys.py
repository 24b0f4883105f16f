"""Keys that a run's config no longer has, and what to write in their place."""

from collections.abc import Mapping, Sequence

from ingradient_pl.messages import UsageError

MOVED: Mapping[str, str] = {
    "data.draws.patch": "plan.patch",
    "data.draws.spacing": "plan.spacing",
    "data.draws.batch_size": "plan.batch_size",
    "data.draws.motion": "data.draws.affine",
    "data.draws.bend": "data.draws.elastic",
}
"""Key of before (and all below it) to the key that decides now."""


def refuse_retired(overrides: Sequence[str], moved: Mapping[str, str] = MOVED) -> None:
    """Refuse overrides of keys that moved, added by ``+`` or taken away by ``~`` or not.

    Args:
        overrides: As typed.
        moved: Key of before to the key that decides now.

    Raises:
        UsageError: If there is one; it names the key to use.

    >>> refuse_retired(["data.draws.affine.rotation=15"])
    """
    for override in overrides:
        name, _, value = override.partition("=")
        key = name.lstrip("+~")
        for former, now in moved.items():
            if key == former or key.startswith(f"{former}."):
                use = f"{now}{key.removeprefix(former)}={value}"
                raise UsageError(f"There is no key {key} (got {override}). Use {use}")
