"""The network that a checkpoint describes, with the weights that it holds."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ingradient_pl.spec import TARGET, TRUSTED, build


def build_network(
    plain: Mapping[str, Any] | None, weights: Mapping[str, Tensor], prefix: str, trusted: Sequence[str]
) -> nn.Module:
    """Make one network of a checkpoint, ready to predict.

    Args:
        plain: Its spec; None where it had none when it was trained.
        weights: Of all networks of the checkpoint, by name; each of the shape that the network asks for.
        prefix: What the names of this network's weights begin with.
        trusted: Packages whose classes the spec may name.

    Raises:
        ValueError: If there is no spec, it is not that of a network, or the weights are of another.
        RuntimeError: If the weights do not fit the network of another package.
    """
    if plain is None:
        raise ValueError(
            "its network could not be written down while training. Give the network's class an attribute "
            "'spec' (its '_target_' and its arguments) and train again."
        )
    kept = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    _check_shapes(plain, kept, trusted)
    network = build(plain, trusted, nn.Module)
    network.load_state_dict(kept)
    return cast(nn.Module, network.eval())


def _check_shapes(plain: Mapping[str, Any], weights: Mapping[str, Tensor], trusted: Sequence[str]) -> None:
    """Refuse weights that do not fit before memory is taken for what the file says of their shapes.

    Networks of other packages may not stand it; they are held to their weights when these are loaded.
    """
    if not str(plain.get(TARGET)).startswith(tuple(f"{package}." for package in TRUSTED)):
        return
    try:
        with torch.device("meta"):
            network = build(plain, trusted, nn.Module)
    except (NotImplementedError, RuntimeError):
        return
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != expected:
        odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise ValueError(
            f"its weights are not those of its network: '{odd[0]}' and {len(odd) - 1} more (Missing key, "
            f"Unexpected key or another shape): the network has {expected.get(odd[0])}, the file "
            f"{found.get(odd[0])}."
        )
