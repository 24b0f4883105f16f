"""Networks of other packages, with their outputs brought into a pyramid, finest first."""

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from ingradient_pl import spec

IMAGE = 5
"""Axes of logits: batch, output, z, y, x."""


def external_network(
    target: str, arguments: Mapping[str, Any] | None = None, *, flat: bool = False, levels: int | None = None
) -> "ExternalNetwork":
    """Build a network of another package by its dotted name, for a configuration to call.

    It imports what it is told to, so it is a function: a checkpoint builds classes only and cannot reach it.
    What a checkpoint holds is the network's own recipe, which is built only if its package is trusted.

    Args:
        target: Dotted name of the class, such as ``monai.networks.nets.DynUNet``.
        arguments: Of its constructor: plain values, so that a checkpoint can hold them.
        flat: Whether the network is two-dimensional; patches are then one slice thick.
        levels: Levels of its pyramid to keep, finest first; None keeps all.

    Raises:
        ValueError: If the target cannot be found.
        TypeError: If it is not a network, or an argument no plain value.
    """
    plain = {spec.TARGET: target, **spec.to_spec(dict(arguments or {}))}
    trusted = [target.partition(".")[0]]
    if not issubclass(spec.find_class(target, trusted, object), nn.Module):
        raise TypeError(f"'{target}' is not a network: it must be a class derived from torch.nn.Module.")
    network = spec.build(plain, trusted, nn.Module)
    return ExternalNetwork(network, json.dumps(plain), flat=flat, levels=levels)


class ExternalNetwork(nn.Module):
    """A network whose output is a pyramid, whatever it gives: logits, a list, a dictionary or a stack.

    Args:
        network: Takes images, gives logits.
        source: Its recipe as JSON; as text, for nothing may be built from it.
        flat: Whether it is two-dimensional; patches are then one slice thick.
        levels: Levels to keep, finest first; None keeps all.

    Raises:
        ValueError: If ``levels`` is not a positive number, or ``source`` is not a recipe.
    """

    def __init__(
        self, network: nn.Module, source: str, *, flat: bool = False, levels: int | None = None
    ) -> None:
        super().__init__()
        if levels is not None and levels < 1:
            raise ValueError(f"A pyramid has at least one level, got levels={levels}.")
        plain = json.loads(source)
        if not isinstance(plain, dict) or spec.TARGET not in plain:
            raise ValueError(f"The source of an outside network is its recipe as JSON, got {source[:80]}.")
        self.network, self.flat, self.levels = network, flat, levels
        self.spec: dict[str, Any] = {
            spec.TARGET: f"{ExternalNetwork.__module__}.{ExternalNetwork.__qualname__}",
            "network": plain,
            "source": source,
            "flat": flat,
            "levels": levels,
        }

    @override
    def forward(
        self, image: Float[Tensor, "batch channel z y x"], levels: int | None = None
    ) -> list[Float[Tensor, "batch output _ _ _"]]:
        """Give the logits of each level, finest first; only the ``levels`` finest, where asked."""
        given = self.network(image.squeeze(2) if self.flat else image)
        pyramid = _pyramid(given, IMAGE - self.flat)
        if self.flat:
            pyramid = [level.unsqueeze(2) for level in pyramid]
        return pyramid[: self.levels if levels is None else levels]

    def finest(self, image: Float[Tensor, "batch channel z y x"]) -> Float[Tensor, "batch output z y x"]:
        """Give the logits of the finest level alone.

        Args:
            image: Normalised patches.
        """
        logits: Tensor = self(image, levels=1)[0]
        return logits


def freeze_unused(network: nn.Module, shape: Sequence[int]) -> list[str]:
    """Freeze the weights that the logits of a network do not depend on, such as heads of levels not kept.

    Processes that train together wait for the gradient of every weight. The network is run there and back on
    tensors without content; one that cannot be (it looks at values) is left as it is.

    Args:
        network: Its weights are asked for no gradient any more where they get none.
        shape: Of a batch of images, ``(batch, channel, z, y, x)``.

    Returns:
        Names of the weights that were frozen.
    """
    twin = copy.deepcopy(network).to("meta").train()
    try:
        given = twin(torch.empty(tuple(shape), device="meta"))
        levels = [given] if isinstance(given, Tensor) else list(given)
        torch.autograd.backward([level.sum() for level in levels])
    except (RuntimeError, NotImplementedError, ValueError, TypeError):
        return []
    unused = [
        name for name, weight in twin.named_parameters() if weight.requires_grad and weight.grad is None
    ]
    for name in unused:
        network.get_parameter(name).requires_grad = False
    return unused


def _pyramid(given: Any, axes: int) -> list[Tensor]:
    """Order levels by voxels; where equal, as they came. MONAI's DynUNet stacks them after the batch."""
    if isinstance(given, Tensor):
        given = given.unbind(1) if given.ndim == axes + 1 else [given]
    levels = list(
        given.values() if isinstance(given, Mapping) else given if isinstance(given, Sequence) else []
    )
    if not levels or not all(isinstance(level, Tensor) and level.ndim == axes for level in levels):
        shapes = [
            tuple(level.shape) if isinstance(level, Tensor) else type(level).__name__ for level in levels
        ]
        raise ValueError(
            f"An outside network must give logits of {axes} axes, one tensor or several; got "
            f"{type(given).__name__} of {shapes}. If it is two-dimensional, set flat=true."
        )
    return sorted(levels, key=lambda level: -level[0, 0].numel())
