"""``Workers``: whatever works on cases side by side; ``Threads`` of this process are the plain kind."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Workers(Protocol):
    """Calls a function with each of several items, many at a time, in an order of their own."""

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Give the number of each item and what the function made of it, as they are done.

        Args:
            function: Called once with each item; what it raises is raised here, and ends the work.
            items: What it is called with.
        """
        ...


@dataclass(frozen=True)
class Threads:
    """Threads of this process: enough where what takes time leaves Python's lock alone.

    Args:
        count: Items worked on at a time, at least 1.
    """

    count: int

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        """Give the number of each item and what the function made of it, as they are done.

        Args:
            function: Called once with each item; what it raises is raised here, after those under way.
            items: What it is called with.
        """
        pool = ThreadPoolExecutor(max(1, self.count))
        try:
            running = {pool.submit(function, item): number for number, item in enumerate(items)}
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
