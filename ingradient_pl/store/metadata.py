"""The files of a store and what stands in them, voxels apart."""

import errno
import io
import json
import os
import shlex
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ingradient_pl.json_files import read_object
from ingradient_pl.plain_values import LARGEST_JSON, parse_json, read_content
from ingradient_pl.spec import check_types
from ingradient_pl.task import Task

FORMAT = 2
"""2 keeps the sampled voxels of each class by themselves, and check sums of its descriptions."""
SUM = "check_sum"
DATASET, CASES, CASE, NUMBERS = "dataset.json", "cases", "case.json", "numbers.npz"
ARRAYS = {"image": "image.b2nd", "label": "label.b2nd", "body": "body.b2nd"}


LARGEST_NUMBERS = 2**30
"""Bytes of a case's statistics and sampled voxels, unpacked."""


class StoreError(ValueError):
    """A store that cannot be used as asked; the message names case, file and cure."""


def read_dataset(path: Path) -> dict[str, Any]:
    """Read what a store says about its data set.

    Args:
        path: The store's folder.

    Raises:
        StoreError: If there is none, or a newer version wrote it.
    """
    file = path / DATASET
    if not file.exists():
        raise StoreError(
            f"{path} is not a case store: {file} is missing. Make one with 'ingradient prepare'."
        )
    plain = read_object(file, "Prepare the data set again.", StoreError)
    if "store_format" not in plain:
        raise StoreError(
            f"{path} is not a case store: {file} names no 'store_format'. Is it the raw data set?"
        )
    if isinstance(plain["store_format"], int) and plain["store_format"] > FORMAT:
        raise StoreError(
            f"{path} has store format {plain['store_format']}; this version reads up to {FORMAT} ({file}). "
            "Update ingradient_pl, or prepare the data set again with this version."
        )
    if plain["store_format"] == FORMAT and not _agrees(plain):
        raise StoreError(f"{file} cannot be read (its check sum differs). Prepare the data set again.")
    wrong = _describe_wrong(_Dataset, plain)
    if wrong:
        raise StoreError(f"{file} cannot be read ({wrong}). Prepare the data set again.")
    return plain


@dataclass
class _Dataset:
    """Types of what a store says about its data set, for :func:`check_types`."""

    store_format: int
    orientation: str
    task: Mapping[str, object]


@dataclass
class _Case:
    """Types of what a store says about a case, for :func:`check_types`."""

    name: str
    group: str
    split: str | None
    shape: Sequence[int]
    start: Sequence[int]
    spacing: Sequence[float]
    sources: Sequence[str]
    native: Mapping[str, object]
    dtype: str
    whole: bool
    labelled: bool
    voxels: Mapping[str, int]
    bytes: Mapping[str, int]
    warnings: Sequence[str]
    annotated: Sequence[str] | None = None


def _describe_wrong(kind: type[_Dataset | _Case], plain: dict[str, Any]) -> str:
    """Say which entry of a description is missing or of another type; empty where none is."""
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in plain]
    if missing:
        return f"it lacks {', '.join(map(repr, missing))}"
    try:
        check_types(kind, plain)
    except TypeError as error:
        return str(error)[:200].rstrip(".")
    return ""


def encode(plain: dict[str, Any]) -> bytes:
    """Give what stands in a file for a description: plain values, and their check sum.

    Args:
        plain: A description that JSON can hold.
    """
    told = json.loads(json.dumps(plain))  # as it will be read: keys are text, tuples lists
    return json.dumps({**told, SUM: sum_plain(told)}, indent=2).encode()


def decode(content: bytes) -> dict[str, Any]:
    """Give the plain values of a description that :func:`encode` wrote.

    Args:
        content: Of the file.

    Raises:
        ValueError: If it is not one, or its check sum differs.
    """
    plain = parse_json(content.decode())
    if not isinstance(plain, dict):
        raise ValueError(f"its check sum differs: it holds a {type(plain).__name__} and no object")  # noqa: TRY004
    if not _agrees(plain):
        raise ValueError(f"its check sum differs: it says {plain.get(SUM)!r} and has {sum_plain(plain)}")
    described: dict[str, Any] = plain
    return described


