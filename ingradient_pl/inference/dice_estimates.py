"""Estimates of Dice beside the segmentations of a folder, and how they agree with scores."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ingradient_pl.files import hold_alone, replace_file
from ingradient_pl.json_files import read_object
from ingradient_pl.metrics.evaluation import Evaluation

ESTIMATES = "dice_estimates.json"
FEWEST_COMPARED = 3
"""Estimates from which it is said how they agree with scores."""

Estimates = Mapping[str, Mapping[str, float | None]]
"""By case and label: the Dice to be expected; None where the segmentation lacks the label."""


def add_estimates(folder: Path, estimates: Estimates) -> None:
    """Write estimates of cases into a folder's file, beside those of other cases that it holds.

    Args:
        folder: Of the segmentations.
        estimates: By case and label.
    """
    with hold_alone(folder):
        _write_estimates(folder, {**read_estimates(folder), **estimates})


def remove_estimates(folder: Path, name: str) -> list[Path]:
    """Take the estimates of a case out of a folder's file; give the file where there were some.

    Args:
        folder: Of the segmentations.
        name: Of the case.
    """
    with hold_alone(folder):
        held = read_estimates(folder)
        if name not in held:
            return []
        _write_estimates(folder, {case: one for case, one in held.items() if case != name})
        return [folder / ESTIMATES]


def _write_estimates(folder: Path, estimates: Estimates) -> None:
    text = json.dumps({name: estimates[name] for name in sorted(estimates)}, indent=1, ensure_ascii=False)
    replace_file(folder / ESTIMATES, text.encode())


def read_estimates(folder: Path) -> dict[str, Mapping[str, float | None]]:
    """Read the estimates of a folder; none where there are none.

    Args:
        folder: Of segmentations.

    Raises:
        ValueError: If its file is damaged.
    """
    file = folder / ESTIMATES
    if not file.is_file():
        return {}
    found = read_object(file, "Predict again with --uncertainty.")
    whole = all(
        isinstance(labels, dict) and all(value is None or _is_share(value) for value in labels.values())
        for labels in found.values()
    )
    if not whole:
        raise ValueError(f"{file} does not hold a Dice by case and label. Predict again with --uncertainty.")
    return dict(found)


def describe_estimates(evaluation: Evaluation, estimates: Estimates) -> str:
    """Say how the Dice that was estimated agrees with the one that was scored.

    Args:
        evaluation: Of the same segmentations.
        estimates: By case and label.
    """
    pairs = [
        (float(guess), case.scores[label]["Dice"])
        for case in evaluation.cases
        for label, name in evaluation.labels.items()
        if (guess := estimates.get(case.name, {}).get(name)) is not None
        and math.isfinite(case.scores[label]["Dice"])
    ]
    if len(pairs) < FEWEST_COMPARED:
        return f"{ESTIMATES} estimates {len(pairs)} of these Dice: too few to compare."
    from scipy.stats import spearmanr  # half a second, for those who compare

    guessed, scored = np.array(pairs).T
    off, shift = np.abs(guessed - scored).mean(), (guessed - scored).mean()
    order = spearmanr(guessed, scored).statistic if min(np.ptp(guessed), np.ptp(scored)) > 0 else math.nan
    return (
        f"Estimated Dice ({ESTIMATES}) of {len(pairs)} cases and labels: off by {off:.3f} on average "
        f"(estimated minus scored {shift:+.3f}), rank correlation {order:.2f}"
    )


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
