"""Which store a case is drawn from, where stores have stated shares: exact, and by number alone."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

BLOCK = 64
"""Slots whose order is mixed: else stores would always come at the same places of a batch."""
MIXED = 5
"""Stream of random numbers, beside those of patches, orders and bends."""


def share_slot(slot: int, shares: Mapping[str, float], seed: int) -> tuple[str, int]:
    """Give the store of a slot, and how many slots of that store come before it.

    Of the first ``n`` slots, a whole number of blocks, each store has its share to within one for each other
    store; and each of its slots is counted once, so that its cases come in whole rounds.

    Args:
        slot: Which case of the run is drawn, from 0.
        shares: By store, summing to one.
        seed: Of the run.

    >>> [share_slot(slot, {"a": 1.0}, 0) for slot in range(BLOCK)] == [("a", n) for n in _mix(0, 0)]
    True
    """
    block, place = divmod(slot, BLOCK)
    at, left = block * BLOCK + _mix(seed, block)[place], 1.0
    *some, last = shares
    for store in some:
        share = shares[store] / left
        before = math.floor(at * share)
        if math.floor((at + 1) * share) > before:
            return store, before
        at, left = at - before, left - shares[store]
    return last, at


@lru_cache(maxsize=8)
def _mix(seed: int, block: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng([seed, block, MIXED]).permutation(BLOCK).tolist())
