"""``ingradient plan``: a case store -> plan.yaml."""

import dataclasses
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ingradient_pl.commands.dotted_name import make
from ingradient_pl.commands.inputs import AnyPath, AnyStores, open_cases
from ingradient_pl.datasets.layouts import DESCRIPTION
from ingradient_pl.datasets.split_columns import describe_column_faults
from ingradient_pl.finetuning.plan_keys import Key, chosen_keys
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.messages import UsageError, check_range, say
from ingradient_pl.nnunet.plans import read_nnunet_plans
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import OWN_TARGET, as_yaml, write_plan
from ingradient_pl.planning.planner import Planner
from ingradient_pl.planning.presets import PRESETS
from ingradient_pl.planning.settings import FULL, choose_configuration
from ingradient_pl.planning.settings import NoConfigurationError as NoConfigurationError
from ingradient_pl.planning.spacing import SpacingRule
from ingradient_pl.planning.spacing_choice import PLANNERS, make_rule
from ingradient_pl.store.odd_cases import describe_odd_images
from ingradient_pl.store.store_union import AnyCases, store_paths

if TYPE_CHECKING:
    from ingradient_pl.commands.named_network import NamedNetwork

LARGEST_MULTIPLE = 1024
"""Voxels; a patch of more along each axis fits no memory."""

SMALLEST_MEMORY, LARGEST_MEMORY = 0.01, 100_000
"""Gigabytes of a GPU, or of many."""

NO_RULE = f"a spacing rule ({', '.join(PLANNERS)}, or a class of yours with a method target)"


def plan(  # noqa: PLR0913 - one argument an option
    store: AnyStores,
    output: AnyPath | None = None,
    planner: str | SpacingRule = "ingradient",
    configuration: str | None = None,
    preset: Literal["default", "resenc_m", "resenc_l", "resenc_xl"] = "default",
    memory_gb: float | None = None,
    network: str = "unet",
    multiple: int = 1,
    spacing: list[float] | None = None,
    quantile: float | None = None,
    anisotropic_quantile: float | None = None,
    threshold: float | None = None,
    nnunet_plans: AnyPath | None = None,
    like: AnyPath | None = None,
    take: Literal["source", "target"] | list[Key] = "source",
) -> Plan:
    """Decide spacing, patch and network from a store's fingerprint and write them down.

    Args:
        store: Folder written by `ingradient prepare`; several plan for all as one: --store A B.
        output: YAML file to write; edit it as you like, or override its entries when training. None writes
            none.
        planner: Rule for the spacing: the quantiles of ingradient, or nnunet's, or a class of yours by its
            dotted name, my_package.MyRule. All else is nnU-Net's.
        configuration: Which of nnU-Net's configurations: 3d_fullres, 2d, 3d_lowres. If not given: 3d_fullres,
            or 2d where all cases are slices.
        preset: Kind and size of the network.
        memory_gb: Memory of the GPU to plan for; the preset's own if not given.
        network: unet goes by nnU-Net's rules. Any other (external, or a file like conf/network/external.yaml)
            is tried on: patch and batch are as large as memory holds with it.
        multiple: Voxels that another network wants its patches to be a multiple of, such as 32.
        spacing: Size of the network's voxels in mm along (z, y, x), such as [3,1,1], instead of a rule's;
            patch and network are planned for it.
        quantile: For ingradient: the quantile of the spacings along an isotropic axis; 0.5 if not given.
        anisotropic_quantile: For ingradient: of those along an anisotropic axis; 0.9 if not given.
        threshold: An axis is anisotropic where its spacing is more than so many times each other's; 3 if not
            given.
        nnunet_plans: A file of nnU-Net's (nnUNetPlans.json) whose configuration is taken over, instead of a
            plan made here. Its axes are those of the files: prepare the store with --orientation stored.
        like: What training will start from (init_from): a checkpoint of ours or a run, a model folder of
            nnU-Net, or an encoder with its adaptation plan. Nothing is prepared again.
        take: What is taken over from it: source is all, target its network (topology) alone, or a list of
            spacing, patch, topology and normalisation. The rest is planned for this data set.

    Returns:
        The plan.

    Raises:
        UsageError: If options contradict each other.
        NoConfigurationError: If the data set has no such configuration.
    """
    if like is not None and (nnunet_plans is not None or network != "unet"):
        raise UsageError(
            "--like takes over a UNet's plan: it goes neither with --nnunet-plans nor --network; got "
            f"--nnunet-plans {nnunet_plans} and --network {network}."
        )
    check_range("multiple", multiple, 1, LARGEST_MULTIPLE)
    check_range("memory_gb", memory_gb, SMALLEST_MEMORY, LARGEST_MEMORY)
    case_store = open_cases(store)
    _say_odd_cases(case_store)
    given = {"quantile": quantile, "anisotropic_quantile": anisotropic_quantile, "threshold": threshold}
    numbers = {name: value for name, value in given.items() if value is not None}
    if nnunet_plans is not None:
        planners = {"spacing": spacing, "preset": preset, "memory_gb": memory_gb, "network": network}
        told = {key: one for key, one in planners.items() if one not in (None, "default", "unet")} | numbers
        if told:
            raise UsageError(
                "--nnunet-plans takes the whole of that plan; change it in its file, or in training by "
                f"plan.KEY=VALUE, such as plan.spacing=[3,1,1]; got a planner's {told}."
            )
        name = configuration or FULL
        plans = read_nnunet_plans(Path(nnunet_plans), case_store.task, [name])
        return _save_plan(plans[name], output, case_store)
    other = None if network == "unet" else _find_network(network)
    memory = None if other is None else other.trace_memory(multiple)
    rule = _rule(planner, spacing, numbers)
    maker = Planner(rule, PRESETS[preset], memory_gb, memory)
    axes = (2, 3) if other is None else (2,) if configuration == "2d" else (3,)  # others have one kind
    fingerprint = Fingerprint.of_store(case_store)
    plans = maker.plans(fingerprint, axes)
    if not plans and configuration is None:
        plans = maker.plans(fingerprint, (2,))
    result = choose_configuration(plans, configuration)
    if like is not None:
        result = _plan_like(maker, result, Path(like), take, case_store)
    if other is not None:
        result = dataclasses.replace(result, notes={**result.notes, "network": network})
    return _save_plan(result, output, case_store, "" if other is None else f" {other.override}")


