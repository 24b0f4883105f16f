"""The network that a configuration file names, for planners that have to try it on."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError
from torch import nn

SHIPPED = "ingradient_pl.conf"
GROUP = "network"


@dataclass(frozen=True)
class NamedNetwork:
    """Make the network of a configuration file for a number of channels and outputs.

    Args:
        name: A file (.yaml), or what the shipped group ``network`` calls it: ``outside``.

    Raises:
        FileNotFoundError: If there is no such network.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.text:
            raise FileNotFoundError(f"{self.name} is empty: it should say _target_ and its arguments.")

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
            return Path(self.name).read_text(encoding="utf-8")
        folder = resources.files(SHIPPED) / GROUP
        shipped = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
        if self.name not in shipped:
            raise FileNotFoundError(
                f"There is no network '{self.name}'. Name a file (.yaml), or one of {', '.join(shipped)}."
            )
        return shipped[self.name].read_text(encoding="utf-8")

    def __call__(self, channels: int, outputs: int, patch: tuple[int, ...]) -> nn.Module:
        """Make it.

        Raises:
            ValueError: If it is built from what a planner is still to decide.
        """
        plan = {"channels": channels, "outputs": outputs, "patch": list(patch)}
        config = OmegaConf.create({"plan": plan, GROUP: yaml.safe_load(self.text)})
        try:
            network = instantiate(config[GROUP], _convert_="all")
        except InterpolationResolutionError as error:
            raise ValueError(
                f"The network {self.name} cannot be planned for: {str(error).splitlines()[0]}. It may "
                f"depend on {', '.join(f'plan.{name}' for name in plan)}; all else is yet to be planned."
            ) from error
        if not isinstance(network, nn.Module):
            raise TypeError(f"{self.name} makes a {type(network).__name__}, which is no torch.nn.Module.")
        return network
