"""What is done to a finished segmentation: stray pieces removed, holes filled, as a YAML file lists it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jaxtyping import UInt
from numpy.typing import NDArray
from scipy import ndimage

from ingradient_pl.files import replace_file
from ingradient_pl.images.packed_masks import held_masks, is_packed, put_mask, take_mask
from ingradient_pl.metrics.lesions import components
from ingradient_pl.plain_values import PlainValueError, read_yaml
from ingradient_pl.spec import TRUSTED, build, to_spec
from ingradient_pl.store.measure_case import find_holes

Labels = UInt[np.ndarray, "*plane z y x"]
Step = Callable[[NDArray[Any], Sequence[float]], NDArray[Any]]
"""From integers (z, y, x) and the size of a voxel in mm along these axes to integers on the same voxels."""

HEAD = """\
# What is done to each segmentation, in this order: a list of classes and their arguments. Yours to change.
"""
ROUNDING = 1 - 1e-6


class PostprocessError(ValueError):
    """A list of steps that cannot be used; the message names the file and the cure."""


@dataclass(frozen=True)
class LargestComponent:
    """Keep the largest piece (voxels touching by face, edge or corner); the rest becomes background.

    Pieces of equal size are all kept, as nnU-Net keeps them.

    Args:
        labels: Integers to look at; None takes all but the background.
        together: Whether these integers are one object; else each is one of its own.
    """

    labels: tuple[int, ...] | None = None
    together: bool = False

    def __post_init__(self) -> None:
        _check_labels(self.labels)

    def __call__(self, label: Labels, spacing: Sequence[float]) -> Labels:
        """Give the label without stray pieces; ``spacing`` plays no part."""
        return _keep(label, self.labels, self.together, lambda sizes: sizes == sizes.max())


@dataclass(frozen=True)
class SmallestSize:
    """Remove pieces (voxels touching by face, edge or corner) that are smaller than a size.

    Args:
        mm3: The size in cubic millimetres; this or ``voxels``.
        voxels: The size in voxels.
        labels: Integers to look at; None takes all but the background.
        together: Whether these integers are one object; else each is one of its own.

    Raises:
        ValueError: If not exactly one size is given, or it is not positive.
    """

    mm3: float | None = None
    voxels: int | None = None
    labels: tuple[int, ...] | None = None
    together: bool = False

    def __post_init__(self) -> None:
        _check_labels(self.labels)
        given = [size for size in (self.mm3, self.voxels) if size is not None]
        if len(given) != 1 or not 0 < given[0] < math.inf:
            raise ValueError(
                "SmallestSize needs one positive size, mm3 or voxels; "
                f"got mm3={self.mm3}, voxels={self.voxels}."
            )

    def __call__(self, label: Labels, spacing: Sequence[float]) -> Labels:
        """Give the label without small pieces; ``spacing`` in mm along (z, y, x)."""
        if self.voxels is not None:
            least = float(self.voxels)
        else:
            least = (self.mm3 or 0.0) / math.prod(spacing) * ROUNDING
        return _keep(label, self.labels, self.together, lambda sizes: sizes >= least)


@dataclass(frozen=True)
class FillHoles:
    """Give background that an object encloses on all sides, in 3D, to that object.

    What leads out by faces of voxels, or reaches the image's edge, is not a hole. Other labels inside stay.

    Args:
        labels: Integers whose holes are filled, the lowest first; None takes all but the background.
    """

    labels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_labels(self.labels)

    def __call__(self, label: Labels, spacing: Sequence[float]) -> Labels:
        """Give the label without holes; ``spacing`` plays no part."""
        answer = label.copy()
        thick = [axis for axis, voxels in enumerate(label.shape) if voxels > 1]  # in 2D no slice is outside
        for value, part, mask in _objects(answer, self.labels, together=False):
            part[find_holes(mask, thick) & (part == 0)] = value
        return answer


@dataclass(frozen=True)
class Steps:
    """Several steps, one after the other.

    Args:
        steps: Each takes a label and the size of its voxels and gives a label.
    """

    steps: tuple[Step, ...] = ()

    def __call__(self, label: Labels, spacing: Sequence[float]) -> Labels:
        """Give what the steps leave; the label itself is not changed. Packed masks stay such."""
        for step in self.steps:
            label = _process_masks(step, label, spacing) if is_packed(label) else step(label, spacing)
        return label


def _process_masks(step: Step, packed: NDArray[np.uint8], spacing: Sequence[float]) -> NDArray[np.uint8]:
    """Let a step work on each mask as on a label of its number; of labels together, on their union."""
    answer, chosen = packed.copy(), getattr(step, "labels", None)
    numbers = [number for number in held_masks(packed) if chosen is None or number in chosen]
    if getattr(step, "together", False) and is_dataclass(step) and numbers:
        union = np.logical_or.reduce([take_mask(packed, number) for number in numbers])
        kept = replace(step, labels=None)(union.astype(np.uint8), spacing) > 0
        for number in numbers:
            put_mask(answer, number, take_mask(packed, number) & kept)
        return answer
    for number in numbers:
        mask = take_mask(packed, number)
        label = mask.astype(np.min_scalar_type(number)) * np.min_scalar_type(number).type(number)
        put_mask(answer, number, step(label, spacing) == number)
    return answer


def read_steps(path: Path, trusted: Sequence[str] = TRUSTED) -> Steps:
    """Read steps from a YAML file: a list of entries with ``_target_`` and arguments.

    Args:
        path: The file.
        trusted: Packages whose classes it may name.

    Raises:
        PostprocessError: If it is no such list, or an entry cannot be built.
    """
    try:
        plain = read_yaml(Path(path))
    except OSError as error:
        raise PostprocessError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except PlainValueError as error:
        raise PostprocessError(f"{path} is not YAML: {error}") from error
    if not isinstance(plain, list) or not all(isinstance(entry, Mapping) for entry in plain):
        raise PostprocessError(
            f"{path} must hold a list of steps, such as '- _target_: {__name__}.LargestComponent', with "
            f"their arguments below; it holds {type(plain).__name__}."
        )
    return Steps(build_steps(plain, str(path), trusted))


def build_steps(plain: Sequence[object], where: str, trusted: Sequence[str] = TRUSTED) -> tuple[Step, ...]:
    """Make steps of entries with ``_target_`` and arguments.

    Args:
        plain: An entry for each step.
        where: What they were read from, for messages.
        trusted: Packages whose classes they may name; of ours only the steps of this module.

    Raises:
        PostprocessError: If an entry cannot be built, or is not a step.
    """
    try:
        own = tuple(__name__ if package == "ingradient_pl" else package for package in trusted)
        steps = build(list(plain), own, Callable)  # type: ignore[arg-type]  # issubclass takes it: it has __call__
    except (TypeError, ValueError, KeyError) as error:
        raise PostprocessError(f"{where}: {error}") from error
    idle = [type(step).__name__ for step in steps if not callable(step)]
    if idle:
        raise PostprocessError(
            f"{where}: {', '.join(idle)} is not a step: it cannot be called with a label and a spacing. Each "
            "entry needs a '_target_'."
        )
    return tuple(steps)


def write_steps(path: Path, steps: Steps, remarks: Sequence[str] = ()) -> None:
    """Write steps so that :func:`read_steps` gives their equal; the file appears whole or not at all.

    Args:
        path: Where to.
        steps: What to write.
        remarks: Lines that stand above them, as comments.
    """
    text = yaml.safe_dump(
        to_spec(steps.steps), sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    above = HEAD + "".join(f"# {line}\n" for line in remarks)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    replace_file(Path(path), (above + text).encode())


def _check_labels(labels: tuple[int, ...] | None) -> None:
    if labels is not None and not (isinstance(labels, tuple) and all(_is_label(value) for value in labels)):
        raise ValueError(f"labels must be a list of integers above 0, or null for all; got {labels}.")


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _objects(
    label: NDArray[Any], labels: tuple[int, ...] | None, *, together: bool
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """Give each object's integer, the part of the array that holds it, and its mask there."""
    if together:
        mask = label > 0 if labels is None else np.isin(label, labels)
        for box in ndimage.find_objects(mask.view(np.uint8)):
            yield 0, label[box], mask[box]
        return
    for value, box in enumerate(ndimage.find_objects(label), 1):
        if box is not None and (labels is None or value in labels):
            yield value, label[box], label[box] == value


def _keep(
    label: NDArray[Any],
    labels: tuple[int, ...] | None,
    together: bool,  # noqa: FBT001 - a field of the steps
    wanted: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> NDArray[Any]:
    """Remove each object's pieces whose sizes are not ``wanted``."""
    answer = label.copy()
    for _, part, mask in _objects(answer, labels, together=together):
        pieces = components(mask)
        keep = wanted(pieces.sizes)
        if not keep.all():
            part[mask & ~np.append(True, keep)[pieces.numbers]] = 0
    return answer
