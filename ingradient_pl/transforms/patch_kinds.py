"""The ways by which patches are resampled, and which patches of a batch go the same way."""

from collections.abc import Sequence

from ingradient_pl.transforms.patch import AxisSampling, Interpolation, Patch, PlaneSampling


def divide_by_kind(patches: Sequence[Patch]) -> dict[str, list[int]]:
    """Divide patches by how they are resampled; plain crops go with others where that costs little.

    Args:
        patches: Of one batch.

    Returns:
        Places in the batch, by kind.
    """
    found: dict[str, list[int]] = {}
    for place, patch in enumerate(patches):
        found.setdefault(_kind(patch), []).append(place)
    crops = found.get("gather", [])
    if "separable" in found and all(_is_cheap(patches[place]) for place in crops):
        found["separable"] = sorted(found["separable"] + found.pop("gather", []))
    return found


def _kind(patch: Patch) -> str:
    if isinstance(patch.sampling, AxisSampling):
        return "separable" if any(isinstance(a, Interpolation) for a in patch.sampling.axes) else "gather"
    return "plane" if isinstance(patch.sampling, PlaneSampling) else "oblique"


def _is_cheap(patch: Patch) -> bool:
    """Tell whether matrices along axes are much smaller than the patch, so that it may go by them."""
    return sum(count * count for count in patch.label.shape) * 8 < patch.label.numel()
