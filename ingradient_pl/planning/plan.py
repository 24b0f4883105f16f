"""Plan: every decision the data set makes for the network, in one record and one readable YAML."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ingradient_pl.geometry import AXES, Grid
from ingradient_pl.messages import check_letters
from ingradient_pl.phrases import join_times, say_count
from ingradient_pl.spec import check_types
from ingradient_pl.transforms.normalise import Normaliser, ZScore
from ingradient_pl.transforms.resampling_rule import Rule

Zyx = tuple[int, int, int]
T = TypeVar("T")

LARGEST = {"blocks": 100, "decoder_blocks": 100, "kernels": 100, "batch_size": 10**7}
MOST = 100_000
"""The largest count that an entry of a plan may hold, in whatever it counts; stages and kernels have less."""

TYPED = (
    *("residual", "batch_dice", "transpose", "orientation", "separate_z_above", "low_pass_above", "ignore"),
    *("regions", "previous_stage", "notes"),
)
"""Entries whose type is looked at as it stands; the others have checks that say more."""
LISTS = ("spacing", "patch", "widths", "strides", "kernels", "blocks", "decoder_blocks", "normalisation")


@dataclass(frozen=True)
class Plan:
    """All that training and prediction must agree on.

    Axes are the network's: those of the store (or of an array given to ``predict``), in the order that
    ``transpose`` gives.

    Args:
        channels: Channels of the image.
        outputs: Logits per voxel.
        spacing: Size of the network's voxels in mm; None keeps an axis as it comes (the axis a 2D network
            walks along).
        patch: The network's input in voxels.
        batch_size: Patches per step, over all ranks.
        widths: Feature maps of each stage, finest first.
        strides: Of each stage; the first is (1, 1, 1).
        kernels: Of each stage.
        blocks: Convolutions (residual blocks, where ``residual``) of each encoder stage.
        decoder_blocks: Convolutions of each decoder stage, finest first: one fewer than stages.
        normalisation: One normaliser for each channel.
        residual: Whether the encoder is built of residual blocks.
        batch_dice: Whether Dice is taken over the batch as if it were one image.
        transpose: Axis ``i`` of the network is axis ``transpose[i]`` of the case.
        orientation: Patient directions that the case's axes are brought to first, named x, y, z
            (``LPS``); ``stored`` takes the axes as the file has them, as models of nnU-Net do.
        separate_z_above: Resample an axis apart, slice by slice, where voxels are longer along it than
            ``separate_z_above`` times the others.
        low_pass_above: Average images over the new voxel along an axis that shrinks by more than this factor,
            against aliasing; None never does, as nnU-Net.
        ignore: Integer of voxels that nobody annotated; None if there are none.
        regions: The integers that make up each output, where outputs are regions that may lie inside each
            other; None where each voxel belongs to one label.
        previous_stage: In a cascade, the configuration whose segmentation this network sees as further
            channels, one for each foreground label; None where the image is all it sees.
        notes: How the plan came about, for people: planner, median shape, what was assumed.

    Raises:
        ValueError: If a number is not what it stands for (a patch of 0 voxels), or the lengths of the
            per-stage or per-channel entries disagree.
    """

    channels: int
    outputs: int
    spacing: tuple[float | None, float | None, float | None]
    patch: Zyx
    batch_size: int
    widths: tuple[int, ...]
    strides: tuple[Zyx, ...]
    kernels: tuple[Zyx, ...]
    blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    normalisation: Sequence[Normaliser]
    residual: bool = False
    batch_dice: bool = False
    transpose: Zyx = (0, 1, 2)
    orientation: str = "LPS"
    separate_z_above: float = 3.0
    low_pass_above: float | None = None
    ignore: int | None = None
    regions: tuple[tuple[int, ...], ...] | None = None
    previous_stage: str | None = None
    notes: dict[str, object] = dataclasses.field(default_factory=dict)

    __no_type_check__ = True  # tests check types too, and would come before our own messages

    def __post_init__(self) -> None:
        empty = [name for name, value in vars(self).items() if value is None and name not in TYPED]
        if empty:
            raise ValueError(f"'{empty[0]}' of a plan needs a value; got None. Leave the key out to keep it.")
        check_types(Plan, {name: getattr(self, name) for name in TYPED})
        for name in LISTS:
            _check_list(name, getattr(self, name))
        own = vars(self)  # YAML knows lists only, planners compute with NumPy's numbers: both end here
        own["spacing"] = _zyx("spacing", [None if mm is None else _length(mm) for mm in self.spacing])
        own["patch"] = _zyx("patch", _counts("patch", self.patch))
        own["transpose"] = _zyx("transpose", tuple(self.transpose))
        for name in ("strides", "kernels"):
            own[name] = tuple(_zyx(name, _counts(name, entry)) for entry in getattr(self, name))
        for name in ("widths", "blocks", "decoder_blocks"):
            own[name] = _counts(name, getattr(self, name))
        for name in ("channels", "outputs", "batch_size"):
            (own[name],) = _counts(name, [getattr(self, name)])
        if self.regions is not None:
            own["regions"] = tuple(_counts("regions", region) for region in self.regions)
        own["normalisation"] = tuple(_check(one) for one in self.normalisation)
        own["notes"] = {name: _as_settings(note) for name, note in self.notes.items()}
        self._check_lengths()
        self._check_meaning()

    def __repr__(self) -> str:
        spacing = "×".join("as it comes" if mm is None else f"{mm:g}" for mm in self.spacing)
        return (
            f"Plan(patch {join_times(self.patch)} voxels of {spacing} mm, batch of {self.batch_size}, "
            f"{say_count(len(self.widths), 'stage')}, {say_count(self.channels, 'channel')}, "
            f"{say_count(self.outputs, 'output')}{', residual' if self.residual else ''})"
        )

    @property
    def rule(self) -> Rule:
        """How axes are interpolated, in training, validation and prediction alike."""
        return Rule(self.separate_z_above, math.inf if self.low_pass_above is None else self.low_pass_above)

    def _check_lengths(self) -> None:
        stages = len(self.widths)
        wanted = {
            "strides": stages,
            "kernels": stages,
            "blocks": stages,
            "decoder_blocks": stages - 1,
            "normalisation": self.channels,
            **({} if self.regions is None else {"regions": self.outputs}),
        }
        for name, count in wanted.items():
            if len(getattr(self, name)) != count:
                raise ValueError(
                    f"The plan has {stages} stages (its widths), {self.channels} channels and {self.outputs} "
                    f"outputs, so '{name}' needs {count} entries; got {len(getattr(self, name))}: "
                    f"{getattr(self, name)}."
                )

    def _check_meaning(self) -> None:
        check_letters("previous stage", [self.previous_stage])
        if sorted(self.transpose) != list(range(AXES)):
            raise ValueError(f"'transpose' of a plan names each of 0, 1, 2 once; got {self.transpose}.")
        if not all(isinstance(one, Normaliser) for one in self.normalisation):
            raise ValueError(
                "'normalisation' of a plan needs a normaliser for each channel, such as "
                f"{{_target_: {ZScore.__module__}.ZScore}}; got {list(self.normalisation)}."
            )
        if not self.separate_z_above >= 1:
            raise ValueError(
                "'separate_z_above' of a plan is the ratio of two voxel sizes, the longer to the shorter, "
                f"at least 1; got {self.separate_z_above}."
            )
        if self.low_pass_above is not None and not self.low_pass_above >= 1:
            raise ValueError(
                "'low_pass_above' of a plan is the ratio of two voxel sizes, the new to the old, at least 1, "
                f"or null; got {self.low_pass_above}."
            )
        once = all(sum(letter in pair for letter in self.orientation) == 1 for pair in ("LR", "AP", "IS"))
        if self.orientation != "stored" and not (once and len(self.orientation) == AXES):
            raise ValueError(
                "'orientation' of a plan is one of L R, A P and S I for each of x, y, z (LPS), or 'stored'; "
                f"got '{self.orientation}'."
            )
        reach = [math.prod(stride[axis] for stride in self.strides) for axis in range(AXES)]
        if any(size % factor for size, factor in zip(self.patch, reach, strict=True)):
            raise ValueError(
                f"A 'patch' of {self.patch} voxels cannot be halved as the strides ask: "
                f"it must be a multiple of {tuple(reach)}."
            )

    def grid(self, native: Grid) -> Grid:
        """Give the grid of a whole case at the network's spacing; ``native`` has the network's axes.

        Args:
            native: Of the case, after the crop; its axes are the network's.
        """
        return native.respaced(self.spacing)


def _check(normaliser: Any) -> Any:
    """Refuse settings of a normaliser that are of another type than it says."""
    if isinstance(normaliser, Normaliser) and dataclasses.is_dataclass(normaliser):
        check_types(type(normaliser), vars(normaliser))
    return normaliser


def _length(mm: Any) -> float:
    if isinstance(mm, bool) or not isinstance(mm, (int, float, np.number)) or not 0 < mm < math.inf:
        raise ValueError(f"'spacing' of a plan needs positive numbers in mm, or null; got {mm}.")
    return float(mm)


def _check_list(name: str, entries: Any) -> None:
    if isinstance(entries, str) or not isinstance(entries, (Sequence, np.ndarray)):
        raise ValueError(f"'{name}' of a plan needs a list; got {repr(entries)[:200]}.")  # noqa: TRY004


def _counts(name: str, entries: Any) -> tuple[int, ...]:
    _check_list(name, entries)
    whole = [isinstance(one, (int, np.integer)) and not isinstance(one, bool) for one in entries]
    largest = LARGEST.get(name, MOST)
    if not all(whole) or min(entries, default=1) < 1 or max(entries, default=1) > largest:
        raise ValueError(
            f"'{name}' of a plan needs whole numbers of at least 1 and at most {largest}; "
            f"got {list(entries)}."
        )
    return tuple(int(one) for one in entries)


def _as_settings(note: object) -> object:
    """Make lists tuples, all the way down: what is read back then equals what was written."""
    if isinstance(note, dict):
        return {name: _as_settings(entry) for name, entry in note.items()}
    return tuple(map(_as_settings, note)) if isinstance(note, (list, tuple)) else note


def _zyx(name: str, entry: Sequence[T]) -> tuple[T, T, T]:
    if not isinstance(entry, Sequence) or len(entry) != AXES:
        raise ValueError(f"'{name}' of a plan needs three numbers, ordered (z, y, x); got {list(entry)}.")
    z, y, x = entry
    return z, y, x
