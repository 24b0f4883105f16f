"""Slices of a DICOM series as one even stack: ordered by where they lie, and refused where they are none."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingradient_pl.images.dicom_slices import Slice
from ingradient_pl.images.dicom_volume import check_one_volume, describe_oddities, describe_slices
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.raw_image import NEAR, ImageError
from ingradient_pl.phrases import name_some

TURNED = 1e-3
"""Difference of a direction's numbers above which slices are not parallel: headers round them."""

APART = 1e-3
"""Share by which spacings of pixels may differ: headers round them."""

BESIDE = 0.2
"""Share of a pixel by which a slice may lie beside the line of the others: positions are rounded, too."""

LOCALIZER, MOSAIC = "LOCALIZER", "MOSAIC"
SHOWN = 4

Same = Callable[[Slice, Slice], bool]
"""Whether two slices hold the same pixels."""


class Stack(NamedTuple):
    """A series that is one volume.

    Args:
        slices: From the first along their normal to the last.
        frame: Where they lie; sheared where a gantry was tilted.
        remarks: What a user should know.
    """

    slices: list[Slice]
    frame: Frame
    remarks: tuple[str, ...]


def stack(where: Path, slices: Sequence[Slice], same: Same) -> Stack:
    """Order slices by position along their normal and hold them against each other.

    Args:
        where: The folder or file, for messages.
        slices: Of one series, in any order.
        same: Whether two slices at one place hold the same pixels.

    Raises:
        ImageError: If they are not one even, complete, parallel stack of equal grey slices; the message names
            slices and cure.
    """
    kept, remarks = _without_localizers(slices)
    _check_alike(where, kept)
    if len(kept) == 1:
        return _single(where, kept[0], remarks)
    _check_places(where, kept)
    axes = kept[0].axes
    along = [float(axes[2] @ np.array(one.position)) for one in kept]
    ordered = [kept[index] for index in np.argsort(along, kind="stable")]
    ordered, doubles = _without_doubles(where, ordered, same)
    check_one_volume(where, ordered)
    remarks = (*remarks, *doubles)
    if len(ordered) == 1:
        return _single(where, ordered[0], remarks)
    frame, tilt = _frame(where, ordered)
    return Stack(ordered, frame, (*remarks, *tilt, *describe_oddities(ordered)))


