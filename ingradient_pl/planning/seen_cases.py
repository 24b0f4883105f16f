"""What the cases of a plan were like: kept in its notes, for images to predict to be held against."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from ingradient_pl.geometry import AXES
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.spread import SHARES, standardise
from ingradient_pl.store.statistics import Statistics
from ingradient_pl.transforms.normalise import CT, RGB01, NoNormalisation

SEEN = "seen"
"""The entry of a plan's notes."""

COARSER = 2.0
"""Times that a voxel's side may be longer or shorter than any that was planned for, without a remark."""

COARSER_THAN_PLAN = 4.0
"""The same beside the plan's own spacing, where the cases are not known."""

UNLIKE = 1.0
"""Standard deviations by which a quantile may lie beyond all that was planned for."""

EXCHANGED, FITTING = 0.08, 0.25
"""Mean distance of quantiles from what channels should be, from which on they may be exchanged, and the share
of it that is left once they are."""

BY_UNIT = (CT, RGB01, NoNormalisation)
"""Normalisers for which a value means the same in every case."""


class Seen(NamedTuple):
    """What a plan's notes tell of its cases.

    Args:
        spacing: Least and greatest side of a voxel in mm along each axis of the cases (z, y, x).
        shapes: Least and greatest quantiles of each channel, (channel, 2, quantile), standardised.
        values: Least and greatest value of each channel, (channel, 2).
    """

    spacing: Any
    shapes: Any
    values: Any


def describe_seen(fingerprint: Fingerprint) -> dict[str, Any]:
    """Give the note of a plan about its cases, as plain values.

    Args:
        fingerprint: Of the cases.
    """
    sides = np.array([grid.spacing for grid in fingerprint.grids])
    return {
        "spacing_mm": [sides.min(axis=0).tolist(), sides.max(axis=0).tolist()],
        "quantiles": [[list(end) for end in one.shape] for one in fingerprint.spreads],
        "values": [[float(f"{end:.6g}") for end in one.values] for one in fingerprint.spreads],
    }


def read_seen(plan: Plan) -> Seen | None:
    """Read that note again; None where there is none, or somebody changed it to something else.

    Args:
        plan: Of a model.
    """
    note, channels = plan.notes.get(SEEN), plan.channels
    if not isinstance(note, Mapping):
        return None
    wanted = {"spacing_mm": (2, AXES), "quantiles": (channels, 2, len(SHARES)), "values": (channels, 2)}
    try:
        found = [np.array(note[name], dtype=np.float64) for name in wanted]
    except (KeyError, TypeError, ValueError):
        return None
    fits = all(one.shape == shape for one, shape in zip(found, wanted.values(), strict=True))
    return Seen(*found) if fits and all(np.isfinite(one).all() for one in found) else None


def describe_spacing(plan: Plan, spacing: Sequence[float]) -> list[str]:
    """Say that voxels are much larger or smaller than those that a plan was made from.

    Args:
        plan: Of the model.
        spacing: Of the image in mm, on the axes of the cases (z, y, x).
    """
    seen = read_seen(plan)
    if seen is not None:
        low, high, most, whose = (
            seen.spacing[0],
            seen.spacing[1],
            COARSER,
            "the cases that it was planned for",
        )
    else:
        sides = [math.nan] * AXES
        for side, axis in zip(plan.spacing, plan.transpose, strict=True):
            sides[axis] = math.nan if side is None else side
        low, high, most, whose = np.array(sides), np.array(sides), COARSER_THAN_PLAN, "its plan"
    given = np.array(spacing)
    if not ((given > most * high) | (given * most < low)).any():
        return []
    ends = [" x ".join("any" if math.isnan(mm) else f"{mm:.4g}" for mm in end) for end in (low, high)]
    told = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    return [
        f"its voxels are {' x '.join(f'{mm:.4g}' for mm in given)} mm (z, y, x), far from those of {whose} "
        f"({told}). Is the spacing of the file right? The model was not trained for it."
    ]


def describe_intensities(plan: Plan, channels: Sequence[str], bodies: Sequence[Statistics]) -> list[str]:
    """Say which channels hold intensities unlike all that a plan was made from, or look exchanged.

    Args:
        plan: Of the model.
        channels: Their names.
        bodies: Statistics of each channel of the image, inside the body.
    """
    seen = read_seen(plan)
    if seen is None:
        return []
    shapes = np.array([standardise(one) for one in bodies])
    beyond = np.maximum(seen.shapes[None, :, 0] - shapes[:, None], shapes[:, None] - seen.shapes[None, :, 1])
    misfit = np.maximum(beyond, 0).mean(axis=2)  # of each channel (row) in the place of each (column)
    told = _describe_exchanged(channels, misfit)
    if told:
        return told
    for number, body in enumerate(bodies):
        name = f"its channel {number} ('{channels[number]}')"
        if isinstance(plan.normalisation[number], BY_UNIT):
            told += _describe_values(name, body, seen.values[number])
        elif beyond[number, number].max() > UNLIKE:
            low, high = map(_join, seen.shapes[number])
            told.append(
                f"{name} has intensities unlike any that the model was planned for (quantiles "
                f"{_join(shapes[number])}, in standard deviations from the mean; known are {low} to {high}). "
                "Is it the right file, contrast and part of the body?"
            )
    return told


def _describe_exchanged(channels: Sequence[str], misfit: Float[np.ndarray, "channel place"]) -> list[str]:
    """Say that channels fit in another order, and not as they stand."""
    rows, places = linear_sum_assignment(misfit)
    moved = [(int(row), int(place)) for row, place in zip(rows, places, strict=True) if row != place]
    now, then = float(misfit.trace()), float(misfit[rows, places].sum())
    if not moved or now <= EXCHANGED or then >= FITTING * now:
        return []
    text = ", ".join(
        f"{one} ('{channels[one]}') has the intensities that the model knows of {other} ('{channels[other]}')"
        for one, other in moved
    )
    return [f"its channels look exchanged: {text}. Look at the order of its files."]


def _describe_values(name: str, body: Statistics, known: Any) -> list[str]:
    """Say that a channel whose values have a unit is far from all that was known, in that unit."""
    least, greatest = (float(end) for end in known)
    low, high = body.quantile(SHARES[0]), body.quantile(SHARES[-1])
    reach = max(greatest - least, 1e-8)
    if low >= least - reach and high <= greatest + reach and high - low > reach / 20:
        return []
    return [
        f"{name} runs from {low:.4g} to {high:.4g} (5 % to 95 % of its voxels), the model was planned for "
        f" {least:.4g} to {greatest:.4g}. Is it of another unit or scale?"
    ]


def _join(values: Any) -> str:
    return " ".join(f"{value:.2g}" for value in values)
