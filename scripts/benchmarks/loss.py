"""Our losses against nnU-Net's on the same logits, from logits to gradients: time and peak memory."""

from figure import Figure
from peers import answer

ROUNDS = 30
HELD = "3 classes"
"""What the bars are for; the others stand in the table."""


def figures() -> list[Figure]:
    found = answer("nnunet", "loss", ROUNDS)
    print(f"two patches of 40 x 56 x 40, two levels, median of {ROUNDS} in turns; ours make their targets")
    titles = ("ours ms", "theirs ms", "ratio", "ours MB", "theirs MB", "ratio")
    print("".join([f"{'task':<12}", *(f"{title:>10}" for title in titles)]))
    for name, one in found.items():
        times = [1000 * one["seconds"][side] for side in ("ours", "nnunet")]
        sizes = [one["bytes"][side] / 2**20 for side in ("ours", "nnunet")]
        print(
            f"{name:<12}{times[0]:>10.1f}{times[1]:>10.1f}{one['time_ratio']:>10.2f}"
            f"{sizes[0]:>10.1f}{sizes[1]:>10.1f}{sizes[0] / sizes[1]:>10.2f}"
        )
    held = found[HELD]
    memory = held["bytes"]["ours"] / held["bytes"]["nnunet"]
    return [
        Figure("loss_time", held["time_ratio"], "ratio", f"nnU-Net's Dice and CE of {HELD}", 0.7),
        Figure("loss_memory", memory, "ratio", f"nnU-Net's Dice and CE of {HELD}", 0.7),
    ]
