"""``ingradient compare``: two evaluations of the same cases -> how they differ, and how sure that is."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ingradient_pl.cli.commands import run
from ingradient_pl.files import replace_file
from ingradient_pl.metrics.comparison import compare, comparison_table, described


def compare_files(
    first: str, second: str, score: str = "Dice", output: str | None = None, seed: int = 0
) -> None:
    """Compare two runs case by case: the mean difference with its interval, and Wilcoxon's signed-rank test.

    Args:
        first: summary.json that ingradient evaluate (or nnU-Net) wrote for the first run.
        second: The same for the second run, on the same cases and labels.
        score: Which score: Dice, IoU, and where they were asked for HD95, ASSD, NSD, lesion_F1 and others.
        output: JSON file to write as well.
        seed: Another seed, other resamples of the cases for the 95 % intervals.
    """
    comparison = compare(Path(first), Path(second), np.random.default_rng(seed), score)
    print(comparison_table(comparison))
    if output is not None:
        replace_file(Path(output), json.dumps(described(comparison), indent=2).encode())
        print(f"\nWritten to {output}")


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    run(compare_files, arguments)
