"""Whether the processes of a run go together: what each trains on, told to all as it starts."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities import rank_zero_warn

from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.planning.plan_yaml import as_yaml

LONGEST = 64
"""Bytes of a name that travel."""
MEBIBYTE = 2**20
ALIKE = 0.95
"""Cards of one kind whose memories are no further apart are alike: drivers keep some of it."""


class RankDevice(NamedTuple):
    """What a process trains on.

    Args:
        name: Of the GPU.
        mebibytes: Its memory.
        precision: What its trainer computes in, such as ``bf16-mixed``.
    """

    name: str
    mebibytes: int
    precision: str


def check_processes(trainer: pl.Trainer) -> None:
    """Refuse processes that would not train one network on the same data; name GPUs of different kinds.

    Args:
        trainer: Of the run, its processes joined.

    Raises:
        ValueError: If they compute in different precisions, or see other data.
    """
    device = trainer.strategy.root_device
    if trainer.world_size == 1:
        return
    data = getattr(trainer, "datamodule", None)
    if isinstance(data, SegmentationData):
        check_same(trainer.strategy, describe_data(data))
    if device.type != "cuda":
        return
    known = torch.cuda.get_device_properties(device)
    own = RankDevice(known.name, known.total_memory // MEBIBYTE, str(trainer.precision))
    found = exchange_devices(trainer.strategy, own)
    if problem := describe_precisions(found):
        raise ValueError(problem)
    if told := describe_kinds(found):
        rank_zero_warn(told)


def describe_data(data: SegmentationData) -> dict[str, str]:
    """Give what all processes of a run must see alike, by what it is called.

    Args:
        data: Of this process.
    """
    return {
        "data.store": data.store.check_sum(),
        "data.split": repr(tuple(data.split)),
        "plan": as_yaml(data.plan),
        "data.draws": repr(asdict(data.draws)),
    }


def check_same(strategy: Strategy, own: Mapping[str, str]) -> None:
    """Refuse a run whose processes would train one network on different data.

    Args:
        strategy: That gathers over the processes.
        own: What this process sees, by what it is called; the same names in all.

    Raises:
        ValueError: If another process sees something else; in all processes alike.
    """
    sums = [zlib.crc32(text.encode()) for text in own.values()]
    gathered = strategy.all_gather(torch.tensor(sums, device=strategy.root_device))
    for name, seen in zip(own, gathered.view(-1, len(sums)).T.tolist(), strict=True):
        other = [one != seen[0] for one in seen]
        if any(other):
            raise ValueError(
                f"{name} is not the same in all processes of this run: {_list_ranks(other)} see another one "
                "than rank 0. Give each machine the same store, files and settings."
            )


def exchange_devices(strategy: Strategy, own: RankDevice) -> list[RankDevice]:
    """Tell all processes what this one trains on, as plain bytes; give what each says, by rank.

    Args:
        strategy: That gathers over the processes.
        own: Of this process.
    """
    texts = [text.encode()[:LONGEST].ljust(LONGEST) for text in (own.name, own.precision)]
    numbers = [*b"".join(texts), own.mebibytes]
    gathered = strategy.all_gather(torch.tensor(numbers, device=strategy.root_device))
    rows = gathered.view(-1, len(numbers)).tolist()
    return [RankDevice(_to_text(row[:LONGEST]), row[-1], _to_text(row[LONGEST:-1])) for row in rows]


def _to_text(numbers: Sequence[int]) -> str:
    return bytes(numbers).decode(errors="replace").strip()


def describe_precisions(devices: Sequence[RankDevice]) -> str | None:
    """Say which processes compute in which precision; None where all do in one.

    Args:
        devices: Of all processes, by rank.
    """
    precisions = sorted({one.precision for one in devices})
    if len(precisions) == 1:
        return None
    told = ", ".join(
        f"{one} on {_list_ranks([device.precision == one for device in devices])}" for one in precisions
    )
    return (
        f"The processes of this run would compute in different precisions ({told}): each takes what its GPU "
        "has. Name one that all have: trainer.precision=16-mixed, or 32-true."
    )


def describe_kinds(devices: Sequence[RankDevice]) -> str | None:
    """Say which kinds of GPUs a run has and what that means; None where all are alike.

    Args:
        devices: Of all processes, by rank.
    """
    memories = [one.mebibytes for one in devices]
    if len({one.name for one in devices}) == 1 and min(memories) >= ALIKE * max(memories):
        return None
    kinds = sorted({(one.name, one.mebibytes) for one in devices}, key=lambda kind: -kind[1])
    told = "; ".join(
        f"{name}, {size / 1024:.1f} GiB ({_list_ranks([one[:2] == (name, size) for one in devices])})"
        for name, size in kinds
    )
    smallest = min(memories) / 1024
    return (
        f"This run trains on GPUs of different kinds: {told}. All take the same share of each batch, so the "
        f"slowest sets the pace and the smallest, {smallest:.1f} GiB, what fits. CUDA_VISIBLE_DEVICES leaves "
        "some out; plan.batch_size sets the patches of all of them together."
    )


def _list_ranks(chosen: Sequence[bool]) -> str:
    ranks = [str(rank) for rank, holds in enumerate(chosen) if holds]
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(ranks)}"
