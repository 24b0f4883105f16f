"""Our losses and nnU-Net's on the same logits, in turns in this one process; prints ratios as JSON.

Run by an interpreter that has nnU-Net, with our checkout on its path. Arguments: rounds, edges of the patch.
"""

import json
import statistics
import sys
import time

import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from torch.profiler import ProfilerActivity, profile

from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.regions import RegionDiceCE

BATCH = 2
DICE = {"batch_dice": False, "smooth": 1e-5, "ddp": False}
REGIONS = [(1, 2, 3), (2, 3), (3,)]


def pairs(classes: int, patch: tuple[int, int, int], *, regions: bool):
    """Each side from logits to gradients at both levels; nnU-Net's gets the targets its loader made."""
    label = torch.randint(0, classes, (BATCH, *patch), dtype=torch.uint8)
    coarse = tuple(edge // 2 for edge in patch)
    logits = [torch.randn(BATCH, len(REGIONS) if regions else classes, *shape) for shape in (patch, coarse)]
    pyramid = [level.requires_grad_() for level in logits]
    if regions:
        ours = DeepSupervision(RegionDiceCE(REGIONS))
        level = DC_and_BCE_loss({}, {**DICE, "do_bg": True}, dice_class=MemoryEfficientSoftDiceLoss)
        whole = torch.stack([torch.isin(label, torch.tensor(one)) for one in REGIONS], 1).float()
    else:
        ours = DeepSupervision(DiceCE())
        level = DC_and_CE_loss({**DICE, "do_bg": False}, {}, dice_class=MemoryEfficientSoftDiceLoss)
        whole = label[:, None].float()
    theirs = DeepSupervisionWrapper(level, [2 / 3, 1 / 3])
    targets = [whole, whole[:, :, 1::2, 1::2, 1::2].contiguous()]
    return {
        "ours": lambda: torch.autograd.grad(ours(pyramid, label), pyramid),
        "nnunet": lambda: torch.autograd.grad(theirs(pyramid, targets), pyramid),
    }


def peak(task) -> int:
    """Most bytes that a task holds at once, beside what was there before."""
    task()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        task()
    events = [one for one in seen.profiler.kineto_results.events() if one.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda one: one.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def main() -> None:
    rounds, *edges = map(int, sys.argv[1:])
    answer = {}
    kinds = {
        "2 classes": (2, False),
        "3 classes": (3, False),
        "8 classes": (8, False),
        "3 regions": (4, True),
    }
    for name, kind in kinds.items():
        tasks = pairs(kind[0], tuple(edges), regions=kind[1])
        seconds: dict[str, list[float]] = {side: [] for side in tasks}
        for turn in range(rounds + 3):
            for side, task in tasks.items():
                start = time.perf_counter()
                task()
                if turn > 2:
                    seconds[side].append(time.perf_counter() - start)
        ratio = statistics.median(a / b for a, b in zip(seconds["ours"], seconds["nnunet"], strict=True))
        answer[name] = {
            "seconds": {side: statistics.median(found) for side, found in seconds.items()},
            "time_ratio": ratio,
            "bytes": {side: peak(task) for side, task in tasks.items()},
        }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
