"""Whether the slices of a DICOM series are of one volume: what their headers must agree on, what is odd."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from ingradient_pl.images.dicom_slices import IDENTITIES, Slice
from ingradient_pl.images.raw_image import ImageError

INVERTED = "MONOCHROME1"
HOUNSFIELD, ACTIVITY = "HU", ("BQML", "GML", "SUV")
"""Units of a CT, and those of a PET in which bodies can be compared, once dose and weight are known."""

FEWEST, FEW_TIMES, MANY_TIMES = 3, 1.5, 4.5
"""Slices, and how many times farther apart than told they lie where some are missing; more is no distance."""

THICKER = 0.1
"""Share by which the thickness of slices may differ without a remark."""


def check_one_volume(where: Path, ordered: Sequence[Slice]) -> None:
    """Refuse several echoes, time points, acquisitions, patients or kinds of image that share a stack.

    Args:
        where: The folder or file, for messages.
        ordered: Slices in the order of their places.

    Raises:
        ImageError: If they are of several volumes, or only some tell how their pixels become values.
    """
    for field in ("telling", "kind"):
        values = Counter(getattr(one, field) for one in ordered)
        if len(values) > 1:
            usual = values.most_common(1)[0][0]
            odd = next(one for one in ordered if getattr(one, field) != usual)
            other = next(one for one in ordered if getattr(one, field) == usual)
            raise ImageError(
                f"{where}: its slices are of several volumes: {other.name} and {odd.name} differ "
                f"({describe_slices(other, odd)}). Keep one echo, time point and kind of image in a folder."
            )
    _check_scales(where, ordered)
    _check_acquisitions(where, ordered)


def _check_scales(where: Path, ordered: Sequence[Slice]) -> None:
    bare = [one for one in ordered if not one.scaled]
    other = next((one for one in ordered if one.scaled and one.scale != (1.0, 0.0)), None)
    if bare and other is not None:
        slope, intercept = other.scale
        raise ImageError(
            f"{where}: {len(bare)} of {len(ordered)} slices have no RescaleSlope ({bare[0].name}), "
            f"{other.name} has {slope:g} and intercept {intercept:g}: their values "
            "cannot be compared. Export the series again."
        )


def _check_acquisitions(where: Path, ordered: Sequence[Slice]) -> None:
    """Refuse acquisitions whose slices lie between each other's; one behind the other is how CT steps."""
    runs = [list(run) for _, run in groupby(ordered, key=lambda one: one.acquisition)]
    if len(runs) > len({run[0].acquisition for run in runs}):
        first, second = runs[0][-1], runs[1][0]
        raise ImageError(
            f"{where}: its slices are of several volumes: those of acquisition {first.acquisition or 'none'} "
            f"({first.name}) and {second.acquisition or 'none'} ({second.name}) lie between each other. Keep "
            "one acquisition (AcquisitionNumber) in a folder."
        )


def describe_oddities(ordered: Sequence[Slice]) -> tuple[str, ...]:
    """Say what a user should know of slices that were taken.

    Args:
        ordered: Slices of one volume.
    """
    remarks = []
    thickness = sorted({one.thickness for one in ordered if one.thickness})
    if thickness and thickness[-1] > (1 + THICKER) * thickness[0]:
        remarks.append(
            f"its slices are of several thicknesses, {thickness[0]:g} to {thickness[-1]:g} mm, though their "
            "places are even."
        )
    if any(one.at_detector for one in ordered):
        remarks.append(
            "it tells ImagerPixelSpacing (at the detector) and no PixelSpacing: lengths within the patient "
            "may be smaller."
        )
    if dict(ordered[0].telling).get("PhotometricInterpretation") == INVERTED:
        remarks.append("its pixels are MONOCHROME1 (bright is low); they were inverted, as SimpleITK does.")
    remarks += [*_describe_values(ordered), *_describe_gaps(ordered)]
    promised = max((one.promised or 0 for one in ordered), default=0)
    if promised > len(ordered):
        remarks.append(
            f"its header tells of {promised} slices, {len(ordered)} are there: are some missing at an end?"
        )
    return tuple(remarks)


def _describe_values(ordered: Sequence[Slice]) -> list[str]:
    """Say why values of slices may not be what is expected of their kind of image."""
    first, told = dict(ordered[0].telling), []
    kind, units = first.get("Modality"), first.get("Units", "")
    if kind == "CT" and not ordered[0].scaled:
        told.append("it is a CT without RescaleSlope: its values may not be Hounsfield units.")
    elif kind == "CT" and first.get("RescaleType", HOUNSFIELD) != HOUNSFIELD:
        told.append(f"it is a CT in {first['RescaleType']}, not in Hounsfield units (RescaleType).")
    if kind == "PT" and units and units not in ACTIVITY:
        told.append(f"it is a PET in {units} (Units), neither activity nor SUV: patients cannot be compared.")
    if any(one.lossy for one in ordered):
        told.append("its pixels were compressed with loss.")
    return told


def _describe_gaps(ordered: Sequence[Slice]) -> list[str]:
    """Say that slices may be missing though those left are even: every second one, say."""
    places = [np.array(one.position) for one in ordered if one.position is not None]
    if len(places) < len(ordered) or len(ordered) < FEWEST:
        return []
    step = float(np.linalg.norm(places[-1] - places[0])) / (len(places) - 1)
    between = abs(ordered[0].between or 0.0)
    times = step / between if between else 0.0
    if FEW_TIMES < times < MANY_TIMES and abs(times - round(times)) < THICKER:
        return [
            f"its slices lie {step:.4g} mm apart, its header says {between:g} (SpacingBetweenSlices): is "
            f"only one in {round(times)} there?"
        ]
    numbers = sorted(one.number for one in ordered if one.number is not None)
    apart = {other - one for one, other in pairwise(numbers)}
    thick = ordered[0].thickness or step
    if len(numbers) == len(ordered) and len(apart) == 1 and min(apart) > 1 and step > FEW_TIMES * thick:
        return [
            f"its instance numbers go up by {min(apart)} and its slices of {thick:g} mm lie {step:.4g} mm "
            f"apart: is only one in {min(apart)} there?"
        ]
    return []


def describe_slices(first: Slice, other: Slice) -> str:
    """Say in what the headers of two slices differ; what names people is not shown."""
    mine, its = ({**dict(one.telling), "ImageType": "\\".join(one.kind)} for one in (first, other))
    names = [name for name in {**mine, **its} if mine.get(name) != its.get(name)]
    told = [
        name if name in IDENTITIES else f"{name} {mine.get(name, 'none')} and {its.get(name, 'none')}"
        for name in names
    ]
    return ", ".join(told) or "their pixels differ"
