"""Write the tables of docs/recipe.md anew from docs/recipe.csv: python scripts/recipe_page.py."""

import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "benchmarks"))

from recipe import BASE, TRIALS, Row, rows  # noqa: E402

PAGE = ROOT / "docs" / "recipe.md"
STEPS = (150, 250, 400, 1000)
CHOSEN_ON, REPORTED_ON = 1, 0
RECIPES = ("fast", "nnunet", "fast-resenc", "nnunet-resenc")


def table(columns: list[str], lines: list[list[str]]) -> str:
    ruled = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def shown(dice: list[float]) -> str:
    """Mean, with the spread where there are several seeds."""
    if not dice:
        return ""
    mean = f"{statistics.mean(dice):.4f}"
    return mean if len(dice) == 1 else f"{mean} ({min(dice):.3f} to {max(dice):.3f}, {len(dice)} seeds)"


def reported(found: list[Row]) -> str:
    """Fold 0: one line for each data set and recipe."""
    kinds = [(data, trial) for data in ("hippocampus", "acdc") for trial in RECIPES]
    lines = []
    for data, trial in kinds:
        held = [row for row in found if (row.fold, row.data, row.trial) == (REPORTED_ON, data, trial)]
        cells = [shown([row.dice for row in held if row.steps == steps]) for steps in STEPS]
        if any(cells):
            lines.append([data, f"`{trial}`", *cells])
    return table(["data set", "recipe", *(f"{steps} steps" for steps in STEPS)], lines)


def changes(found: list[Row]) -> str:
    """Fold 1: one line for each change from the base."""
    held = [row for row in found if row.fold == CHOSEN_ON]
    kinds = sorted({(row.data, row.trial, row.steps) for row in held}, key=_order)
    lines = []
    for data, trial, steps in kinds:
        dice = [row.dice for row in held if (row.data, row.trial, row.steps) == (data, trial, steps)]
        start = [row.dice for row in held if (row.data, row.trial, row.steps) == (data, "base", steps)]
        change = f"{statistics.mean(dice) - statistics.mean(start):+.4f}" if start and trial != "base" else ""
        keys = TRIALS[trial][len(BASE) :] if TRIALS[trial][: len(BASE)] == BASE else TRIALS[trial]
        lines.append([data, str(steps), trial, " ".join(f"`{key}`" for key in keys), shown(dice), change])
    return table(["data set", "steps", "change", "keys", "Dice", "to base"], lines)


def _order(kind: tuple[str, str, int]) -> tuple[str, int, int]:
    data, trial, steps = kind
    return data, steps, list(TRIALS).index(trial)


def main() -> None:
    page, found = PAGE.read_text(encoding="utf-8"), rows()
    for name, made in (("reported", reported(found)), ("changes", changes(found))):
        block = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page = re.sub(
            block, lambda match, made=made: match[1] + made + "\n" + match[2], page, flags=re.DOTALL
        )
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
