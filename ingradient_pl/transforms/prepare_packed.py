"""Preparation of all patches of a batch together: a number of kernels that does not grow with the patches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ingradient_pl.transforms.augmentation_table import AugmentationTable
from ingradient_pl.transforms.matrix_products import exact_products
from ingradient_pl.transforms.packed_batch import BatchArrays, PackedBatch
from ingradient_pl.transforms.patch import Batch
from ingradient_pl.transforms.prepare_straight import StraightGroup
from ingradient_pl.transforms.prepare_turned import TurnedGroup

PAIR = 2
GROUPS = {
    "gather": StraightGroup,
    "separable": StraightGroup,
    "plane": TurnedGroup,
    "oblique": TurnedGroup,
}


def prepare_packed(packed: PackedBatch) -> Batch:
    """Normalise, resample and stack the patches of a batch on the device they lie on.

    What :class:`ingradient_pl.transforms.prepare_batch.Prepare` does patch by patch; each answer is that of
    the patch alone, to rounding.

    Args:
        packed: On the device where the batch is wanted.
    """
    arrays = BatchArrays(packed)
    with exact_products():
        parts = [GROUPS[group.kind](arrays, group).prepare() for group in packed.groups]
    image, label, body, extra = (_assemble(arrays, list(found)) for found in zip(*parts, strict=True))
    assert image is not None  # every group has both
    assert label is not None
    limits = arrays.get("limits")
    if limits is not None and any(group.kind != "gather" for group in packed.groups):
        low, high = limits[..., None, None, None].unbind(2)
        image = torch.clamp(image, low, high)
    free = arrays.get("free")
    if body is not None:
        body = body[:, None] if free is None else body[:, None] | free[:, None, None, None]
    sent = arrays.get("augmentation")
    table = None if packed.drawn is None or sent is None else AugmentationTable(packed.drawn, sent)
    known = arrays.get("known")
    return Batch(image, label, body, packed.cases, packed.numbers, table, extra, known)


def _assemble(arrays: BatchArrays, parts: Sequence[Tensor | None]) -> Tensor | None:
    """Put what was made of groups in the order of the batch."""
    found = [part for part in parts if part is not None]
    if len(found) <= 1:
        return found[0] if found else None
    if len(found) > PAIR:
        order = arrays.get("order")
        assert order is not None  # there are groups
        return torch.cat(found).index_select(0, order)
    out = found[0].new_empty(len(arrays.packed.numbers), *found[0].shape[1:])
    for group, part in zip(arrays.packed.groups, found, strict=True):
        places = arrays.get("places", group)
        assert places is not None
        out.index_copy_(0, places, part)
    return out
