"""A training step of our network against nnU-Net's (and MONAI's beside it): forward, backward and SGD."""

from figure import Figure
from peers import answer

ROUNDS = 10


def figures() -> list[Figure]:
    found = answer("nnunet", "network", ROUNDS)
    print(
        f"two patches of 40 x 56 x 40, {found['threads']} threads, torch {found['torch']}, each at its "
        f"default memory format, median of {ROUNDS} in turns"
    )
    print(f"{'network':<12}{'weights':>12}{'ms':>10}{'of nnU-Net':>12}")
    for name, weights in found["weights"].items():
        seconds = found["seconds"][name]
        print(f"{name:<12}{weights:>12}{1000 * seconds:>10.1f}{found['ratios'][name]:>12.2f}")
    muon = found["seconds"]["muon"] / found["seconds"]["ours"]
    print(f"a step of Muon alone: {1000 * found['seconds']['muon']:.1f} ms, {100 * muon:.1f} % of ours")
    return [
        Figure("network_step", found["ratios"]["ours"], "ratio", "dynamic_network_architectures' step", 0.85)
    ]
