"""Plans that nnU-Net wrote (``nnUNetPlans.json``), read as plans of ours: a trained model needs them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.geometry import AXES
from ingradient_pl.plain_values import read_json
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.topology import Topology
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import CT, RGB01, MinMax01, NoNormalisation, Normaliser, ZScore

REORIENTED = {"NibabelIOWithReorient": "RAS", "SimpleITKIOWithReorient": "RAS"}
"""Readers of nnU-Net's that turn images; all others take the axes as the file has them."""
RESAMPLING = "resample_data_or_seg_to_shape"
ORDERS = {"data": 3, "seg": 1, "probabilities": 1}
NORMALISERS: dict[str, Callable[[bool, Mapping[str, float]], Normaliser]] = {
    "ZScoreNormalization": lambda masked, _: ZScore(masked=masked),
    "CTNormalization": lambda _, found: CT(
        found["percentile_00_5"], found["percentile_99_5"], found["mean"], found["std"]
    ),
    "NoNormalization": lambda *_: NoNormalisation(),
    "RescaleTo01Normalization": lambda *_: MinMax01(),
    "RGBTo01Normalization": lambda *_: RGB01(),
}
INTENSITIES = "foreground_intensity_properties_per_channel"


def read_nnunet_plans(path: Path, task: Task, names: Sequence[str] | None = None) -> dict[str, Plan]:
    """Read a plans file of nnU-Net's, of version 2 up to 2.8.

    Args:
        path: ``nnUNetPlans.json`` of a preprocessed data set, or ``plans.json`` of a trained model.
        task: What the ``dataset.json`` beside it says: it knows the labels, the plans do not.
        names: Configurations to read; None reads all, and refuses if one of them cannot be.

    Returns:
        A plan for each configuration, by nnU-Net's name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a plans file, or a configuration does what this package does not (another
            resampling, another network); the message names the file and the entry.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no plans file {path}. nnU-Net writes it when it plans a data set.")
    try:
        whole = read_json(path)
        wanted = list(whole["configurations"]) if names is None else list(names)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a plans file of nnU-Net, version 2: {error!r}.") from error
    plans = {}
    for name in wanted:
        try:
            entries = _inherit(whole["configurations"], name)
            _check_resampling(entries)
            plans[name] = _plan(name, entries, whole, task)
        except KeyError as error:
            raise ValueError(f"{path}: configuration '{name}' has no entry {error}.") from error
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError(f"{path}: configuration '{name}': {error}") from error
    return plans


def _inherit(configurations: Mapping[str, Any], name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Give the entries of a configuration with those of the one it builds on."""
    if name not in configurations:
        raise ValueError(f"there is no configuration '{name}'; there are {', '.join(configurations)}.")
    if name in seen:
        raise ValueError(f"it inherits from itself, by way of {' and '.join(seen)}.")
    own = configurations[name]
    base = own.get("inherits_from")
    return {**(_inherit(configurations, base, (*seen, name)) if base else {}), **own}


def _plan(name: str, entries: Mapping[str, Any], whole: Mapping[str, Any], task: Task) -> Plan:
    network = read_architecture(entries)
    edges = _counts(entries["patch_size"])
    shape = Topology(edges, _rows(network["strides"]), _rows(network["kernel_sizes"])).within(AXES)
    kept = [None] * (AXES - len(edges))
    return Plan(
        channels=len(task.channels),
        outputs=task.outputs,
        spacing=tuple(kept + [_length(mm) for mm in entries["spacing"]]),  # type: ignore[arg-type]
        patch=shape.patch,  # type: ignore[arg-type]
        batch_size=entries["batch_size"],
        widths=tuple(network["features_per_stage"]),
        strides=shape.strides,  # type: ignore[arg-type]
        kernels=shape.kernels,  # type: ignore[arg-type]
        blocks=tuple(network["blocks"]),
        decoder_blocks=tuple(reversed(network["n_conv_per_stage_decoder"])),  # nnU-Net's climb, ours descend
        normalisation=_normalisation(entries, whole, task),
        residual=network["residual"],
        batch_dice=entries["batch_dice"],
        transpose=tuple(whole["transpose_forward"]),
        orientation=REORIENTED.get(whole["image_reader_writer"], "stored"),
        ignore=task.ignore,
        regions=task.regions,
        previous_stage=entries.get("previous_stage"),
        notes={
            "configuration": name,
            "data_set": whole.get("dataset_name", ""),
            "planner": f"nnU-Net's {whole.get('experiment_planner_used')}, {whole.get('plans_name')}",
            "median_shape": whole.get("original_median_shape_after_transp"),
            "median_spacing_mm": whole.get("original_median_spacing_after_transp"),
            "median_shape_at_spacing": list(entries.get("median_image_size_in_voxels", [])),
        },
    )


