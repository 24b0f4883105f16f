"""The workers that a command was told to use, with what they must know before their first case."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.workers.cluster import open_workers
from ingradient_pl.workers.threads import Workers
from ingradient_pl.working_directory import InWorkingDirectory

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def choose_workers(
    cluster: str | None,
    options: Mapping[str, str | int] | None,
    image_formats: Sequence[str] | None,
    *,
    beside: Path,
) -> Iterator[Workers | None]:
    """Give the workers of a cluster; None where this process shall do the work.

    Args:
        cluster: As for :func:`ingradient_pl.workers.cluster.open_workers`, or None.
        options: As there.
        image_formats: Further file formats by dotted name, which the workers are to know as well.
        beside: What the work makes; the files of jobs go beside it.
    """
    if cluster is None:
        yield None
        return
    place = beside.resolve()
    with open_workers(cluster, options, folder=place.with_name(f"{place.name}_jobs")) as workers:
        yield _WithFormats(workers, tuple(image_formats or ()))


@dataclass(frozen=True)
class _WithFormats:
    """Workers that know further image formats."""

    workers: Workers
    names: tuple[str, ...]

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Give the number of each item and what the function made of it, as they are done."""
        return self.workers.map(InWorkingDirectory(partial(_call, self.names, function)), items)


def _call(names: Sequence[str], function: Callable[[Item], Result], item: Item) -> Result:
    add_image_formats(names)
    return function(item)