def sum_plain(plain: dict[str, Any]) -> int:
    """Give the check sum of plain values, whatever the order of their keys.

    Args:
        plain: What JSON can hold; an entry that is a check sum already is left out.
    """
    told = {key: value for key, value in plain.items() if key != SUM}
    return zlib.crc32(json.dumps(told, sort_keys=True).encode())


def _agrees(plain: dict[str, Any]) -> bool:
    return bool(plain.get(SUM) == sum_plain(plain))


def coordinates_of(value: int) -> str:
    """Name the entry of a case's numbers that holds the sampled voxels of an integer.

    Args:
        value: An integer of the task; 0 stands for all that is annotated.
    """
    return f"coordinates_{value}"


def read_description(folder: Path) -> dict[str, Any]:
    """Read what a store says about one case.

    Args:
        folder: Of the case.

    Raises:
        StoreError: If it cannot be read.
    """
    try:
        plain = decode(read_content(folder / CASE, LARGEST_JSON))
        wrong = _describe_wrong(_Case, plain)
        if wrong:
            raise ValueError(wrong)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"Case '{folder.name}': {folder / CASE} cannot be read ({error}). {describe_cure(error, folder)}"
        ) from error
    return plain


def read_numbers(path: Path) -> Any:
    """Open the numbers of a case, to be closed by who asks.

    Args:
        path: The file.

    Raises:
        ValueError: If it is no file, unpacks to more than any case has, or is damaged.
        OSError: If it cannot be read.
    """
    numbers = np.load(io.BytesIO(read_content(path, LARGEST_NUMBERS)), allow_pickle=False)
    unpacked = sum(entry.file_size for entry in numbers.zip.infolist())
    if unpacked > LARGEST_NUMBERS:
        raise ValueError(f"it unpacks to {unpacked} bytes, where at most {LARGEST_NUMBERS} are read")
    return numbers


def describe_cure(error: BaseException, folder: Path) -> str:
    """Say what to do about a file of a stored case that cannot be read: nothing good is thrown away.

    Args:
        error: What went wrong.
        folder: Of the case.
    """
    if isinstance(error, PermissionError):
        return "You have no permission to read it: ask its owner, or change its mode (chmod)."
    if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT, errno.ENOTDIR):
        return "The disk does not give it: is it mounted and well? Try again."
    if "replaced since" in str(error):
        return "The data set was prepared again meanwhile: start again."
    return f"Delete the folder {folder} and prepare the data set again: only what is missing is made."


def read_case_names(path: Path) -> list[str]:
    """Give the names of the finished cases of a store, sorted.

    Args:
        path: The store's folder.
    """
    folder = path / CASES
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def parse_task(plain: dict[str, Any], path: Path) -> Task:
    """Build the task from what a store says, an earlier version's included.

    Args:
        plain: What stands in the store's description.
        path: The store.

    Raises:
        StoreError: If it is not a task.
    """
    try:
        check_types(Task, plain)
        return Task(**plain)
    except (TypeError, ValueError, AttributeError) as error:
        raise StoreError(f"{path / DATASET} cannot be read ({error}). Prepare the data set again.") from error


def read_task(plain: dict[str, Any], path: Path) -> Task:
    """Build the task from what a store says: its labels are numbered as the store's voxels are.

    Args:
        plain: What stands in the store's description.
        path: The store.

    Raises:
        StoreError: If it is not a task, or an earlier version wrote it, which kept the integers of files.
    """
    task = parse_task(plain, path)
    if task.consecutive() is not task:
        raise StoreError(
            f"{path} was written by an earlier version: its dataset.json keeps labels as files number them. "
            "Prepare the data set again: ingradient prepare --source DATASET --store "
            f"{shlex.quote(str(path))}"
        )
    return task


def is_store(path: Path) -> bool:
    """Whether a folder is a case store.

    Args:
        path: It need not exist.
    """
    return (path / CASES).is_dir() and (path / DATASET).is_file()


def find_store(folder: Path) -> Path | None:
    """Give the case store that a folder is, or lies in; None where it is in none.

    Args:
        folder: It need not exist.
    """
    own = Path(os.path.realpath(folder))
    return next((place for place in (own, *own.parents) if is_store(place)), None)


def is_stored(path: Path) -> bool:
    """Whether a folder is a case of a store.

    Args:
        path: It need not exist.
    """
    return (path / CASE).is_file()
