"""The files of a run's folder: where its state, config and record are, and what the record says."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.files import replace_file
from ingradient_pl.plain_values import LARGEST_JSON, PlainValueError, parse_json, read_content, read_json
from ingradient_pl.spec import check_types

LAST = Path("checkpoints") / "last.ckpt"
"""The state that a run is resumed from."""
CONFIG = Path(".hydra") / "config.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
TOLD = Path(".hydra") / "resumed"
"""Where the config of a run that is resumed waits until it trains."""
RECORD = "run.json"
LOG = "train.log"
EPOCHS = "epochs.jsonl"
"""What each epoch measured, a line each."""
REASON = "error.txt"
"""Why a run of a sweep failed: a traceback."""
LONGEST_REASON = 2**16
"""Bytes of its end that are read."""
SWEEP_TABLE = "runs.csv"
"""All runs of a sweep, in its folder."""
CROSSVAL, CASCADE = "crossval.json", "cascade.json"
"""What a cross-validation and a cascade are made of, in their folders."""
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


def find_checkpoints(folder: Path) -> list[Path]:
    """Give the finished checkpoints in a folder, sorted, without what a kill left of one.

    Args:
        folder: It need not be there.
    """
    return sorted(file for file in folder.glob("*.ckpt") if not file.name.startswith("."))


def find_state(run: Path) -> Path | None:
    """Give what a run goes on from: its last state, or where a kill came before the first, the newest.

    Args:
        run: Its folder.
    """
    last = run / LAST
    if last.is_file():
        return last
    return max(find_checkpoints(last.parent), key=lambda file: file.stat().st_mtime, default=None)


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
    try:
        found = read_json(file)
    except ValueError as error:
        raise ValueError(f"{file} cannot be read ({error}). Delete it to go on without.") from error
    wrong = "it must be a mapping" if not isinstance(found, dict) else _describe_wrong(found)
    if wrong:
        raise ValueError(f"{file} is not the record of a run: {wrong}. Delete it to go on without.")
    record: dict[str, Any] = found
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


def write_epochs(run: Path, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Write what the epochs of a run measured; it appears whole or not at all.

    Args:
        run: Its folder.
        epochs: One record an epoch, of plain values.
    """
    replace_file(run / EPOCHS, "".join(f"{json.dumps(epoch)}\n" for epoch in epochs).encode())


def add_epoch(run: Path, epoch: Mapping[str, Any]) -> None:
    """Add a line for an epoch that is done.

    Args:
        run: Its folder.
        epoch: What it measured, plain values.
    """
    with (run / EPOCHS).open("a", encoding="utf-8") as file:
        file.write(f"{json.dumps(epoch)}\n")


def read_epochs(run: Path) -> list[dict[str, Any]]:
    """Read what the epochs of a run measured, in order; a line that a kill broke off is left out.

    Args:
        run: Its folder; empty where it has no such file.

    Raises:
        ValueError: If the file is far larger than any run makes it.
    """
    found: dict[int, dict[str, Any]] = {}
    file = run / EPOCHS
    try:
        content = read_content(file, LARGEST_JSON) if file.is_file() else b""
    except PlainValueError as error:
        raise ValueError(f"{file} cannot be read: {error}. Delete it to go on without.") from error
    for line in content.decode(errors="replace").splitlines():
        try:
            epoch = parse_json(line)
            found[int(epoch["epoch"])] = dict(epoch)
        except (ValueError, TypeError, LookupError, OverflowError):
            continue
    return [found[number] for number in sorted(found)]


def read_reason(run: Path) -> str | None:
    """Give why a run failed in one line: what the last exception says first, as hints of others follow it.

    Args:
        run: Its folder; None where it has not failed.
    """
    file = run / REASON
    if not file.is_file():
        return None
    with file.open("rb") as opened:
        opened.seek(-min(LONGEST_REASON, file.stat().st_size), os.SEEK_END)
        lines = opened.read(LONGEST_REASON).decode(errors="replace").strip().splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    rest = lines[places[-1] + 1 if places else 0 :]
    said = [line for line in rest if line and not line.startswith((" ", "Traceback "))]
    if len(said) > 1 and said[0].endswith(":"):  # Hydra names the target first
        return said[1]
    return said[0] if said else ""


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
