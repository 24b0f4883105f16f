"""Rows of a .csv or .json table: cells by the names of their columns, none lost and none invented."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.records import SourceError
from ingradient_pl.geometry import AXES, Millimetres
from ingradient_pl.plain_values import LARGEST_JSON, parse_json, read_content

Row = Mapping[str, Any]
MISSING = ("nan", "none", "null", "na", "<na>", "n/a", "#n/a")
"""What programs write where there is nothing; capital letters do not matter."""

NAMES = ("case",)
"""Columns in which such a word stays as it is."""


def read_rows(path: Path) -> tuple[list[Row], Mapping[str, Any], tuple[str, ...]]:
    """Read a table.

    Args:
        path: Its file; a .json is a list of records, or an object with a list ``cases``.

    Returns:
        Rows; what a JSON table says besides; what a user should know.

    Raises:
        SourceError: If it is not a table, names a column twice, or a row has more cells than the heading.
    """
    try:
        text = read_content(path, LARGEST_JSON).decode("utf-8-sig")
        if path.suffix.lower() == ".json":
            plain = parse_json(text)
            own = plain if isinstance(plain, Mapping) else {"cases": plain}
            rows = [dict(row) for row in own["cases"]]
        else:
            rows, own = _read_csv(path, text), {}
    except SourceError:
        raise
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: it is not text in UTF-8 (byte {error.start} is {error.object[error.start]:#x}). "
            "Save it as 'CSV UTF-8', or as text in UTF-8."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise SourceError(
            f"{path}: it is not a table of cases ({type(error).__name__}: {error}). A table is a .csv with "
            "the columns case, image_0, image_1, ..., label, group, split, or a .json list of such records."
        ) from error
    kept, remarks = _without_missing(rows)
    return kept, own, remarks


def _read_csv(path: Path, text: str) -> list[dict[str, Any]]:
    heading = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=heading.count)  # spreadsheets of some countries write semicolons
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns = [name.strip() for name in next(lines, [])]
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise SourceError(
            f"{path}: the column '{twice[0]}' is there {columns.count(twice[0])} times. Keep one."
        )
    rows = []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        beyond = [cell for cell in cells[len(columns) :] if cell.strip()]
        unnamed = [cell for name, cell in zip(columns, cells, strict=False) if not name and cell.strip()]
        if beyond:
            raise SourceError(
                f"{path}: line {lines.line_num} has {len(cells)} cells under {len(columns)} columns; beyond "
                f"them is {beyond[0]!r}. Put a cell that holds {delimiter!r} in quotes, or name the column."
            )
        if unnamed and not _is_index(unnamed[0]):
            raise SourceError(
                f"{path}: line {lines.line_num} holds {unnamed[0]!r} in a column without a name. Name it."
            )
        rows.append(dict(zip((name for name in columns), [*cells, *[""] * len(columns)], strict=False)))
    return [{name: cell for name, cell in row.items() if name} for row in rows]


def _is_index(cell: str) -> bool:
    """Whether a cell without a heading is the row's number, which pandas writes."""
    return cell.strip().isdigit()


def _without_missing(rows: Sequence[Row]) -> tuple[list[Row], tuple[str, ...]]:
    """Empty the cells that say in a word that there is nothing, with a remark for each column."""
    found: Counter[tuple[str, str]] = Counter()
    kept: list[Row] = []
    for row in rows:
        cells = dict(row)
        for name, value in row.items():
            said = str(value).strip()
            if value is not None and name not in NAMES and said.lower() in MISSING:
                found[name, said] += 1
                cells[name] = None
        kept.append(cells)
    return kept, tuple(
        f"'{said}' in the column '{name}' ({count} rows) was taken for an empty cell."
        for (name, said), count in found.items()
    )


def read_spacing(cell: Any) -> Millimetres | None:
    """Read a cell of the column ``spacing``.

    Args:
        cell: Sizes of a voxel in mm (z, y, x), or of a pixel (y, x): a list, or text such as ``2 0.5 0.5``.

    Returns:
        Sizes (z, y, x), a slice 1 mm thick where none is told; None where the cell is empty.

    Raises:
        ValueError: If it is anything else.

    >>> read_spacing("[0.5, 0.25]"), read_spacing("")
    ((1.0, 0.5, 0.25), None)
    """
    parts = (
        cell if isinstance(cell, (list, tuple)) else re.split(r"[\s,;x*]+", str(cell or "").strip("[]() "))
    )
    parts = [part for part in parts if part != ""]
    if not parts:
        return None
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in (AXES - 1, AXES) or not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"'spacing' needs two or three sizes in mm (z, y, x), above 0; got {cell!r}")
    z, y, x = numbers if len(numbers) == AXES else (1.0, *numbers)
    return z, y, x
