"""Keys, options and classes that a run's config no longer has, and what to write in their place."""

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

WORDS = {
    "motion": "affine",
    "bend": "elastic",
    "optimiser": "optimizer",
    "sampling": "draws",
}
OPTIONS = {"network=outside": "network=external"}
TARGETS = {
    "ingradient_pl.sampling.motion.RandomMotion": "ingradient_pl.draws.affine.RandomAffine",
    "ingradient_pl.sampling.bend.RandomBend": "ingradient_pl.draws.elastic.RandomElasticDeformation",
    "ingradient_pl.sampling": "ingradient_pl.draws",
    "ingradient_pl.networks.outside.outside": "ingradient_pl.networks.external.external_network",
    "ingradient_pl.optimisers": "ingradient_pl.optimizers",
    "ingradient_pl.cases.splits": "ingradient_pl.datasets.splits",
    "ingradient_pl.transforms.intensity.OneOf": "ingradient_pl.transforms.one_of.OneOf",
    "ingradient_pl.transforms.heavy": "ingradient_pl.transforms.intensity_da5",
}


def refuse_retired(overrides: Sequence[str]) -> None:
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
        for former, now in MOVED.items():
            if key == former or key.startswith(f"{former}."):
                use = f"{now}{key.removeprefix(former)}={value}"
                raise UsageError(f"There is no key {key} (got {override}). Use {use}")


def renamed_key(name: str) -> str | None:
    """Give the key of today for one of before; None where it never was one.

    Args:
        name: Whole and dotted.

    >>> renamed_key("data.draws.motion.rotation")
    'data.draws.affine.rotation'
    """
    parts = [WORDS.get(part, part) for part in name.split(".")]
    return None if parts == name.split(".") else ".".join(parts)


def renamed_target(name: str) -> str | None:
    """Give the class of today for one of before; None where it never was one.

    Args:
        name: What ``_target_`` says.

    >>> renamed_target("ingradient_pl.optimisers.muon.Muon")
    'ingradient_pl.optimizers.muon.Muon'
    """
    before = max((old for old in TARGETS if name == old or name.startswith(f"{old}.")), key=len, default="")
    return TARGETS[before] + name[len(before) :] if before else None