def _without_localizers(slices: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    kept = [one for one in slices if LOCALIZER not in one.kind]
    if not kept or len(kept) == len(slices):
        return list(slices), ()
    dropped = [one.name for one in slices if LOCALIZER in one.kind]
    return kept, (f"{len(dropped)} localizer(s) were left out: {name_some(dropped)}.",)


def _check_alike(where: Path, slices: Sequence[Slice]) -> None:
    """Refuse slices of several sizes, and such as no grey image is made of."""
    shapes = Counter(one.shape for one in slices)
    if len(shapes) > 1:
        usual = shapes.most_common(1)[0][0]
        odd = [one for one in slices if one.shape != usual]
        raise ImageError(
            f"{where}: its slices have several sizes (rows, columns): {odd[0].name} has {odd[0].shape}, most "
            f"have {usual} ({len(odd)} of {len(slices)} differ). Keep one volume in a folder."
        )
    wrong = [one for one in slices if not one.spacing or min(one.spacing) <= 0]
    if wrong:
        raise ImageError(
            f"{where}: {wrong[0].name} has the PixelSpacing {wrong[0].spacing}, so the size of its pixels is "
            "unknown. Export it again, or convert it to NIfTI with the right spacing."
        )
    if any(MOSAIC in one.kind for one in slices):
        raise ImageError(
            f"{where}: {slices[0].name} is a mosaic of slices whose places it does not tell. Convert it to "
            "NIfTI with a program that knows the scanner's own notes, such as dcm2niix."
        )
    odd = [one for one in slices if one.scale[0] == 0 or not np.isfinite(one.scale).all()]
    if odd:
        raise ImageError(
            f"{where}: {odd[0].name} has the RescaleSlope {odd[0].scale[0]:g} and intercept "
            f"{odd[0].scale[1]:g}: nothing is left of its values. Export it again."
        )


def _check_places(where: Path, slices: Sequence[Slice]) -> None:
    """Refuse slices without a place, and such that are not parallel or have other pixels."""
    lost = [one for one in slices if one.position is None or one.orientation is None]
    if lost:
        named = name_some([one.name for one in lost])
        raise ImageError(
            f"{where}: {len(lost)} of {len(slices)} slices have no ImagePositionPatient or "
            f"ImageOrientationPatient ({named}), so where they lie is unknown. "
            "Export the original series, or convert it to NIfTI with the right spacing."
        )
    first = slices[0]
    for one in slices:
        lengths = np.linalg.norm(np.reshape(one.orientation or (), (2, 3)), axis=1)
        if np.abs(lengths - 1).max() > NEAR or abs(one.axes[0] @ one.axes[1]) > TURNED:
            raise ImageError(
                f"{where}: {one.name} has the ImageOrientationPatient {one.orientation}, which is not a pair "
                "of unit vectors at right angles. Export it again."
            )
        if np.abs(one.axes - first.axes).max() > TURNED:
            raise ImageError(
                f"{where}: its slices are not parallel: {first.name} has the ImageOrientationPatient "
                f"{first.orientation}, {one.name} {one.orientation}. Keep one volume in a folder; "
                "localizers and other views belong elsewhere."
            )
        if not np.allclose(one.spacing or (), first.spacing or (), rtol=APART, atol=0):
            raise ImageError(
                f"{where}: its slices have several spacings: {first.name} has {first.spacing} mm, {one.name} "
                f"{one.spacing}. Keep one volume in a folder."
            )


def _without_doubles(where: Path, ordered: list[Slice], same: Same) -> tuple[list[Slice], tuple[str, ...]]:
    """Drop slices that repeat the one before, pixel by pixel; others at one place are two volumes."""
    kept, dropped = ordered[:1], []
    near = NEAR * min(ordered[0].spacing or ())
    for one in ordered[1:]:
        last = kept[-1]
        if np.linalg.norm(_position(one) - _position(last)) > near:
            kept.append(one)
        elif same(last, one):
            dropped.append(one.name)
        else:
            raise ImageError(
                f"{where}: two slices lie at one place, {_format_numbers(_position(one))} mm: {last.name} "
                f"and {one.name} ({describe_slices(last, one)}). Keep one volume (one echo, one time point, "
                "one reconstruction) in a folder."
            )
    if not dropped:
        return kept, ()
    return kept, (f"{len(dropped)} repeated slice(s) were left out: {name_some(dropped)}.",)


def _frame(where: Path, ordered: Sequence[Slice]) -> tuple[Frame, tuple[str, ...]]:
    """Find the step from slice to slice, which all must keep."""
    axes = ordered[0].axes
    rows, columns = ordered[0].spacing or (1.0, 1.0)
    places = np.stack([_position(one) for one in ordered])
    step = (places[-1] - places[0]) / (len(places) - 1)
    length = float(axes[2] @ step)
    distances = np.diff(places @ axes[2])
    _check_even(where, ordered, distances, length)
    straight = places[0] + np.arange(len(places))[:, None] * step
    off = np.linalg.norm((places - straight) @ axes[:2].T, axis=1)
    if off.max() > BESIDE * min(rows, columns):
        raise ImageError(
            f"{where}: its slices do not lie in one line: {ordered[int(off.argmax())].name} lies "
            f"{off.max():.3g} mm beside the others. Keep one volume in a folder."
        )
    aside = step - length * axes[2]
    if np.linalg.norm(aside) * (len(places) - 1) <= NEAR * min(rows, columns):
        step, remarks = length * axes[2], tuple[str, ...]()
    else:
        angle = np.rad2deg(np.arctan2(np.linalg.norm(aside), length))
        remarks = (f"its slices are tilted by {angle:.1f} degrees (a gantry's tilt); the shear is kept.",)
    size = float(np.linalg.norm(step))
    direction = np.stack([axes[0], axes[1], step / size], axis=1)
    return Frame.of((size, rows, columns), places[0].tolist(), direction.ravel().tolist()), remarks


def _check_even(where: Path, ordered: Sequence[Slice], distances: NDArray[np.float64], step: float) -> None:
    places = np.concatenate([[0.0], np.cumsum(distances)])
    if np.abs(places - np.arange(len(places)) * step).max() <= NEAR * step:
        return
    counts = Counter(distances.round(2).tolist()).most_common(SHOWN)
    usual = counts[0][0]
    at = int(np.argmax(np.abs(distances - usual) > NEAR * step))
    told = ", ".join(f"{distance:g} mm {times} times" for distance, times in counts)
    raise ImageError(
        f"{where}: its slices are not evenly spaced: {told}; {ordered[at].name} and {ordered[at + 1].name} "
        f"lie {distances[at]:.4g} mm apart. Export all slices, or keep one volume in a folder."
    )


def _single(where: Path, one: Slice, remarks: tuple[str, ...]) -> Stack:
    """Give a lone slice the thickness that its header tells, and a place where there is none."""
    if one.thickness is None or one.thickness <= 0 or one.position is None or one.orientation is None:
        remarks += (f"{one.name} is a single slice without a thickness or a place; 1 mm at 0 was taken.",)
    rows, columns = one.spacing or (1.0, 1.0)
    placed = one.position is not None and one.orientation is not None
    if placed:
        _check_places(where, [one])
    axes = one.axes if placed else np.eye(3)
    origin = one.position if placed and one.position else (0.0, 0.0, 0.0)
    thickness = one.thickness if one.thickness and one.thickness > 0 else 1.0
    return Stack([one], Frame.of((thickness, rows, columns), origin, axes.T.ravel().tolist()), remarks)


def _position(one: Slice) -> NDArray[np.float64]:
    return np.array(one.position, dtype=np.float64)


def _format_numbers(numbers: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{number:.4g}" for number in numbers) + ")"
