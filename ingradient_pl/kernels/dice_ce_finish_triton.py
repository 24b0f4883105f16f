"""Soft Dice and cross entropy of the sums of a level, with their slopes, as a Triton program."""

import triton
import triton.language as tl
from torch import Tensor

IMAGES, COMBINED = 4, 16
"""Images and parts that are combined at a time."""
FEW_CLASSES = 16


@triton.jit(do_not_specialize=["ranks", "images", "parts"])
def _finish(
    sums,
    weights,
    known,
    totals,
    loss,
    slopes,
    ranks,
    images,
    parts,
    classes,
    first,
    smooth,
    smallest,
    entropy_weight,
    dice_weight,
    CLASSES: tl.constexpr,
    IMAGES: tl.constexpr,
    COMBINED: tl.constexpr,
    POOLED: tl.constexpr,
    WEIGHED: tl.constexpr,
    KNOWS: tl.constexpr,
    AMONG: tl.constexpr,
):
    # One program: few numbers are left. Slopes are those of the loss, (image or one for all, 3, class).
    # Totals (AMONG) are those of all images on all ranks: overlap, predicted, true, known; (4, class)
    column = tl.arange(0, CLASSES)
    inside = column < classes
    scored = inside & (column >= first)
    weight = tl.where(inside, 1.0, 0.0)
    if WEIGHED:
        weight = tl.load(weights + column, mask=inside, other=0.0)
    index, part_index = tl.arange(0, IMAGES), tl.arange(0, COMBINED)
    all_overlap = tl.zeros((CLASSES,), tl.float32)
    all_predicted = tl.zeros((CLASSES,), tl.float32)
    all_true = tl.zeros((CLASSES,), tl.float32)
    all_logs = tl.zeros((CLASSES,), tl.float32)
    scores = tl.zeros((CLASSES,), tl.float32)
    share = dice_weight / (classes - first)
    told = tl.where(scored, 1.0, 0.0)
    if not POOLED:
        share = share / images
    if KNOWS:
        if AMONG:
            told = tl.load(totals + 3 * classes + column, mask=scored, other=0.0)
        else:
            told = tl.zeros((CLASSES,), tl.float32)
            for begin in range(0, images, IMAGES):
                image = begin + index
                there = (image < images)[:, None] & scored[None, :]
                one = tl.load(known + image[:, None] * classes + column[None, :], mask=there, other=0)
                told += tl.sum(tl.where(one != 0, 1.0, 0.0), 0)
        count = tl.sum(told, 0) / ranks
        if POOLED:
            count = tl.sum(tl.minimum(told, 1.0), 0)
        share = dice_weight / tl.where(count > 0, count, 1.0)
    for begin in range(0, images, IMAGES):
        image = begin + index
        overlap = tl.zeros((IMAGES, CLASSES), tl.float32)
        predicted = tl.zeros((IMAGES, CLASSES), tl.float32)
        true = tl.zeros((IMAGES, CLASSES), tl.float32)
        logs = tl.zeros((IMAGES, CLASSES), tl.float32)
        for start in range(0, parts, COMBINED):
            part = start + part_index
            row = image[:, None] * parts + part[None, :]
            there = ((image < images)[:, None] & (part < parts)[None, :])[:, :, None] & inside[None, None, :]
            place = sums + row[:, :, None] * (4 * classes) + column[None, None, :]
            overlap += tl.sum(tl.load(place, mask=there, other=0.0), 1)
            predicted += tl.sum(tl.load(place + classes, mask=there, other=0.0), 1)
            true += tl.sum(tl.load(place + 2 * classes, mask=there, other=0.0), 1)
            logs += tl.sum(tl.load(place + 3 * classes, mask=there, other=0.0), 1)
        all_overlap += tl.sum(overlap, 0)
        all_predicted += tl.sum(predicted, 0)
        all_true += tl.sum(true, 0)
        all_logs += tl.sum(logs, 0)
        if not POOLED:
            size = true + predicted + smooth
            below = tl.maximum(size, smallest)
            score = (2 * overlap + smooth) / below
            own = (image < images)[:, None] & scored[None, :]
            if KNOWS:
                one = tl.load(known + image[:, None] * classes + column[None, :], mask=own, other=0)
                own = own & (one != 0)
            scores += tl.sum(tl.where(own, score, 0.0), 0)
            by_overlap = tl.where(own, -share * 2 / below, 0.0)
            by_predicted = tl.where(own & (size >= smallest), share * score / below, 0.0)
            place = slopes + image[:, None] * (3 * classes) + column[None, :]
            there = (image < images)[:, None] & inside[None, :]
            tl.store(place, by_overlap, mask=there)
            tl.store(place + classes, by_predicted, mask=there)
    if AMONG:
        all_overlap = tl.load(totals + column, mask=inside, other=0.0)
        all_predicted = tl.load(totals + classes + column, mask=inside, other=0.0)
        all_true = tl.load(totals + 2 * classes + column, mask=inside, other=0.0)
    if POOLED:
        size = all_true + all_predicted + smooth
        below = tl.maximum(size, smallest)
        score = (2 * all_overlap + smooth) / below
        scored = scored & (told > 0)
        scores = tl.where(scored, score, 0.0)
        # All ranks' scores are this one, and each has its slope by this rank's sums: DDP takes their mean
        pull = share * ranks
        tl.store(slopes + column, tl.where(scored, -pull * 2 / below, 0.0), mask=inside)
        by_predicted = tl.where(scored & (size >= smallest), pull * score / below, 0.0)
        tl.store(slopes + classes + column, by_predicted, mask=inside)
    mass = tl.maximum(tl.sum(weight * all_true, 0) / ranks, smallest)
    entropy = -tl.sum(weight * all_logs, 0) / mass
    dice = tl.sum(scores, 0) * share
    tl.store(loss, entropy_weight * entropy - dice)
    by_log = -entropy_weight * weight / mass
    if POOLED:
        tl.store(slopes + 2 * classes + column, by_log, mask=inside)
    else:
        for begin in range(0, images, IMAGES):
            image = begin + index
            place = slopes + image[:, None] * (3 * classes) + 2 * classes + column[None, :]
            there = (image < images)[:, None] & inside[None, :]
            tl.store(place, tl.broadcast_to(by_log[None, :], (IMAGES, CLASSES)), mask=there)


