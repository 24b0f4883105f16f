"""What NRRD and MetaImage headers say and ITK passes over: units of length, spacings that are missing."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ingradient_pl.geometry import AXES
from ingradient_pl.images.header_text import METAIMAGE, NRRD, read_header
from ingradient_pl.images.raw_image import ImageError

MILLIMETRES = {
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1.0),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 10.0),
    **dict.fromkeys(("m", "meter", "metre"), 1e3),
    **dict.fromkeys(("um", "µm", "μm", "micron", "micrometer", "micrometre"), 1e-3),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-6),
}
"""Names of units of length, in the singular, and how many millimetres each is."""

ANATOMICAL = re.compile(
    r"(left|right)-(anterior|posterior)-(superior|inferior)(-time)?|[LR][AP][SI](T)?", re.IGNORECASE
)
"""Spaces of NRRD that say where the patient is."""

IN_SPACE = ("", "domain", "space", "???", "none")
"""Kinds of an axis along which voxels lie side by side."""


class Notes(NamedTuple):
    """What a header says beside what ITK gives of it.

    Args:
        factor: Millimetres of its unit of length.
        remarks: What a user should know, a sentence each.
    """

    factor: float = 1.0
    remarks: tuple[str, ...] = ()


def read_notes(path: Path) -> Notes:
    """Read the text of a NRRD's or MetaImage's header; files of other formats say nothing.

    Raises:
        ImageError: If an axis is time, or axes are counted in several units.
    """
    suffix = path.suffix.lower()
    if suffix not in (*NRRD, *METAIMAGE):
        return Notes()
    fields = read_header(path).fields
    try:
        return _metaimage_notes(fields) if suffix in METAIMAGE else _nrrd_notes(fields)
    except ValueError as error:
        raise ImageError(f"{path}: {error}") from error


def _nrrd_notes(fields: Mapping[str, str]) -> Notes:
    kinds = fields.get("kinds", "").lower().split()
    if "time" in kinds and len([kind for kind in kinds if kind in IN_SPACE]) < AXES:
        raise ValueError(
            f"its axis {kinds.index('time') + 1} is time ('kinds'), not space. Save each time point as a "
            "file of its own."
        )
    remarks = []
    spacings = fields.get("spacings", "").lower().split()
    kinds += [""] * (len(spacings) - len(kinds))
    lost = [
        axis + 1 for axis, value in enumerate(spacings[:AXES]) if value == "nan" and kinds[axis] in IN_SPACE
    ]
    if "space directions" not in fields and not spacings:
        remarks.append("its header gives no spacing; voxels were taken to be 1 mm wide.")
    elif lost:
        remarks.append(f"its header gives no spacing along axis {lost[0]}; 1 mm was taken.")
    space = fields.get("space", "")
    if "space directions" in fields and not ANATOMICAL.fullmatch(space):
        remarks.append(
            f"its space {space!r} does not tell where left and right of the patient are; it was taken for "
            "'left-posterior-superior', as ITK does."
        )
    units = re.findall(r'"([^"]*)"', fields.get("space units") or fields.get("units", ""))
    if "space units" not in fields:
        units = [
            unit for unit, kind in zip(units, kinds + [""] * len(units), strict=False) if kind in IN_SPACE
        ]
    return _with_units(units, remarks)


def _metaimage_notes(fields: Mapping[str, str]) -> Notes:
    remarks = []
    if "elementspacing" not in fields and "elementsize" not in fields:
        remarks.append("its header gives no spacing; voxels were taken to be 1 mm wide.")
    turned = {"transformmatrix", "rotation", "orientation"} & set(fields)
    anatomical = fields.get("anatomicalorientation", "RAI")
    if not turned and anatomical.upper() not in ("RAI", "???"):
        remarks.append(
            f"its AnatomicalOrientation is {anatomical}, which was passed over, as ITK does: it has no "
            "TransformMatrix, so its axes were taken to run towards left, posterior, superior."
        )
    if float(fields.get("elementtointensityfunctionslope", 1)) != 1:
        remarks.append(
            "its ElementToIntensityFunctionSlope was passed over, as ITK does: values are as they are stored."
        )
    return _with_units([fields["distanceunits"]] if "distanceunits" in fields else [], remarks)


def _with_units(units: list[str], remarks: list[str]) -> Notes:
    """Give the factor of units that are all one; a unit that is not known is taken for millimetres."""
    told = list(dict.fromkeys(unit.strip() for unit in units if unit.strip() and unit.strip() != "?"))
    factors = {unit: MILLIMETRES.get(unit.lower().removesuffix("s"), math.nan) for unit in told}
    known = {factor for factor in factors.values() if not math.isnan(factor)}
    if len(known) > 1:
        raise ValueError(f"its axes are counted in several units: {', '.join(told)}. Save it in millimetres.")
    strange = [unit for unit, factor in factors.items() if math.isnan(factor)]
    if strange:
        remarks.append(f"its unit {strange[0]!r} is not one of length; millimetres were taken.")
        return Notes(1.0, tuple(remarks))
    factor = known.pop() if known else 1.0
    if factor != 1:
        remarks.append(f"its header counts in {told[0]!r}; lengths were converted to millimetres.")
    return Notes(factor, tuple(remarks))
