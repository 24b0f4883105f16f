"""Which cases trained each fold of a model of nnU-Net: its ``splits_final.json``, as a run's record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ingradient_pl.datasets.split_records import Split
from ingradient_pl.datasets.splits import read_splits
from ingradient_pl.inference.checkpoint_file import CheckpointError

FOLD, ALL = "fold_", "fold_all"
"""How the folder of a fold is called, and that of the one that every case trained."""
SPLITS = "splits_final.json"


def read_fold_splits(folder: Path, folds: Sequence[str]) -> list[Split]:
    """Give the division of each fold by the ``splits_final.json`` in a model folder; none without one.

    Args:
        folder: Of the trainer.
        folds: Names of the folds' folders, such as ``fold_0`` or ``fold_all``.

    Raises:
        CheckpointError: If the file is damaged, or does not hold one of the folds.
    """
    file = folder / SPLITS
    if not file.is_file():
        return []
    try:
        found = read_splits(file)
        every = tuple(dict.fromkeys(name for split in found for side in split for name in side))
        return [Split(every, every) if fold == ALL else found[int(fold.removeprefix(FOLD))] for fold in folds]
    except (ValueError, IndexError) as error:
        raise CheckpointError(
            f"{file} does not tell who trained {', '.join(folds)} ({error}). Correct it, or take it away: "
            "then it is not known who trained."
        ) from error


def record_splits(splits: Sequence[Split], data: str, before: Sequence[Split] = ()) -> dict[str, Any]:
    """Give who trained a model as the record of a run has it; empty where nothing tells.

    Args:
        splits: Of each network.
        data: Name of the data set.
        before: In a cascade, of each network of the first stage.
    """
    if not splits:
        return {}
    every = [*splits, *before]
    train = sorted({name for split in every for name in split.train})
    return {
        "store": {"data": data},
        "split": _as_plain(Split(tuple(train), find_kept(every))),
        "folds": [_as_plain(split) for split in splits],
    }


def find_kept(splits: Sequence[Split]) -> tuple[str, ...]:
    """Give the held-out cases of all folds: what validated one, trained others.

    Args:
        splits: Of each network.
    """
    kept = [set(split.kept) for split in splits]
    return tuple(sorted(set.intersection(*kept))) if kept else ()


def _as_plain(split: Split) -> dict[str, list[str]]:
    return {side: list(cases) for side, cases in split._asdict().items()}
