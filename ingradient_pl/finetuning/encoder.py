"""Encoders that nnssl trained without labels (OpenMind, nnFoundation): weights beside an adaptation plan."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ingradient_pl.finetuning.adapt import with_axes
from ingradient_pl.finetuning.source_record import TOPOLOGY, Source, SourcePlan
from ingradient_pl.geometry import AXES
from ingradient_pl.inference.checkpoint import CheckpointError
from ingradient_pl.json_files import read_object
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.checkpoint import WEIGHTS, read_state_dicts
from ingradient_pl.nnunet.plans import NORMALISERS, REORIENTED, read_architecture
from ingradient_pl.nnunet.weights import nnunet_names, unwrap
from ingradient_pl.plain_values import check_plain
from ingradient_pl.transforms.normalise import Normaliser

ADAPTATION, EMBEDDED = "adaptation_plan.json", "nnssl_adaptation_plan"
"""The plan's file, and its entry where the weights bring it along."""
USED = ("architecture_plans", "pretrain_num_input_channels", "key_to_encoder", "key_to_stem")
TYPES: Mapping[str, Callable[[Any], bool]] = {
    USED[0]: lambda entry: isinstance(entry, Mapping),
    USED[1]: lambda entry: type(entry) is int and entry > 0,
    USED[2]: lambda entry: isinstance(entry, str),
    USED[3]: lambda entry: entry is None or isinstance(entry, str),  # a plain encoder has none
}
"""What each of them can be."""
RESENC_L = {
    "n_stages": 6,
    "features_per_stage": [32, 64, 128, 256, 320, 320],
    "kernel_sizes": [[3, 3, 3]] * 6,
    "strides": [[1, 1, 1], *[[2, 2, 2]] * 5],
    "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
    "n_conv_per_stage_decoder": [1] * 5,
}
"""nnssl's ResEncL, which a plan calls by its name alone."""
NAMED = {"ResEncL": RESENC_L, "NoSkipResEncL": RESENC_L}
BUILT = ("ResidualEncoderUNet", "PlainConvUNet")
ALONE = "the source is an encoder alone"
STAGES, STEM = "encoder.stages.", "encoder.stem."
"""How names of an encoder begin in nnU-Net's networks."""


class AdaptationPlan(NamedTuple):
    """What nnssl says about the weights of an encoder.

    Args:
        network: Arguments of its UNet, without channels and outputs.
        channels: Input channels it was trained with.
        encoder: What stands before the number of a stage in the names of its weights.
        stem: What stands before the rest of the name in those of its first convolution.
        plan: How it saw images.
    """

    network: dict[str, Any]
    channels: int
    encoder: str
    stem: str
    plan: SourcePlan


def read_encoder(folder: Path, weights: Path | None = None, plan: Path | None = None) -> Source:
    """Read an encoder with its adaptation plan; nothing of either is run.

    Args:
        folder: Where the weights lie, with ``adaptation_plan.json`` beside them or inside them.
        weights: Their file; None takes the one ``.pth`` or ``.pt`` there is.
        plan: The plan's file; None takes the one beside the weights, else the one inside them.

    Raises:
        CheckpointError: If a file is missing or damaged, the network is not one of ours, or the plan names
            keys that the weights do not have.
    """
    file = _find_weights(folder) if weights is None else weights
    found = read_state_dicts(file)
    if not found.weights:
        raise CheckpointError(f"{file} holds no weights by their names.")
    beside = folder / ADAPTATION if plan is None else plan
    inside: Any = found.plain.get(EMBEDDED)
    entries, origin = inside, file
    if beside.is_file():
        entries, origin = read_object(beside, "Copy or download it again.", CheckpointError), beside
    adaptation = _adaptation(entries, origin)
    network = _network(adaptation, origin)
    names = found.weights.get(WEIGHTS) or max(found.weights.values(), key=len)
    return Source(
        network=network,
        weights=_encoder_weights(adaptation, network, names, origin, file),
        task=None,
        origin=str(file),
        inputs=("",) * adaptation.channels,
        plan=adaptation.plan,
        missing=ALONE,
        warnings=tuple(_differences(entries, inside, origin, file)),
    )


