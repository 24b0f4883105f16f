"""``ingradient prepare``: any known layout -> a case store."""

import sys
from collections.abc import Sequence
from pathlib import Path

from ingradient_pl.cli.commands import run
from ingradient_pl.cli.failures import FAILED
from ingradient_pl.datasets.groups import PATTERN
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store.build import build_store


def prepare_store(
    source: str,
    store: str,
    group_pattern: str = PATTERN,
    workers: int | None = None,
    orientation: str = "LPS",
    progress: bool = True,  # noqa: FBT001 - a switch of the command line
) -> None:
    """Bring every case of a data set into a store, once: native grid and type, cropped to what is not zero.

    A run that was killed goes on where it stopped; cases whose files did not change are left alone.
    Cases that cannot be used are listed together, and the others are stored.

    Args:
        source: Folder of nnU-Net's raw layout, of the Medical Decathlon's, of npz + pkl pairs; or a table
            (.csv, .json) with the columns case, image_0, image_1, ..., label, group, split.
        store: Folder to write; it is made.
        group_pattern: Regular expression that finds a patient's name in a case's name, in its first group.
            Cases of one patient never train and validate in one fold.
        workers: Cases prepared at a time; as many as there are cores if not given.
        orientation: Where x, y, z of every case shall point to; 'stored' leaves axes as the files have them.
        progress: Whether to show a progress bar.
    """
    summary = build_store(
        read_source(Path(source), group_pattern), Path(store), workers, progress, orientation
    )
    print(summary)
    if summary.faults:
        sys.exit(FAILED)


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(prepare_store, arguments)
