"""Images to predict that are unlike those a model was planned for: said beside the answer, never refused."""

from ingradient_pl.images.formats import Volume
from ingradient_pl.inference.measure_channel import measure_channel
from ingradient_pl.inference.model import Model
from ingradient_pl.planning.seen_cases import describe_intensities, describe_spacing
from ingradient_pl.store.hounsfield import describe_hounsfield
from ingradient_pl.store.measure_case import find_content

MOST_VOXELS = 1 << 20
"""About as many are looked at: quantiles need no more."""


def describe_unlike(volume: Volume, model: Model) -> list[str]:
    """Say what of an image is far from what a model was planned for: spacing, intensities, channels.

    Args:
        volume: As read, in the plan's orientation.
        model: That is to segment it.
    """
    told = describe_spacing(model.plan, volume.frame.spacing)
    voxels, channels, empty = volume.voxels, model.task.channels, False
    for number, one in enumerate(voxels):
        low, high = float(one.min()), float(one.max())
        name = f"its channel {number} ('{channels[number]}')"
        empty |= low == high
        told += [f"every voxel of {name} is {low:g}. Is it the right file?"] if low == high else []
        told += [f"{name}: {text}" for text in describe_hounsfield(channels[number], low, high)]
    if empty:
        return told
    step = max(1, round((voxels[0].size / MOST_VOXELS) ** (1 / 3)))
    some = voxels[:, ::step, ::step, ::step]
    found = find_content(some)
    if found is None:  # what little there is lies between the voxels looked at
        return told
    inside = [channel[found.box.slices] for channel in some]
    bodies = [measure_channel(channel, found.body).body for channel in inside]
    return [*told, *describe_intensities(model.plan, channels, bodies)]
