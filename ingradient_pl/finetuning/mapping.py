"""From the tensors of a trained network to those of a new one: one row for each, taken, adapted or fresh."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ingradient_pl.files import replace_file
from ingradient_pl.finetuning.adapt import pair_names
from ingradient_pl.finetuning.counterpart import Match, UNetMatcher, match_by_name
from ingradient_pl.finetuning.source import Source
from ingradient_pl.networks.unet import UNet
from ingradient_pl.short_repr import short_repr
from ingradient_pl.task import Task

COLUMNS = ("tensor", "shape", "parameters", "state", "taken", "source", "how")
State = Literal["taken", "adapted", "fresh"]


class Row(NamedTuple):
    """What became of one tensor of the new network.

    Args:
        tensor: Its name.
        shape: Its shape.
        state: Whether it is the source's as it was, the source's made to fit, or as it was initialised.
        taken: How many of its parameters come from the source.
        source: Name of the source's tensor; empty where there is none.
        how: What was adapted, or why it is fresh.
    """

    tensor: str
    shape: tuple[int, ...]
    state: State
    taken: int
    source: str
    how: str

    @property
    def parameters(self) -> int:
        """Parameters of the tensor."""
        return torch.Size(self.shape).numel()


class WeightMapping(NamedTuple):
    """Where each tensor of a network comes from.

    Args:
        rows: One for each tensor of the new network, in its order.
        values: What those that are not fresh become.
        origin: Where the source was read from.
        warnings: What may be meant otherwise than it was taken.
    """

    rows: tuple[Row, ...]
    values: Mapping[str, Tensor]
    origin: str
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def share(self) -> float:
        """Share of the network's parameters that come from the source, in [0, 1]."""
        parameters = sum(row.parameters for row in self.rows)
        return sum(row.taken for row in self.rows) / max(1, parameters)

    def apply(self, network: nn.Module) -> None:
        """Fill the network; what is fresh stays as it was initialised."""
        own = network.state_dict()
        with torch.no_grad():
            for name, value in self.values.items():
                own[name].copy_(value)

    def table(self) -> str:
        """Show it, one line for each part of the network."""
        lines: list[tuple[str, ...]] = [
            ("part", "tensors", "taken", "adapted", "fresh", "parameters taken", "how")
        ]
        for part, rows in self._parts().items():
            counts = [sum(row.state == state for row in rows) for state in ("taken", "adapted", "fresh")]
            parameters = sum(row.parameters for row in rows)
            taken = f"{sum(row.taken for row in rows)} of {parameters}"
            lines.append((part, str(len(rows)), *map(str, counts), taken, _reasons(rows)))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def write(self, file: Path) -> None:
        """Write every row as a line of a CSV file; it appears whole or not at all."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            writer.writerow((row.tensor, shape, row.parameters, row.state, row.taken, row.source, row.how))
        replace_file(file, text.getvalue().encode())

    def _parts(self) -> dict[str, list[Row]]:
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(_part(row.tensor), []).append(row)
        return parts


def map_weights(network: nn.Module, source: Source, task: Task) -> WeightMapping:
    """Find for each tensor of a network what it starts from.

    Args:
        network: The new one, initialised; it is not changed.
        source: The weights to start from.
        task: What the new network's channels and outputs mean.

    Raises:
        ValueError: If a weight of the source is not finite.
    """
    _check_finite(source)
    fresh = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    both = isinstance(network, UNet) and isinstance(source.network, UNet)
    matches = dict(_matches(network, source, task, fresh))
    warnings = () if both else tuple(_unknown_meanings(source, task))
    rows = tuple(_row(name, value, matches[name]) for name, value in fresh.items())
    values = {name: match.value for name, match in matches.items() if match.value is not None}
    return WeightMapping(rows, values, source.origin, warnings)


def _matches(
    network: nn.Module, source: Source, task: Task, fresh: Mapping[str, Tensor]
) -> Iterator[tuple[str, Match]]:
    if not (isinstance(network, UNet) and isinstance(source.network, UNet)):
        yield from ((name, match_by_name(name, value, source.weights)) for name, value in fresh.items())
        return
    matcher = UNetMatcher(network, source.network, source.weights, source.inputs, source.task, task)
    yield from ((name, matcher.match(name, value)) for name, value in fresh.items())


def _row(name: str, fresh: Tensor, match: Match) -> Row:
    state: State = "fresh" if match.value is None else "adapted" if match.how else "taken"
    return Row(name, tuple(fresh.shape), state, match.taken, match.source, match.how)


def _check_finite(source: Source) -> None:
    for name, value in source.weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{source.origin}: its '{name}' holds values that are not finite: that training diverged. "
                "Take another checkpoint of it."
            )


def _unknown_meanings(source: Source, task: Task) -> Iterator[str]:
    """Say what cannot be held to names where a network is another package's."""
    pairs = (
        ("channels", source.inputs, task.channels),
        ("outputs", source.task.output_names, task.output_names),
    )
    for what, theirs, ours in pairs:
        if pair_names(ours, theirs) != list(range(len(theirs))):
            yield (
                f"The {what} of {source.origin} are {', '.join(theirs)}, here {', '.join(ours)}. Which layer "
                "of this network they belong to is not known, so it was taken where its shape fits."
            )


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if first == "encoder" and number.isdigit() else first


def _reasons(rows: Sequence[Row]) -> str:
    """Give what was adapted or is missing, each once."""
    found = list(dict.fromkeys(row.how for row in rows if row.how))
    return "; ".join(found[:2]) + ("; ..." if len(found) > 2 else "")  # noqa: PLR2004
