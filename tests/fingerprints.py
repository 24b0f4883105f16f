"""Made-up data sets in numbers, the same on every machine: what planners are compared on.

Only ``random.Random.random`` is used, whose numbers Python promises never to change. No package of ours is
imported, so that the script that asks nnU-Net can import this file too.
"""

import json
import math
import random
import zlib

MIXED = 1000
"""From this number on, some cases of a data set have thin slices and some have thick ones."""

NUMBERS = (*range(340), 857, *range(MIXED, MIXED + 20))
"""Of the data sets that are compared; in 857 a shorter axis makes the others longer."""
CHANNELS = ("CT", "ct", "MRI", "T1", "noNorm", "rescale_to_0_1", "rgb_to_0_1", "zscore", "FLAIR")


class Dice:
    """Whole numbers and logarithmic floats out of one stable stream."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def whole(self, low, high):
        return low + int(self.random() * (high - low + 1))

    def log(self, low, high):
        return low * math.exp(self.random() * math.log(high / low))

    def chance(self, share):
        return self.random() < share


def fingerprint(number):
    """Data set ``number``: shapes and spacings by case, labels, channels, crop, GB (None: the preset's)."""
    dice = Dice(number)
    cases = dice.whole(5, 40) if dice.chance(0.4) else int(dice.log(5, 2001))
    shape, spacing = _typical(dice)
    flat = dice.chance(0.03)
    spread = 0.0 if dice.chance(0.15) else 0.4 * dice.random()
    loose = 0.0 if dice.chance(0.3) else 0.5 * dice.random()
    thin = 0.5 * dice.random() if number >= MIXED else 0.0
    if thin:
        shape, spacing = [20.0, 300.0, 300.0], [4.0, 0.7, 0.7]
    shapes, spacings = [], []
    for _ in range(cases):
        shapes.append([_size(size, math.exp(spread * (dice.random() - 0.5))) for size in shape])
        spacings.append([_edge(mm, math.exp(loose * (dice.random() - 0.5))) for mm in spacing])
        if flat:
            shapes[-1][0] = 1
        if thin and dice.chance(thin):
            spacings[-1][0] /= 8
    labels = {"background": 0} | {f"label {value}": value for value in range(1, dice.whole(2, 9))}
    if dice.chance(0.05):
        labels["ignore"] = len(labels)
    names = [CHANNELS[dice.whole(0, len(CHANNELS) - 1)] for _ in range(dice.whole(1, 5))]
    return {
        "shapes": shapes,
        "spacings": spacings,
        "labels": labels,
        "channels": names,
        "relative_size": 0.3 + 0.7 * dice.random(),
        "memory_gb": round(dice.log(4, 80), 1) if dice.chance(0.1) else None,
    }


def checksum(numbers):
    """A number that tells whether a fingerprint is still the one that nnU-Net was asked about."""
    return zlib.crc32(json.dumps(numbers).encode())


def _typical(dice):
    """Shape and spacing that the cases of a data set scatter about."""
    shape = [dice.log(8, 1000) for _ in range(3)]
    if dice.chance(0.5):  # slices are mostly square
        shape[2] = shape[1]
    spacing = [dice.log(0.2, 12)] * 3
    if dice.chance(0.6):
        spacing[0] = dice.log(0.2, 12)
    if dice.chance(0.2):
        spacing[1], spacing[2] = dice.log(0.2, 12), dice.log(0.2, 12)
    if dice.chance(0.3):  # a few thick slices
        shape[0], spacing[0] = dice.log(8, 40), min(12.0, spacing[1] * dice.log(2.5, 9))
    order = [(0, 1, 2), (2, 0, 1), (1, 2, 0)][dice.whole(0, 2)] if dice.chance(0.3) else (0, 1, 2)
    if dice.chance(0.2):  # as scanners say it
        spacing = [float(round(mm, 1)) or 0.2 for mm in spacing]
    return [shape[axis] for axis in order], [spacing[axis] for axis in order]


def _size(size, factor):
    return min(1000, max(8, round(size * factor)))


def _edge(mm, factor):
    return mm if factor == 1.0 else min(12.0, max(0.2, mm * factor))
