"""A plan in words, for people who do not read YAML."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.plain_values import PlainValueError, read_yaml
from ingradient_pl.planning.seen_cases import SEEN

NETWORKS = {True: "a U-Net with a residual encoder", False: "a plain U-Net"}


def read_plain_plan(file: Path) -> Mapping[str, Any]:
    """Read a plan as plain values; empty where there is none, or something else.

    Args:
        file: It need not exist.
    """
    try:
        plan = read_yaml(file) if file.is_file() else None
    except (OSError, PlainValueError):
        return {}
    return plan if isinstance(plan, dict) else {}


def plan_in_words(plan: Mapping[str, Any]) -> list[str]:
    """Say what a plan decides, a sentence each.

    Args:
        plan: As a run's record or a plan's YAML file has it.

    Returns:
        Sentences; those that the plan gives no ground for are left out.
    """
    if not isinstance(plan, Mapping):
        return []
    sentences = []
    for describe in (_spacing, _patch, _network, _normalisation, _resampling, _outputs):
        try:
            sentences.append(describe(plan))
        except (TypeError, ValueError, LookupError, AttributeError):
            continue  # a plan that was written by hand, or by somebody else
    return [sentence for sentence in sentences if sentence]


def notes_of(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Give how a plan came about, as names and values; what it keeps for comparisons is left out.

    Args:
        plan: As for :func:`plan_in_words`.
    """
    notes = plan.get("notes", {}) if isinstance(plan, Mapping) else {}
    told = notes.items() if isinstance(notes, Mapping) else ()
    return [(str(name).replace("_", " "), _note(value)) for name, value in told if name != SEEN]


def _spacing(plan: Mapping[str, Any]) -> str:
    spacing = plan.get("spacing")
    if not spacing:
        return ""
    sizes = " × ".join("as it comes" if mm is None else f"{mm:.4g}" for mm in spacing)
    axes = plan.get("orientation")
    turned = f", their axes turned to {axes} first" if axes and axes != "stored" else ""
    return f"Cases are resampled to voxels of {sizes} mm (z, y, x){turned}."


def _patch(plan: Mapping[str, Any]) -> str:
    patch, spacing = plan.get("patch"), plan.get("spacing")
    if not patch:
        return ""
    extent = ""
    if spacing and None not in spacing:
        mm = " × ".join(f"{count * size:.0f}" for count, size in zip(patch, spacing, strict=True))
        extent = f", {mm} mm"
    batch = plan.get("batch_size")
    return f"The network sees patches of {_times(patch)} voxels{extent}" + (
        f", {batch} at a time." if batch else "."
    )


def _network(plan: Mapping[str, Any]) -> str:
    widths, strides = plan.get("widths"), plan.get("strides")
    if not widths:
        return ""
    reach = ""
    if strides:
        factors = [math.prod(stride[axis] for stride in strides) for axis in range(len(strides[0]))]
        reach = f"; the coarsest sees the patch {_times(factors)} times smaller"
    kind = NETWORKS[bool(plan.get("residual"))]
    return f"It is {kind} of {len(widths)} stages with {', '.join(map(str, widths))} feature maps{reach}."


def _normalisation(plan: Mapping[str, Any]) -> str:
    entries = plan.get("normalisation")
    if not entries:
        return ""
    names = [_normaliser(entry) for entry in entries]
    if len(set(names)) == 1:
        return f"{'Every channel is' if len(names) > 1 else 'The image is'} normalised by {names[0]}."
    return f"Channels are normalised by {', '.join(names)}, in this order."


def _normaliser(entry: Any) -> str:
    if not isinstance(entry, Mapping):
        return str(entry)
    name = str(entry.get("_target_", "")).rpartition(".")[2]
    settings = {key: value for key, value in entry.items() if key != "_target_" and value is not None}
    told = ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in settings.items()
    )
    return f"{name} ({told})" if told else name


def _resampling(plan: Mapping[str, Any]) -> str:
    above = plan.get("separate_z_above")
    return (
        f"An axis whose voxels are more than {above:g} times as long as the others is taken slice by slice."
        if above
        else ""
    )


def _outputs(plan: Mapping[str, Any]) -> str:
    outputs, regions = plan.get("outputs"), plan.get("regions")
    if not outputs:
        return ""
    kind = (
        f"{outputs} regions that may lie inside each other"
        if regions
        else f"one of {outputs} classes a voxel, the background included"
    )
    ignore = plan.get("ignore")
    return f"It answers {kind}" + (
        "." if ignore is None else f"; voxels of the integer {ignore} are ignored."
    )


def _note(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_note(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " × ".join(_note(one) for one in value)
    return str(value)


def _times(numbers: Sequence[int]) -> str:
    return " × ".join(map(str, numbers))
