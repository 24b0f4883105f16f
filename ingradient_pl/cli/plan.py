"""``ingradient plan``: a case store -> plan.yaml."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ingradient_pl.cases.store import CaseStore
from ingradient_pl.cli.commands import run
from ingradient_pl.cli.networks import NamedNetwork
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan_yaml import as_yaml, write_plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.planning.spacing import IngradientSpacing, NnunetSpacing
from ingradient_pl.planning.traced import TracedMemory

PLANNERS = {"ingradient": IngradientSpacing, "nnunet": NnunetSpacing}


def planned(
    store: str,
    output: str = "plan.yaml",
    planner: Literal["ingradient", "nnunet"] = "ingradient",
    configuration: str = "3d_fullres",
    preset: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = "default",
    memory_gb: float | None = None,
    network: str = "unet",
    multiple: int = 1,
) -> None:
    """Decide spacing, patch and network from a store's fingerprint and write them down.

    Args:
        store: Folder written by `ingradient prepare`.
        output: YAML file to write; edit it as you like, or override its entries when training.
        planner: Rule for the spacing: the quantiles of ingradient, or nnU-Net's. All else is nnU-Net's.
        configuration: Which of nnU-Net's configurations: 3d_fullres, 2d, 3d_lowres.
        preset: Kind and size of the network.
        memory_gb: Memory of the GPU to plan for; the preset's own if not given.
        network: unet goes by nnU-Net's rules. Any other (outside, or a file like conf/network/outside.yaml)
            is tried on: patch and batch are as large as memory holds with it.
        multiple: Voxels that another network wants its patches to be a multiple of, such as 32.
    """
    other = None if network == "unet" else NamedNetwork(network)
    memory = None if other is None else TracedMemory(other, multiple=multiple)
    maker = Planner(PLANNERS[planner](), PRESETS[preset], memory_gb, memory)
    axes = (2, 3) if other is None else (2,) if configuration == "2d" else (3,)  # others have one kind
    plans = maker.plans(Fingerprint.of_store(CaseStore(Path(store))), axes)
    if configuration not in plans:
        raise ValueError(
            f"This data set has no configuration '{configuration}'; it has {', '.join(plans)}: "
            "a coarser one is only planned where a patch would see too little of a case."
        )
    plan = plans[configuration]
    if other is not None:
        plan = dataclasses.replace(plan, notes={**plan.notes, "network": network})
    write_plan(Path(output), plan)
    print(as_yaml(plan))
    loss = "" if plan.regions is None else " loss@module.loss=regions"
    tried = "" if other is None else f" {other.override}"
    print(f"Written to {output}. Train: ingradient-train store={store} plan={output}{loss}{tried}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(planned, arguments)