def finish(
    sums: Tensor,
    weights: Tensor | None,
    known: Tensor | None,
    totals: Tensor | None,
    settings: tuple[int, int, float, float, float, float],
    pooled: bool,  # noqa: FBT001
    out: tuple[Tensor, Tensor],
) -> None:
    """Write the loss and its slopes by each image's sums.

    Args:
        sums: Of each part, shape (images, parts, 4, classes).
        weights: Of each class in the cross entropy, shape (classes,); None weighs all alike.
        known: Which classes each image's label tells, shape (images, classes), bytes; None: all.
        totals: Overlap, predicted, true and in how many images it is known of each class, over the images
            of all ranks, shape (4, classes); None where this rank's sums are all.
        settings: Ranks, first class of the Dice, what smoothes, smallest divisor, weights of cross entropy
            and of Dice.
        pooled: Whether the Dice takes all images as one.
        out: The loss, one number; its slopes, shape (images, 3, classes), of pooled sums (1, 3, classes).
    """
    images, parts, _, classes = sums.shape
    tile = {"CLASSES": triton.next_power_of_2(classes), "COMBINED": COMBINED}
    tile["IMAGES"] = IMAGES if classes <= FEW_CLASSES else 1
    chosen = {**tile, "POOLED": pooled, "WEIGHED": weights is not None, "KNOWS": known is not None}
    given = [sums if one is None else one for one in (weights, known, totals)]
    ranks, *numbers = settings
    shape = ranks, images, parts, classes
    _finish[(1,)](sums, *given, *out, *shape, *numbers, **chosen, AMONG=totals is not None)
