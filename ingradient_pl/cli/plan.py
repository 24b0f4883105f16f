"""``ingradient plan``: a case store -> plan.yaml."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ingradient_pl.cases.store import CaseStore
from ingradient_pl.cli.commands import run
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan_yaml import as_yaml, write_plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.planning.spacing import IngradientSpacing, NnunetSpacing

PLANNERS = {"ingradient": IngradientSpacing, "nnunet": NnunetSpacing}


def planned(
    store: str,
    output: str = "plan.yaml",
    planner: Literal["ingradient", "nnunet"] = "ingradient",
    configuration: str = "3d_fullres",
    preset: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = "default",
    memory_gb: float | None = None,
) -> None:
    """Decide spacing, patch and network from a store's fingerprint and write them down.

    Args:
        store: Folder written by `ingradient prepare`.
        output: YAML file to write; edit it as you like, or override its entries when training.
        planner: Rule for the spacing: the quantiles of ingradient, or nnU-Net's. All else is nnU-Net's.
        configuration: Which of nnU-Net's configurations: 3d_fullres, 2d, 3d_lowres.
        preset: Kind and size of the network.
        memory_gb: Memory of the GPU to plan for; the preset's own if not given.
    """
    maker = Planner(PLANNERS[planner](), PRESETS[preset], memory_gb)
    plans = maker.plans(Fingerprint.of_store(CaseStore(Path(store))))
    if configuration not in plans:
        raise ValueError(
            f"This data set has no configuration '{configuration}'; it has {', '.join(plans)}: "
            "a coarser one is only planned where a patch would see too little of a case."
        )
    write_plan(Path(output), plans[configuration])
    print(as_yaml(plans[configuration]))
    loss = "" if plans[configuration].regions is None else " loss@module.loss=regions"
    print(f"Written to {output}. Train: ingradient-train store={store} plan={output}{loss}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(planned, arguments)
