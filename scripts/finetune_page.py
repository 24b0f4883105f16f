"""Write the table of docs/finetune_study.md anew from docs/finetune.csv: python scripts/finetune_page.py."""

import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "benchmarks")]

from finetune import END, TRIALS, Row, difference, rows  # noqa: E402
from page_tables import fill  # noqa: E402

PAGE = ROOT / "docs" / "finetune_study.md"
SCRATCH = ("scratch", END)


def table() -> str:
    """One line for each trial that was run: its Dice, and how it differs from scratch on the same seeds."""
    found: dict[tuple[str, int], list[Row]] = {}
    for row in rows():
        found.setdefault((row.trial, row.steps), []).append(row)
    lines = [
        [
            "start, optimiser",
            "keys",
            "steps",
            "seeds",
            "Dice of each seed",
            "to scratch (95 % interval)",
            "p",
        ],
        ["---"] * 7,
    ]
    for trial, steps in sorted(found, key=lambda key: (list(TRIALS).index(key[0]), key[1])):
        seeds: dict[int, list[float]] = {}
        for row in found[trial, steps]:
            seeds.setdefault(row.seed, []).append((row.anterior + row.posterior) / 2)
        dice = ", ".join(f"{statistics.mean(one):.4f}" for _, one in sorted(seeds.items()))
        keys = " ".join(f"`{key}`" for key in TRIALS[trial].keys)
        lines.append([trial, keys, str(steps), str(len(seeds)), dice, *_to_scratch((trial, steps))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _to_scratch(trial: tuple[str, int]) -> list[str]:
    if trial == SCRATCH:
        return ["", ""]
    found = difference(SCRATCH, trial)
    return [f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})", f"{found.p:.1g}"]


def main() -> None:
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), {"table": table()}), encoding="utf-8")


if __name__ == "__main__":
    main()
