"""From the tensors of a trained network to those of a new one: one row for each, taken, adapted or fresh."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from ingradient_pl.files import replace_file
from ingradient_pl.finetuning.counterpart import Match, UNetMatcher, match_by_name
from ingradient_pl.finetuning.meanings import check_labels, tell_other_meanings
from ingradient_pl.finetuning.names import Rules, name_weights
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.messages import UsageError, as_cell
from ingradient_pl.networks.unet import UNet
from ingradient_pl.phrases import align_columns
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
        """Fill the network; what is fresh stays as it was initialised.

        Args:
            network: Changed in place; its weights have the shapes that were mapped.
        """
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
        return align_columns(lines)

    def write(self, file: Path) -> None:
        """Write every row as a line of a CSV file; it appears whole or not at all.

        Args:
            file: Replaced where it exists.
        """
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            cells = (row.tensor, shape, row.parameters, row.state, row.taken, row.source, row.how)
            writer.writerow([as_cell(cell) if isinstance(cell, str) else cell for cell in cells])
        replace_file(file, text.getvalue().encode())

    def _parts(self) -> dict[str, list[Row]]:
        parts: dict[str, list[Row]] = {}
        for row in self.rows:
            parts.setdefault(_part(row.tensor), []).append(row)
        return parts


def map_weights(network: nn.Module, source: Source, task: Task, rules: Rules | None = None) -> WeightMapping:
    """Find for each tensor of a network what it starts from.

    Args:
        network: The new one, initialised; it is not changed.
        source: The weights to start from.
        task: What the new network's channels and outputs mean.
        rules: For plain weights, our names to theirs, with ``*``; None finds what is certain.

    Raises:
        UsageError: If plain weights cannot be told apart, or a line of the rules fits nothing.
        ValueError: If a weight of the source is not finite, or labels cannot be told apart by their names.
    """
    _check_finite(source)
    check_labels(source, task)
    fresh = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    source = _give_our_names(network, fresh, source, rules)
    matches = dict(_matches(network, source, task, fresh))
    warnings = (*source.warnings, *tell_other_meanings(network, source, task))
    rows = tuple(_row(name, value, matches[name], source) for name, value in fresh.items())
    values = {name: match.value for name, match in matches.items() if match.value is not None}
    return WeightMapping(rows, values, source.origin, warnings)


def _give_our_names(
    network: nn.Module, fresh: Mapping[str, Tensor], source: Source, rules: Rules | None
) -> Source:
    """Give plain weights our names; a source that tells its network has them."""
    if source.network is None:
        return name_weights(network, fresh, source, rules)
    if rules is not None:
        raise UsageError(
            f"init_mapping= says which tensor of plain weights is which; {source.origin} tells that itself. "
            "Leave it out."
        )
    return source


def _matches(
    network: nn.Module, source: Source, task: Task, fresh: Mapping[str, Tensor]
) -> Iterator[tuple[str, Match]]:
    if not isinstance(network, UNet) or not isinstance(source.network, (UNet, type(None))):
        yield from ((name, match_by_name(name, value, source)) for name, value in fresh.items())
        return
    matcher = UNetMatcher(network, source, task)
    yield from ((name, matcher.match(name, value)) for name, value in fresh.items())


def _row(name: str, fresh: Tensor, match: Match, source: Source) -> Row:
    state: State = "fresh" if match.value is None else "adapted" if match.how else "taken"
    theirs = source.renamed.get(match.source, match.source)
    return Row(name, tuple(fresh.shape), state, match.taken, theirs, match.how)


def _check_finite(source: Source) -> None:
    for name, value in source.weights.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{source.origin}: its '{name}' holds values that are not finite: that training diverged. "
                "Take another checkpoint of it."
            )


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    number = rest.partition(".")[0]
    return f"{first}.{number}" if first == "encoder" and number.isdigit() else first


def _reasons(rows: Sequence[Row]) -> str:
    """Give what was adapted or is missing, each once."""
    found = list(dict.fromkeys(row.how for row in rows if row.how))
    return "; ".join(found[:2]) + ("; ..." if len(found) > 2 else "")  # noqa: PLR2004
