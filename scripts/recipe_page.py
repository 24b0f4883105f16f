"""Write the tables of docs/recipe.md anew from docs/recipe.csv: python scripts/recipe_page.py."""

import statistics
import sys
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "benchmarks")]

from page_tables import fill, markdown_table  # noqa: E402
from recipe import BASE, DATA, TRIALS, by_trial  # noqa: E402

PAGE = ROOT / "docs" / "recipe.md"
STEPS = (150, 250, 400, 1000)
CHOSEN_ON, REPORTED_ON = 1, 0
RECIPES = (
    *("fast", "fast-mirrored", "nnunet-unmirrored", "nnunet"),
    *("fast-resenc", "fast-resenc-mirrored", "nnunet-resenc"),
)


def shown(dice: list[float]) -> str:
    """Mean, with the spread where there are several seeds."""
    if not dice:
        return ""
    mean = f"{statistics.mean(dice):.4f}"
    return mean if len(dice) == 1 else f"{mean} ({min(dice):.3f} to {max(dice):.3f}, {len(dice)} seeds)"


def reported() -> str:
    """Fold 0: one line for each data set and recipe."""
    found, lines = by_trial(REPORTED_ON), []
    for data, trial in product(DATA, RECIPES):
        cells = [shown(found.get((data, trial, steps), [])) for steps in STEPS]
        if any(cells):
            lines.append([data, f"`{trial}`", *cells])
    return markdown_table(["data set", "recipe", *(f"{steps} steps" for steps in STEPS)], lines)


def changes() -> str:
    """Fold 1: one line for each change from the base."""
    found, lines = by_trial(CHOSEN_ON), []
    for (data, trial, steps), dice in sorted(found.items(), key=_order):
        start = found.get((data, "base", steps), [])
        change = f"{statistics.mean(dice) - statistics.mean(start):+.4f}" if start and trial != "base" else ""
        keys = [key for key in TRIALS[trial] if key not in BASE]
        lines.append([data, str(steps), trial, " ".join(f"`{key}`" for key in keys), shown(dice), change])
    return markdown_table(["data set", "steps", "change", "keys", "Dice", "to base"], lines)


def _order(entry: tuple[tuple[str, str, int], list[float]]) -> tuple[str, int, int]:
    data, trial, steps = entry[0]
    return data, steps, list(TRIALS).index(trial)


def main() -> None:
    tables = {"reported": reported(), "changes": changes()}
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
