"""The random numbers of a network, such as dropout's: a step has its own, whatever came before."""

import numpy as np
import torch

NETWORK = 5
"""The stream of random numbers that is the network's; draws and augmentation have others."""


def seed_network(seed: int, device: torch.device) -> None:
    """Seed what a network draws from on the host and on its device.

    ``torch.manual_seed`` seeds every kind of device that torch knows, each step 0.1 to 1 ms of the host.

    Args:
        seed: Of the step.
        device: Of the network.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def mix_seed(seed: int, number: int) -> int:
    """Make a seed for all that is random in the network when a batch begins with patch ``number``.

    Args:
        seed: The run's.
        number: Of the patch.
    """
    return int(np.random.SeedSequence([seed, number, NETWORK]).generate_state(1, np.uint64)[0])
