"""The network that a configuration file names, for planners that have to try it on."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue
from torch import nn

from ingradient_pl.lightning.targets import check_kind
from ingradient_pl.plain_values import (
    LARGEST_YAML,
    PlainValueError,
    entries,
    is_worked_out,
    parse_yaml,
    read_text,
)
from ingradient_pl.planning.traced_memory import TracedMemory
from ingradient_pl.spec import TARGET

SHIPPED = "ingradient_pl.conf"
GROUP = "network"


@dataclass(frozen=True)
class NamedNetwork:
    """Make the network of a configuration file for a number of channels and outputs.

    Args:
        name: A file (.yaml), or what the shipped group ``network`` calls it: ``external``.

    Raises:
        FileNotFoundError: If there is no such network.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.text:
            raise FileNotFoundError(f"{self.name} is empty: it should say _target_ and its arguments.")

    def trace_memory(self, multiple: int) -> TracedMemory:
        """Judge the memory that training it takes by running it without content.

        Args:
            multiple: What each axis of a patch is rounded up to, in voxels.
        """
        return TracedMemory(self, multiple=multiple)

    @property
    def override(self) -> str:
        """What to tell ``ingradient-train`` to take this network."""
        file = Path(self.name)
        choice = f"{GROUP}@module.{GROUP}={file.stem}"
        return f"hydra.searchpath=[file://{file.absolute().parents[1]}] {choice}" if file.suffix else choice

    @property
    def text(self) -> str:
        """What the file says."""
        if Path(self.name).suffix in (".yaml", ".yml"):
            if not Path(self.name).is_file():
                raise FileNotFoundError(f"There is no file {self.name} that would describe a network.")
            try:
                return read_text(Path(self.name), LARGEST_YAML)
            except PlainValueError as error:
                raise ValueError(f"{self.name} does not describe a network: {error}.") from error
        folder = resources.files(SHIPPED) / GROUP
        shipped = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
        if self.name not in shipped:
            raise FileNotFoundError(
                f"There is no network '{self.name}'. Name a file (.yaml), or one of {', '.join(shipped)}."
            )
        return shipped[self.name].read_text(encoding="utf-8")

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the file says, as plain values that name networks and refer to the plan, and no more.

        Raises:
            ValueError: If it is not YAML, or does anything else; nothing was called.
        """
        try:
            plain = parse_yaml(self.text)
        except PlainValueError as error:
            raise ValueError(f"{self.name} does not describe a network: {error}.") from error
        if not isinstance(plain, Mapping) or TARGET not in plain:
            raise ValueError(f"{self.name} does not describe a network: it needs a line '{TARGET}: CLASS'.")
        for name, value in entries(plain):
            if isinstance(value, str) and is_worked_out(value):
                raise ValueError(
                    f"{self.name}: '{name}' is {value[:200]!r}; it may refer to entries, and no more."
                )
            if name.rpartition(".")[2] == TARGET:
                check_kind(f"{self.name}: '{name}'", value, nn.Module)
        return plain

    def __call__(self, channels: int, outputs: int, patch: tuple[int, ...]) -> nn.Module:
        """Make it.

        Raises:
            ValueError: If it cannot be made, or is built from what a planner is still to decide.
        """
        plan = {"channels": channels, "outputs": outputs, "patch": list(patch)}
        config = OmegaConf.create({"plan": plan, GROUP: self.settings})
        try:
            network = instantiate(config[GROUP], _convert_="all")
        except (InstantiationException, MissingMandatoryValue) as error:
            cause = error.__cause__ or error
            raise ValueError(
                f"{self.name}: its network cannot be made: {' '.join(str(cause).split())}"
            ) from error
        except InterpolationResolutionError as error:
            raise ValueError(
                f"The network {self.name} cannot be planned for: {str(error).splitlines()[0]}. It may "
                f"depend on {', '.join(f'plan.{name}' for name in plan)}; all else is yet to be planned."
            ) from error
        if not isinstance(network, nn.Module):
            raise TypeError(f"{self.name} makes a {type(network).__name__}, which is not a torch.nn.Module.")
        return network
