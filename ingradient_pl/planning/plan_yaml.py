"""A plan as a YAML file: a config node for training, readable and changeable by people."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from ingradient_pl.files import replace_file
from ingradient_pl.plain_values import PlainValueError, read_yaml
from ingradient_pl.planning.plan import Plan
from ingradient_pl.spec import TARGET, TRUSTED, build, to_spec
from ingradient_pl.transforms.normalise import Normaliser

OWN_TARGET = f"{Plan.__module__}.{Plan.__qualname__}"
FIELDS = {field.name: field for field in dataclasses.fields(Plan)}
REQUIRED = [
    name
    for name, field in FIELDS.items()
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
]
HEAD = """\
# How the network sees the data set: written by `ingradient plan`, yours to change.
# Axes are (z, y, x) of the network; lists by stage run from the finest to the coarsest.
"""
COMMENTS = {
    "channels": "of the image",
    "outputs": "logits per voxel",
    "spacing": "mm; null keeps an axis as it comes",
    "patch": "voxels; a multiple of all strides multiplied",
    "batch_size": "patches per step, over all ranks",
    "widths": "feature maps of each stage",
    "strides": "of each stage; the first is [1, 1, 1]",
    "kernels": "voxels, of each stage",
    "blocks": "of each encoder stage: convolutions, or residual blocks",
    "decoder_blocks": "convolutions of each decoder stage",
    "normalisation": "one for each channel: CT by numbers of the data set, ZScore by each case's own",
    "residual": "whether the encoder has residual blocks",
    "batch_dice": "whether Dice takes the batch for one image",
    "transpose": "axis i of the network is axis transpose[i] of the case",
    "orientation": "where x, y, z of the case point to; stored: as the file has them",
    "separate_z_above": "ratio of voxel edges from which slices are resampled one by one",
    "low_pass_above": "images that shrink by more are averaged against aliasing; null: never",
    "ignore": "integer of voxels that nobody annotated, which no loss counts",
    "regions": "integers of each output where labels overlap; null: each voxel has one label",
    "previous_stage": "in a cascade: the configuration whose segmentation is a further input",
    "notes": "how the plan came about; prediction holds images against 'seen'",
}


def write_plan(path: str | Path, plan: Plan) -> None:
    """Write a plan so that :func:`read_plan` gives its equal; it appears complete or not at all.

    Args:
        path: Replaced where it exists.
        plan: Whose normalisers can be written as plain values.
    """
    replace_file(Path(path), as_yaml(plan).encode())


def as_yaml(plan: Plan) -> str:
    """Give the text of a plan's file: a comment on every entry, short lists on one line.

    Args:
        plan: Whose normalisers can be written as plain values.
    """
    entries = to_spec(plan)
    target = entries.pop(TARGET)
    lines = [f"{HEAD}{TARGET}: {target}"]
    for name, entry in entries.items():
        first, *rest = _lines(name, entry)
        lines += [f"{first}  # {COMMENTS[name]}", *rest]
    return "\n".join(lines) + "\n"


def as_config(plan: Plan, origin: str) -> str:
    """Give a plan as a config, for a program that would work out what stands in ``${...}``.

    Args:
        plan: What to write.
        origin: What the plan was read from, for messages.

    Raises:
        ValueError: If a text of the plan could be taken for more than text.
    """
    for text in _texts(to_spec(plan)):
        if "${" in text or text == "???":
            raise ValueError(
                f"{origin}: a plan is data, and its text {text[:200]!r} would be worked out by the config it "
                "becomes a part of. Write it without '${' and '???'."
            )
    return as_yaml(plan)


def _texts(plain: Any) -> Iterator[str]:
    """Give every text in plain values, keys included."""
    if isinstance(plain, Mapping):
        for key, value in plain.items():
            yield from (str(key), *_texts(value))
    elif isinstance(plain, (list, tuple)):
        for value in plain:
            yield from _texts(value)
    elif isinstance(plain, str):
        yield plain


def _lines(name: str, entry: Any) -> list[str]:
    """Write one entry: what holds lists or is a mapping goes over several lines, all else on one."""
    if isinstance(entry, Mapping) and entry:
        return [f"{name}:", *(f"  {line}" for key, one in entry.items() for line in _lines(key, one))]
    if isinstance(entry, list) and any(isinstance(one, (list, Mapping)) for one in entry):
        return [f"{name}:", *(f"  - {_inline(one)}" for one in entry)]
    return [f"{_inline(name)}: {_inline(entry)}"]


def _inline(entry: Any) -> str:
    text = yaml.safe_dump(
        entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return str(text).removesuffix("...\n").rstrip("\n")


def open_plan(plan: Plan | str | PathLike[str]) -> Plan:
    """Read the plan of a file; a plan is given back.

    Args:
        plan: YAML file written by ``ingradient plan``, or the plan itself.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a plan.
    """
    return plan if isinstance(plan, Plan) else read_plan(Path(plan))


def read_plan(path: str | Path, trusted: Sequence[str] = TRUSTED) -> Plan:
    """Read a plan's file: data, of which nothing runs; the only classes that it can name are normalisers.

    Args:
        path: The file.
        trusted: Packages whose normalisers it may name; add the one your own lives in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML or no plan; the message names the file and the entry.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no plan {path}: write one with `ingradient plan`.")
    try:
        entries = read_yaml(path)
    except PlainValueError as error:
        raise ValueError(f"{path} is not YAML of a plan: {error}. Correct it there.") from error
    return build_plan(entries, str(path), trusted)


def build_plan(entries: Any, origin: str, trusted: Sequence[str] = TRUSTED) -> Plan:
    """Make a plan of what a file holds.

    Args:
        entries: A mapping of the plan's entries, and of '_target_' to the name of its class.
        origin: What the entries are of, for messages.
        trusted: Packages whose normalisers may be named.

    Raises:
        ValueError: If it is not a plan; the message names the origin and the entry.
    """
    _check_entries(origin, entries)
    built = {}
    for name, entry in entries.items():
        try:
            built[name] = build(entry, trusted, Normaliser)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{origin}: '{name}' cannot be used: {error}") from error
    try:
        return Plan(**{name: entry for name, entry in built.items() if name != TARGET})
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{origin}: {error}") from error


def _check_entries(path: str, entries: Any) -> None:
    if not isinstance(entries, Mapping) or entries.get(TARGET) != OWN_TARGET:
        raise ValueError(
            f"{path} is not a plan: it needs the line '{TARGET}: {OWN_TARGET}'. "
            "Write one with `ingradient plan`."
        )
    unknown = sorted(str(name) for name in set(entries) - set(FIELDS) - {TARGET})
    if unknown:
        raise ValueError(
            f"{path}: a plan has no entry {', '.join(map(repr, unknown))}; it has {', '.join(FIELDS)}."
        )
    missing = [name for name in REQUIRED if name not in entries]
    if missing:
        raise ValueError(f"{path}: the plan lacks {', '.join(map(repr, missing))}. Add it, or plan anew.")