def _find_network(network: str) -> "NamedNetwork":
    from ingradient_pl.commands.named_network import NamedNetwork  # with Lightning, which no other plan needs

    return NamedNetwork(network)


def _plan_like(planner: Planner, planned: Plan, like: Path, take: str | list[Key], store: AnyCases) -> Plan:
    """Take over what a source decided, and say what; the batch is as large as memory then holds."""
    from ingradient_pl.finetuning.like import plan_like  # with torch, which no other plan needs
    from ingradient_pl.finetuning.source import read_weights

    chosen = chosen_keys(take)
    found = plan_like(planned, read_weights(like), store.task.channels, chosen)
    for remark in found.remarks:
        say(f"Note: {remark}")
    made = planner.with_batch_size(found.plan, Fingerprint.of_store(store))
    patches = made.notes["patches_that_fit"]
    if isinstance(patches, float) and patches < made.batch_size:
        say(
            f"Note: {planner.gigabytes:g} GB hold {patches:.2g} patches of this network, and a batch has "
            f"{made.batch_size}: plan for more with --memory_gb, or take another patch or topology."
        )
    return made


def _say_odd_cases(store: AnyCases) -> None:
    """Say now what training would refuse (a patient on both sides of a table's division), or suffer from."""
    for text in describe_odd_images(store):
        say(f"Note: {text}")
    for fault in describe_column_faults(
        {name: case.split for name, case in store.cases.items()},
        {name: case.group for name, case in store.cases.items()},
        {name: case.store for name, case in store.cases.items()},
    ):
        say(f"Note: {fault}")


def _save_plan(plan: Plan, output: AnyPath | None, store: AnyCases, network: str = "") -> Plan:
    """Write and show a plan, and the line that trains with it, where there is a file to write."""
    if output is None:
        return plan
    folders = store_paths(store)
    check_report(output, [folder / DESCRIPTION for folder in folders], (".yaml", ".yml"), OWN_TARGET.encode())
    write_plan(Path(output), plan)
    say(as_yaml(plan))
    loss = "" if plan.regions is None else " loss@module.loss=regions"
    listed = ",".join(map(str, folders))
    told = listed if len(folders) == 1 else f"[{listed}]"
    typed = shlex.join([f"store={told}", f"plan={output}"])
    say(f"Written to {output}. Train: ingradient-train {typed}{loss}{network}")
    return plan


def _rule(planner: str | SpacingRule, spacing: list[float] | None, numbers: dict[str, float]) -> SpacingRule:
    """Make the rule for the spacing, or refuse numbers that it does not know."""
    if isinstance(planner, SpacingRule) or (spacing is None and planner not in PLANNERS):
        rule = planner if isinstance(planner, SpacingRule) else make(planner, NO_RULE, PLANNERS, **numbers)
        if not callable(getattr(rule, "target", None)):
            raise UsageError(f"{planner} is not {NO_RULE}: it has no method target(grids).")
        own: SpacingRule = rule
        return own
    return make_rule(str(planner), None if spacing is None else tuple(spacing), numbers)
