"""Our losses against nnU-Net's on the same logits, from logits to gradients: time and peak memory."""

from figure import Figure
from peers import answer

ROUNDS = {(40, 56, 40): 30, (96, 112, 96): 15}
"""By patch, in voxels: one that two cores can train with, one of a GPU's."""
SMALL, USUAL = ROUNDS
TITLES = ("ours ms", "theirs ms", "ratio", "ours MB", "theirs MB", "ratio")


def figures() -> list[Figure]:
    found = {patch: _measured(patch, rounds) for patch, rounds in ROUNDS.items()}
    worst = [max(one[i] for one in found[USUAL].values()) for i in (0, 1)]
    time, memory = found[SMALL]["3 classes"]
    return [
        Figure("loss_time", time, "ratio", "nnU-Net's Dice and CE of 3 classes, small patch", 0.7),
        Figure("loss_memory", memory, "ratio", "nnU-Net's Dice and CE of 3 classes, small patch", 0.7),
        Figure("loss_time_worst", worst[0], "ratio", "nnU-Net's, worst task of a usual patch", 0.7),
        Figure("loss_memory_worst", worst[1], "ratio", "nnU-Net's, worst task of a usual patch", 0.7),
    ]


def _measured(patch: tuple[int, int, int], rounds: int) -> dict[str, tuple[float, float]]:
    """Print a patch's table; give the ratios in time and memory of each task."""
    ratios = {}
    size = " x ".join(map(str, patch))
    print(f"two patches of {size}, two levels, median of {rounds} in turns; ours make their targets")
    print("".join([f"{'task':<12}", *(f"{title:>10}" for title in TITLES)]))
    for name, one in answer("nnunet", "loss", rounds, *patch).items():
        times = [1000 * one["seconds"][side] for side in ("ours", "nnunet")]
        sizes = [one["bytes"][side] / 2**20 for side in ("ours", "nnunet")]
        ratios[name] = (one["time_ratio"], sizes[0] / sizes[1])
        print(
            f"{name:<12}{times[0]:>10.1f}{times[1]:>10.1f}{ratios[name][0]:>10.2f}"
            f"{sizes[0]:>10.1f}{sizes[1]:>10.1f}{ratios[name][1]:>10.2f}"
        )
    return ratios