def _find_weights(folder: Path) -> Path:
    files = sorted(file for file in folder.iterdir() if file.suffix in (".pth", ".pt"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise CheckpointError(
            f"{folder} should hold one file of weights (.pth) beside {ADAPTATION}; it holds {names}. Name "
            "the file to start from."
        )
    return files[0]


def _adaptation(entries: Any, origin: Path) -> AdaptationPlan:
    """Read what is needed of an adaptation plan."""
    try:
        check_plain(entries)
        missing = [name for name in USED if name not in entries]
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        wrong = [name for name, fits in TYPES.items() if not fits(entries[name])]
        if wrong:
            raise ValueError(f"{wrong[0]} is {str(entries[wrong[0]])[:60]!r}")
        network, channels = _read_network(entries), entries["pretrain_num_input_channels"]
        plan = _read_plan(entries, {name: network[name] for name in TOPOLOGY}, channels)
        encoder, stem = (str(entries[name]).rstrip(".") for name in USED[2:])
        return AdaptationPlan(network, channels, encoder, stem, plan)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{origin} is not an adaptation plan that can be used: {error}. Correct it, or copy it again."
        ) from error


def _read_network(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of our UNet for the network that a plan describes.

    Raises:
        ValueError: If it is not one that we build.
    """
    kind, arguments = (entries["architecture_plans"].get(key) for key in ("arch_class_name", "arch_kwargs"))
    if kind in NAMED and not arguments:
        kind, arguments = BUILT[0], NAMED[kind]
    if kind not in BUILT or not arguments:
        raise ValueError(
            f"its network is '{kind}'{'' if arguments else ' without arguments'}, and known are "
            f"{', '.join(NAMED)}, and {' and '.join(BUILT)} with arch_kwargs"
        )
    stages = int(arguments["n_stages"])
    told = {name: _each(arguments[name], count) for name, count in _staged_arguments(arguments, stages)}
    patch = told["kernel_sizes"][0]
    own = read_architecture(
        {
            "architecture": {
                "network_class_name": f".{kind}",
                "arch_kwargs": {
                    **_without_imports(arguments),
                    **told,
                    "n_conv_per_stage": told.get("n_conv_per_stage", told.get("n_blocks_per_stage")),
                },
            },
            "patch_size": patch if isinstance(patch, list) else [patch] * AXES,
        }
    )
    return {
        "widths": tuple(own["features_per_stage"]),
        "strides": tuple(map(_zyx, own["strides"])),
        "kernels": tuple(map(_zyx, own["kernel_sizes"])),
        "blocks": tuple(own["blocks"]),
        "decoder_blocks": tuple(reversed(own["n_conv_per_stage_decoder"])),
        "residual": own["residual"],
    }


def _staged_arguments(arguments: Mapping[str, Any], stages: int) -> Iterator[tuple[str, int]]:
    """Give the arguments that hold an entry for each stage, where they are there, and how many."""
    for name in (
        *("features_per_stage", "kernel_sizes", "strides", "n_blocks_per_stage", "n_conv_per_stage"),
        "n_conv_per_stage_decoder",
    ):
        if name in arguments:
            yield name, stages - (name == "n_conv_per_stage_decoder")


def _without_imports(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Name classes as nnU-Net's plans do; nnssl writes the module that each really lives in."""
    out = dict(arguments)
    kinds = {name: str(arguments.get(name)).rpartition(".")[2] for name in ("nonlin", "norm_op")}
    if kinds["nonlin"] == "LeakyReLU":
        out["nonlin"] = "torch.nn.LeakyReLU"
    if kinds["norm_op"].startswith("InstanceNorm"):
        out["norm_op"] = f"torch.nn.modules.instancenorm.{kinds['norm_op']}"
    return out


def _each(entry: Any, count: int) -> list[Any]:
    """Give an entry for each stage; nnU-Net's networks take one for all.

    Raises:
        ValueError: If there are more or fewer.
    """
    entries = list(entry) if isinstance(entry, (list, tuple)) else [entry] * count
    if len(entries) != count:
        raise ValueError(f"{entries} should have {count} entries")
    return entries


def _zyx(entry: Any) -> tuple[int, int, int]:
    sizes = [int(edge) for edge in (entry if isinstance(entry, (list, tuple)) else [entry] * AXES)]
    z, y, x = [1] * (AXES - len(sizes)) + sizes
    return z, y, x


def _read_plan(entries: Mapping[str, Any], topology: Mapping[str, Any], channels: int) -> SourcePlan:
    """Read how the encoder saw images: of the one configuration that pre-training had."""
    whole = entries.get("pretrain_plan") or {}
    found = next(iter((whole.get("configurations") or {"": {}}).values()))
    patch = entries.get("recommended_downstream_patchsize") or found.get("patch_size")
    if not patch:
        raise ValueError(
            "it names no patch, which recommended_downstream_patchsize tells; it has "
            f"{', '.join(sorted(map(str, entries)))}"
        )
    spacing = None if found.get("spacing_style") == "noresample" else found.get("spacing")
    kept = [None] * (AXES - len(patch))
    transpose = tuple(int(axis) for axis in whole.get("transpose_forward") or range(AXES))
    return SourcePlan(
        topology=topology,
        spacing=None if not spacing else tuple(kept + [float(mm) for mm in spacing]),
        patch=(*(1 for _ in kept), *(int(voxels) for voxels in patch)),
        normalisation=_normalisation(found, channels),
        transpose=transpose,
        orientation=REORIENTED.get(str(whole.get("image_reader_writer")), "stored"),
    )


def _normalisation(found: Mapping[str, Any], channels: int) -> list[Normaliser | None]:
    """Give a normaliser for each channel; None for unknown ones and CT's, whose numbers it does not hold."""
    schemes, masks = found.get("normalization_schemes") or [], found.get("use_mask_for_norm") or []
    masks = [masks] * channels if isinstance(masks, bool) else [*masks, *[False] * channels]
    named = [*schemes, *[None] * channels][:channels]
    return [
        None if scheme not in NORMALISERS or scheme.startswith("CT") else NORMALISERS[scheme](bool(mask), {})
        for scheme, mask in zip(named, masks, strict=False)
    ]


def _network(adaptation: AdaptationPlan, origin: Path) -> UNet:
    """Build the network without memory: its shape is what is asked of it."""
    try:
        with torch.device("meta"):
            return UNet(adaptation.channels, 1, **adaptation.network, levels=1)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise CheckpointError(f"{origin} describes a network that cannot be built: {error}") from error


def _encoder_weights(
    adaptation: AdaptationPlan, network: UNet, weights: Mapping[str, Tensor], plan: Path, file: Path
) -> dict[str, Tensor]:
    """Take the encoder's tensors by the keys of the plan."""
    known = {unwrap(name): weight for name, weight in weights.items()}
    keys = {STAGES: adaptation.encoder, STEM: adaptation.stem}
    wanted = network.state_dict()
    named = {
        ours: f"{keys[part]}.{theirs.removeprefix(part)}"
        for ours, theirs in nnunet_names(network)
        for part in keys
        if theirs.startswith(part)
    }
    missing = [theirs for theirs in named.values() if theirs not in known]
    if missing:
        begins = sorted({".".join(name.split(".")[:2]) for name in known})
        raise CheckpointError(
            f"{plan} and {file.name} do not fit: {len(missing)} of the encoder's {len(named)} tensors are "
            f"not in the weights, such as '{missing[0]}'. By the plan key_to_encoder is "
            f"'{adaptation.encoder}' and key_to_stem is '{adaptation.stem}'; names of the weights begin with "
            f"{', '.join(begins[:6])}. "
            "Correct the plan, or take the one that belongs to these weights."
        )
    found = {ours: with_axes(known[theirs], wanted[ours]) for ours, theirs in named.items()}
    wrong = [name for name, weight in found.items() if weight.shape != wanted[name].shape]
    if wrong:
        raise CheckpointError(
            f"{plan} and {file.name} do not fit: '{named[wrong[0]]}' has the shape "
            f"{tuple(found[wrong[0]].shape)}, by the plan it is {tuple(wanted[wrong[0]].shape)}."
        )
    return found


def _differences(entries: Mapping[str, Any], inside: Any, plan: Path, file: Path) -> Sequence[str]:
    """Say where the plan beside the weights and the one inside them are not of one mind."""
    if not isinstance(inside, Mapping) or inside is entries:
        return []
    other = [name for name in USED if name in inside and inside[name] != entries[name]]
    return [
        f"{plan} says {name}={entries[name]}, the plan inside {file.name} {inside[name]}: the former holds."
        for name in other
    ]
