"""Erosion, dilation, opening and closing by balls of many binary volumes at once, in a few kernels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int16
from torch import Tensor

SPACE = (1, 2, 3)
BLOCK_BYTES = 1 << 28
"""Memory for shifted copies of the volumes that are changed together."""
DILATE, ERODE, OPEN, CLOSE = "dilate", "erode", "open", "close"
OPERATIONS = (DILATE, ERODE, OPEN, CLOSE)


class BallOperation(NamedTuple):
    """What happens to one binary volume.

    Args:
        kind: One of ``OPERATIONS``.
        radius: Of the ball in voxels; voxels whose centres are so far away or nearer belong to it.
    """

    kind: str
    radius: float


def change_by_balls(
    volumes: Bool[Tensor, "row z y x"], operations: Sequence[BallOperation]
) -> Bool[Tensor, "row z y x"]:
    """Apply an operation of its own to each volume; beyond its edge a volume goes on as it is there.

    A dilation by a ball is every voxel whose squared distance to the volume is at most the squared radius.
    That distance is worked out axis by axis, for all volumes together, so that the number of kernels depends
    on neither their number nor their shape. An erosion is the dilation of what is not the volume.

    Args:
        volumes: On one device.
        operations: One for each.

    Raises:
        ValueError: If there are not as many operations, or one is not known.
    """
    unknown = sorted({one.kind for one in operations} - set(OPERATIONS))
    if unknown or len(operations) != len(volumes):
        raise ValueError(
            f"{len(volumes)} volumes need as many operations, each one of {', '.join(OPERATIONS)}; got "
            f"{len(operations)}{', among them ' + ', '.join(unknown) if unknown else ''}."
        )
    first = _dilate(volumes, operations, [one.kind in (ERODE, OPEN) for one in operations])
    twice = [row for row, one in enumerate(operations) if one.kind in (OPEN, CLOSE)]
    if not twice:
        return first
    again = [operations[row] for row in twice]
    rows = send_numbers(twice, torch.int64, first)
    second = _dilate(first.index_select(0, rows), again, [one.kind == CLOSE for one in again])
    return first.index_copy_(0, rows, second)


def _dilate(
    volumes: Bool[Tensor, "row z y x"], operations: Sequence[BallOperation], inverted: Sequence[bool]
) -> Bool[Tensor, "row z y x"]:
    """Dilate volumes, or where ``inverted`` what is not the volume: that is an erosion."""
    steps = [math.floor(one.radius) for one in operations]
    limits = [math.floor(one.radius**2) for one in operations]
    flipped = send_numbers(inverted, torch.bool, volumes).view(-1, 1, 1, 1)
    limit = send_numbers(limits, torch.int16, volumes).view(-1, 1, 1, 1)
    most = max(steps)
    rows = max(1, BLOCK_BYTES // (2 * (2 * most + 1) * volumes[0].numel()))
    parts = [_square_distance(part, most) for part in torch.split(volumes ^ flipped, rows)]
    near = (torch.cat(parts) if len(parts) > 1 else parts[0]) <= limit
    return near.logical_xor_(flipped)


def _square_distance(volumes: Bool[Tensor, "row z y x"], steps: int) -> Int16[Tensor, "row z y x"]:
    """Give the squared distance of each voxel to the volume, right up to ``steps`` voxels; more beyond."""
    far = (steps + 1) ** 2
    distance = torch.where(volumes, 0, far).to(torch.int16)
    offsets = torch.arange(-steps, steps + 1, device=volumes.device, dtype=torch.int16).square()
    for dim in SPACE:
        if distance.shape[dim] == 1:
            continue
        moved = distance.movedim(dim, -1)
        padded = F.pad(moved, (steps, steps), value=far)
        distance = (padded.unfold(-1, 2 * steps + 1, 1) + offsets).amin(-1).movedim(-1, dim)
    return distance


def send_numbers(values: Sequence[float], dtype: torch.dtype, like: Tensor) -> Tensor:
    """Give numbers on the device of a tensor, without waiting for it.

    Args:
        values: On the host.
        dtype: That they become.
        like: A tensor of that device.
    """
    made = torch.tensor(values, dtype=dtype)
    if like.device.type == "cuda":
        made = made.pin_memory()
    return made.to(like.device, non_blocking=True)
