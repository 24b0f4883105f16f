"""How many channels a configured network takes: the image's, and in a cascade those of the stage before."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ingradient_pl.lightning.further_volumes import count_inputs

REFERENCE = "${plan.channels}"
"""What a network's description says for the channels of its input."""


def set_network_inputs(config: DictConfig) -> None:
    """Let a network that refers to ``plan.channels`` take the channels of the previous stage as well.

    Args:
        config: Of a training run; changed where ``data.previous`` names segmentations.

    Raises:
        ValueError: If there are none, or they do not say which labels they have.
    """
    previous = OmegaConf.select(config, "data.previous")
    network = OmegaConf.select(config, "module.network")
    if previous is not None and isinstance(network, DictConfig):
        _replace(network, count_inputs(int(config.plan.channels), str(previous)))


def _replace(node: DictConfig | ListConfig, count: int) -> None:
    keys: list[Any] = list(range(len(node))) if isinstance(node, ListConfig) else list(node)
    for key in keys:
        raw: Any = node._get_node(key)
        if raw is not None and raw._value() == REFERENCE:
            node[key] = count
        elif isinstance(raw, DictConfig | ListConfig) and not raw._is_none() and not raw._is_interpolation():
            _replace(raw, count)