def _normalisation(
    entries: Mapping[str, Any], whole: Mapping[str, Any], task: Task
) -> tuple[Normaliser, ...]:
    schemes, masks = entries["normalization_schemes"], entries["use_mask_for_norm"]
    if not len(schemes) == len(masks) == len(task.channels):
        raise ValueError(
            f"its {len(schemes)} normalization_schemes do not fit the task's channels "
            f"{list(task.channels)}. Is the dataset.json of another data set?"
        )
    unknown = set(schemes) - set(NORMALISERS)
    if unknown:
        raise ValueError(f"normalisation {sorted(unknown)} is not known; known are {', '.join(NORMALISERS)}.")
    named = enumerate(zip(schemes, masks, strict=True))
    return tuple(
        NORMALISERS[scheme](
            bool(mask), whole[INTENSITIES][str(channel)] if scheme == "CTNormalization" else {}
        )
        for channel, (scheme, mask) in named
    )


def read_architecture(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Give the network's arguments, whichever of its two formats the file has.

    Args:
        entries: Of a configuration: ``architecture`` and ``patch_size``, or what nnU-Net up to 2.3 wrote.

    Returns:
        nnU-Net's arguments, with ``residual`` and ``blocks`` beside them.

    Raises:
        KeyError: If an entry is missing.
        ValueError: If it is a network that this package does not build.
    """
    if "architecture" not in entries:
        return _older_network(entries)
    kind = entries["architecture"]["network_class_name"].rpartition(".")[2]
    network = dict(entries["architecture"]["arch_kwargs"])
    ours = {
        "conv_bias": True,
        "dropout_op": None,
        "nonlin": "torch.nn.LeakyReLU",
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{len(entries['patch_size'])}d",
    }
    other = {name: network.get(name) for name, value in ours.items() if network.get(name, value) != value}
    if other:
        raise ValueError(f"its network has {other}; this package builds it with {ours}.")
    return network | _kind(kind, network.get("n_conv_per_stage"), network.get("n_blocks_per_stage"))


def _older_network(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments as nnU-Net up to 2.3 wrote them: the width of the first stage and the widest."""
    encoder = entries["n_conv_per_stage_encoder"]
    base, widest = entries["UNet_base_num_features"], entries["unet_max_num_features"]
    return {
        "features_per_stage": [min(base * 2**stage, widest) for stage in range(len(encoder))],
        "strides": entries["pool_op_kernel_sizes"],
        "kernel_sizes": entries["conv_kernel_sizes"],
        "n_conv_per_stage_decoder": entries["n_conv_per_stage_decoder"],
        **_kind(entries["UNet_class_name"], encoder, encoder),
    }


def _kind(name: str, convolutions: Sequence[int] | None, blocks: Sequence[int] | None) -> dict[str, Any]:
    kinds = {"PlainConvUNet": (False, convolutions), "ResidualEncoderUNet": (True, blocks)}
    if name not in kinds or kinds[name][1] is None:
        raise ValueError(f"its network is '{name}'; only {' and '.join(kinds)} can be brought along.")
    residual, count = kinds[name]
    return {"residual": residual, "blocks": count}


def _check_resampling(entries: Mapping[str, Any]) -> None:
    preprocessor = entries.get("preprocessor_name", "DefaultPreprocessor")
    if preprocessor != "DefaultPreprocessor":
        raise ValueError(f"it was preprocessed by '{preprocessor}'; only DefaultPreprocessor is known.")
    for kind, order in ORDERS.items():
        name, options = entries[f"resampling_fn_{kind}"], entries[f"resampling_fn_{kind}_kwargs"]
        usual = {"is_seg": kind == "seg", "order": order, "order_z": 0, "force_separate_z": None}
        if name != RESAMPLING or options != usual:
            raise ValueError(
                f"resampling_fn_{kind} is {name} with {options}, and only nnU-Net's default ({RESAMPLING} "
                f"with {usual}) gives the same images here. Plan and train anew with `ingradient plan`."
            )


def _rows(entries: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(_counts, entries))


def _counts(entries: Any) -> tuple[int, ...]:
    """Give whole numbers; a text or a fraction is not taken for the number next to it."""
    odd = [
        one
        for one in entries
        if isinstance(one, bool) or not isinstance(one, (int, float)) or one != int(one)
    ]
    if odd:
        raise ValueError(f"whole numbers are wanted, got {str(odd[0])[:60]!r}.")
    return tuple(map(int, entries))


def _length(mm: Any) -> float:
    if isinstance(mm, bool) or not isinstance(mm, (int, float)):
        raise ValueError(f"'spacing' needs numbers in mm, got {str(mm)[:60]!r}.")  # noqa: TRY004 (of a file)
    return float(mm)
