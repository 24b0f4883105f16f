"""What a run says of itself: ``run.json`` in its folder, read as a stranger's file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.files import replace_file
from ingradient_pl.json_files import read_object
from ingradient_pl.spec import check_types

RECORD = "run.json"
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


def read_record(run: Path) -> dict[str, Any]:
    """Read what a run says of itself; empty where it says nothing.

    Args:
        run: Its folder.

    Raises:
        ValueError: If the file was damaged.
    """
    file = run / RECORD
    if not file.is_file():
        return {}
    record = read_object(file, "Delete it to go on without.")
    wrong = _describe_wrong(record)
    if wrong:
        raise ValueError(f"{file} is not the record of a run: {wrong}. Delete it to go on without.")
    return record


class _Record:
    """Types of what a run says of itself, for :func:`check_types`."""

    def __init__(
        self,
        state: str,
        length: Mapping[str, object],
        scores: Mapping[str, float | None],
        epochs_done: int,
        before: Sequence[Mapping[str, object]],
    ) -> None: ...


def _describe_wrong(record: Mapping[str, Any]) -> str:
    """Say which entry of a record is of another type; empty where none is."""
    try:
        check_types(_Record, record)
    except TypeError as error:
        return str(error)[:200].rstrip(".")
    return ""


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    """Write what a run says of itself; it appears whole or not at all.

    Args:
        run: Its folder.
        record: Plain values for JSON.
    """
    replace_file(run / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def is_finished(run: Path, epochs: int, record: Mapping[str, Any] | None = None) -> bool:
    """Whether a run ended by itself and was asked for no fewer epochs than now.

    Args:
        run: Its folder.
        epochs: How many are asked for now; -1 for no end.
        record: What the run says of itself; read from its folder if not given.
    """
    record = read_record(run) if record is None else record
    asked = record.get("length", {}).get("epochs")
    if record.get("state") != FINISHED or not isinstance(asked, int) or "epochs_done" not in record:
        return False
    return asked == epochs or 0 < epochs <= asked
