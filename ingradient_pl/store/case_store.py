"""CaseStore: every case at its native grid and data type on disk, any box of it in milliseconds."""

import hashlib
import os
import shlex
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Integer
from numpy.typing import NDArray

from ingradient_pl.geometry import AXES, Box
from ingradient_pl.phrases import join_times, name_some, say_count
from ingradient_pl.plain_values import LARGEST_JSON, read_content
from ingradient_pl.store import metadata
from ingradient_pl.store.chunks import Chunks, ChunkSums
from ingradient_pl.store.image_sums import LABEL_SUMS, hash_sums
from ingradient_pl.store.metadata import ARRAYS, CASES, NUMBERS, StoreError
from ingradient_pl.store.records import StoredCase, Voxels
from ingradient_pl.store.statistics import ChannelStatistics

__all__ = ["CaseStore", "StoreError", "StoredCase", "Voxels"]

OPEN = 64
"""Cases whose files one process keeps open."""

KEPT = 256
"""Cases whose statistics one process keeps in memory: 24 kB a channel."""

NAMED = 60
"""Letters of a path that are shown."""

SAMPLED = 2**25
"""Bytes of sampled voxels that one process keeps: 120 kB a class of a case, more above a million voxels."""

T = TypeVar("T")


class CaseStore:
    """The cases of a data set, prepared once by :func:`ingradient_pl.store.build.build_store`.

    Opening reads a small file for each case; files of voxels are opened when first read, in whatever process
    reads them, so a store may be handed to worker processes of any kind.

    Args:
        path: The store's folder.
        transpose: Axis ``i`` of everything given out is axis ``transpose[i]`` of the case on disk.
        names: The cases wanted; None opens all.

    Raises:
        StoreError: If there is no store, or another version wrote it that keeps cases in another way.
    """

    def __init__(
        self, path: str | Path, transpose: Sequence[int] = (0, 1, 2), names: Sequence[str] | None = None
    ) -> None:
        if sorted(transpose) != list(range(AXES)):
            raise ValueError(f"transpose must hold 0, 1 and 2 once each; got {list(transpose)}.")
        self.path, self.transpose = Path(path), tuple(int(axis) for axis in transpose)
        self.named = names is not None
        described = metadata.read_dataset(self.path)
        if described["store_format"] < metadata.FORMAT:
            raise StoreError(
                f"{self.path} was written by an earlier version (store format {described['store_format']}, "
                f"now {metadata.FORMAT}). Prepare the data set again: "
                f"ingradient prepare --source DATASET --store {shlex.quote(str(self.path))}"
            )
        self.task = metadata.read_task(described["task"], self.path)
        self.orientation = str(described["orientation"])
        wanted = metadata.read_case_names(self.path) if names is None else names
        self.cases = {name: self._case(name, self._plain(name)) for name in wanted}
        self._fresh()

    def __repr__(self) -> str:
        counts = {"case": self.cases, "channel": self.task.channels, "label": self.task.foreground}
        text = ", ".join(say_count(len(entries), noun) for noun, entries in counts.items())
        if self.cases:
            grids = [case.grid for case in self.cases.values()]
            shape, spacing = (np.median([grid[part] for grid in grids], axis=0) for part in (0, 1))
            text += f", median {join_times(shape)} voxels of {join_times(spacing)} mm"
        path = str(self.path)
        return f"CaseStore({path if len(path) < NAMED else '...' + path[-NAMED:]!r}: {text})"

    def __fspath__(self) -> str:
        if self.named:  # the folder would stand for the other cases, too
            raise StoreError(f"{self!r} was opened by names; its folder means all cases. Give '{self.path}'.")
        return str(self.path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._fresh()

    def read(self, name: str, box: Box, *, label: Box | None = None, body: bool = True) -> Voxels:
        """Read a box of a case.

        Args:
            name: Of the case.
            box: Voxels of ``cases[name].grid``; it must lie inside.
            label: Another box, for the label; None reads the same.
            body: Whether the body is wanted; without it a third of the time is saved where there is one.

        Raises:
            StoreError: If there is no such case, the box leaves it or a file is damaged.
        """
        self._here()
        case = self._find_case(name)
        boxes = {"image": box, "label": box if label is None else label, "body": box}
        for wanted in (boxes["image"], boxes["label"]):
            if wanted.clipped(case.grid.shape) != wanted or not wanted.voxels:
                raise StoreError(
                    f"Case '{name}': {wanted} leaves its grid of {case.grid.shape} voxels. Clip it."
                )
        opened = self._read_cached(self._opened, OPEN, name, self._open)
        back = np.argsort(self.transpose).tolist()
        parts = {
            kind: self._part(name, kind, chunks, boxes[kind].transposed(back).slices)
            for kind, chunks in opened.items()
            if body or kind != "body"
        }
        image = parts["image"].transpose([0, *(axis + 1 for axis in self.transpose)])
        if "label" in parts:
            labels = parts["label"].transpose(self.transpose)
        else:
            labels = np.zeros(boxes["label"].shape, np.uint8)
        inside = parts["body"].transpose(self.transpose) if "body" in parts else None
        return Voxels(image, labels, inside)

    def statistics(self, name: str) -> tuple[ChannelStatistics, ...]:
        """Give the intensities of each channel of a case, over its whole, its body and its foreground.

        Args:
            name: Of the case.
        """
        self._here()
        return self._read_cached(self._statistics, KEPT, name, self._read_statistics)

    def label_sum(self, name: str) -> str | None:
        """Give a check sum of the label of a case, which is kept with its statistics; None where it has none.

        Args:
            name: Of the case.
        """
        if name not in self._labels:
            self.statistics(name)
        return self._labels[name]

    def foreground(self, name: str, value: int) -> Integer[np.ndarray, "n 3"]:
        """Give sampled voxels (z, y, x) of a foreground integer: up to 10,000, or 1 % if that is more.

        Args:
            name: Of the case.
            value: An integer of the task above 0.
        """
        found = self._read_sampled(name, value)
        return np.zeros((0, AXES), np.int32) if found is None else found

    def annotated_voxels(self, name: str) -> Integer[np.ndarray, "n 3"] | None:
        """Give sampled voxels (z, y, x) that somebody annotated; None where the task has no ignore label.

        Args:
            name: Of the case.
        """
        return self._read_sampled(name, 0)

    def describe(self, name: str) -> dict[str, Any]:
        """Give all that is written about a case: native frame, crop, source files.

        Args:
            name: Of the case.
        """
        self._find_case(name)
        return self._plain(name)

    def check_sum(self) -> str:
        """Give a SHA-256 of all descriptions: it differs where cases, labels or their files differ."""
        files = [self.path / metadata.CASES / name / metadata.CASE for name in sorted(self.cases)]
        digest = hashlib.sha256()
        for file in (self.path / metadata.DATASET, *files):
            digest.update(read_content(file, LARGEST_JSON))
        return digest.hexdigest()

    def _fresh(self) -> None:
        self._process, self._lock = os.getpid(), threading.RLock()
        self._opened: OrderedDict[str, dict[str, Chunks]] = OrderedDict()
        self._seals: dict[str, dict[str, ChunkSums]] = {}  # of every case ever opened: 5 bytes for each chunk
        self._labels: dict[str, str | None] = {}
        self._statistics: OrderedDict[str, tuple[ChannelStatistics, ...]] = OrderedDict()
        self._coordinates: OrderedDict[tuple[str, int], NDArray[np.int32] | None] = OrderedDict()

    def _here(self) -> None:
        """After a fork handles and locks are the parent's: begin anew."""
        if self._process != os.getpid():
            self._fresh()

    def _read_cached(self, cache: OrderedDict[str, T], most: int, name: str, read: Callable[[str], T]) -> T:
        with self._lock:
            if name not in cache:
                cache[name] = read(name)
                if len(cache) > most:
                    cache.popitem(last=False)
            cache.move_to_end(name)
            return cache[name]

    def _read_sampled(self, name: str, value: int) -> NDArray[np.int32] | None:
        """Give the sampled voxels of an integer; those used last are kept, up to so many bytes."""
        self._here()
        key, kept = (name, value), self._coordinates
        with self._lock:
            if key not in kept:
                kept[key] = self._read_coordinates(name, value)
                while len(kept) > 1 and sum(one.nbytes for one in kept.values() if one is not None) > SAMPLED:
                    kept.popitem(last=False)
            kept.move_to_end(key)
            return kept[key]

    def _find_case(self, name: str) -> StoredCase:
        if name not in self.cases:
            held = f"{len(self.cases)}: {name_some(self.cases)}"
            raise StoreError(f"No case '{name}' in the store {self.path}; it holds {held}.")
        return self.cases[name]

    def _plain(self, name: str) -> dict[str, Any]:
        return metadata.read_description(self.path / CASES / name)

    def _case(self, name: str, plain: dict[str, Any]) -> StoredCase:
        try:
            return StoredCase.of(name, plain, self.transpose)
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            raise self._describe_damage(name, self.path / CASES / name / metadata.CASE, error) from error

    def _open(self, name: str) -> dict[str, Chunks]:
        if name not in self._seals:
            self._seals[name] = self._read_seals(name)
        opened = {}
        for kind, seal in self._seals[name].items():
            path = self.path / CASES / name / ARRAYS[kind]
            try:
                opened[kind] = Chunks(path, seal)
            except (OSError, RuntimeError, ValueError) as error:
                raise self._describe_damage(name, path, error) from error
        return opened

    def _read_seals(self, name: str) -> dict[str, ChunkSums]:
        sizes = self._plain(name)["bytes"]
        with self._numbers(name) as numbers:
            return {
                kind: ChunkSums(size, self._entry(name, numbers, f"{kind}_sums"))
                for kind, size in sizes.items()
            }

    def _part(self, name: str, kind: str, chunks: Chunks, cut: tuple[slice, ...]) -> NDArray[Any]:
        whole = tuple(slice(0, count) for count in chunks.shape[: len(chunks.shape) - AXES])
        try:
            return chunks.read((*whole, *cut))
        except (OSError, RuntimeError, ValueError) as error:
            raise self._describe_damage(name, self.path / CASES / name / ARRAYS[kind], error) from error

    def _numbers(self, name: str) -> Any:
        path = self.path / CASES / name / NUMBERS
        try:
            return metadata.read_numbers(path)
        except Exception as error:
            raise self._describe_damage(name, path, error) from error

    def _read_statistics(self, name: str) -> tuple[ChannelStatistics, ...]:
        self._find_case(name)
        with self._numbers(name) as numbers:
            table = self._entry(name, numbers, "statistics")
            sums = self._entry(name, numbers, LABEL_SUMS) if LABEL_SUMS in numbers else None
        self._labels[name] = None if sums is None else hash_sums(sums)
        return tuple(map(ChannelStatistics.of_rows, table))

    def _read_coordinates(self, name: str, value: int) -> NDArray[np.int32] | None:
        self._find_case(name)
        with self._numbers(name) as numbers:
            entry = metadata.coordinates_of(value)
            if entry not in numbers and value not in self.cases[name].classes:
                return None
            steps = self._entry(name, numbers, entry)
        axes = np.unravel_index(np.cumsum(steps, dtype=np.int64), self._plain(name)["shape"])
        return np.stack([axes[axis] for axis in self.transpose], axis=1).astype(np.int32)

    def _entry(self, name: str, numbers: Any, key: str) -> NDArray[Any]:
        try:
            entry: NDArray[Any] = numbers[key]
        except Exception as error:
            raise self._describe_damage(name, self.path / CASES / name / NUMBERS, error) from error
        return entry

    def _describe_damage(self, name: str, path: Path, error: Exception) -> StoreError:
        return StoreError(
            f"Case '{name}': {path} cannot be read ({error}). {metadata.describe_cure(error, path.parent)}"
        )
