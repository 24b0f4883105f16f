"""What each epoch of a run measured: a file in its folder, with a line for each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.files import replace_file
from ingradient_pl.plain_values import LARGEST_JSON, PlainValueError, parse_json, read_content

EPOCHS = "epochs.jsonl"
"""What each epoch measured, a line each."""


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
