"""The files of a run's folder: where its state, config and record are, and what the record says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingradient_pl.files import replace_file

LAST = Path("checkpoints") / "last.ckpt"
"""The state that a run is resumed from."""
CONFIG = Path(".hydra") / "config.yaml"
OVERRIDES = Path(".hydra") / "overrides.yaml"
TOLD = Path(".hydra") / "resumed"
"""Where the config of a run that is resumed waits until it trains."""
RECORD = "run.json"
LOG = "train.log"
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


def read_record(run: Path) -> dict[str, Any]:
    """Read what a run says of itself; empty where it says nothing.

    Raises:
        ValueError: If the file was damaged.
    """
    file = run / RECORD
    if not file.is_file():
        return {}
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} cannot be read ({error}). Delete it to go on without.") from error
    return found


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    """Write what a run says of itself; it appears whole or not at all."""
    replace_file(run / RECORD, (json.dumps(record, indent=1) + "\n").encode())


def is_finished(run: Path, epochs: int) -> bool:
    """Whether a run ended by itself and was asked for no fewer epochs than now.

    Args:
        run: Its folder.
        epochs: How many are asked for now; -1 for no end.
    """
    record = read_record(run)
    asked = record.get("length", {}).get("epochs")
    return record.get("state") == FINISHED and asked is not None and (asked == epochs or 0 < epochs <= asked)
