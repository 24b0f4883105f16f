"""``ingradient compare``: two evaluations of the same cases -> their difference, interval and p-value."""

import json
from pathlib import Path

import numpy as np

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.files import replace_file
from ingradient_pl.inference.answer_files import check_report
from ingradient_pl.messages import LARGEST_SEED, check_range, say
from ingradient_pl.metrics import comparison
from ingradient_pl.metrics.comparison import Comparison, comparison_table, describe_comparison


def compare(
    first: AnyPath,
    second: AnyPath,
    score: str = "Dice",
    output: AnyPath | None = None,
    seed: int = 0,
    group_pattern: str | None = None,
) -> Comparison:
    """Compare two runs case by case: the mean difference with its interval, and Wilcoxon's signed-rank test.

    Interval and test are over patients: all cases of one are drawn together, and the test is on their mean.

    Args:
        first: summary.json that ingradient evaluate (or nnU-Net) wrote for the first run.
        second: The same for the second run, on the same cases and labels.
        score: Which score: Dice, IoU, and where they were asked for HD95, ASSD, NSD, lesion_F1 and others.
        output: JSON file to write as well.
        seed: Another seed, other resamples of the patients for the 95 % intervals.
        group_pattern: Regular expression that finds a patient's name in a case's name, in its first group. If
            not given: the patients that the files tell, else what the cases' names do, as for prepare.

    Returns:
        Both means, their difference, its interval and p, for each label.

    Raises:
        ComparisonError: If a file is not such a summary, or cases, labels or the score differ.
        GroupError: If group_pattern is not a regular expression with a group.
    """
    check_range("seed", seed, 0, LARGEST_SEED)
    check_report(output, [Path(first), Path(second)], (".json",))
    result = comparison.compare(Path(first), Path(second), np.random.default_rng(seed), score, group_pattern)
    say(comparison_table(result))
    if output is not None:
        replace_file(Path(output), json.dumps(describe_comparison(result), indent=2).encode())
        say(f"\nWritten to {output}")
    return result
