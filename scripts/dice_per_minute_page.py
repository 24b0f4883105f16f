"""Write the tables of docs/dice_per_minute.md anew from its rows: python scripts/dice_per_minute_page.py."""

import math
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "benchmarks")]

from dice_per_minute import LIMITS, TRAINERS, Row, rows  # noqa: E402
from page_tables import fill, markdown_table  # noqa: E402

PAGE = ROOT / "docs" / "dice_per_minute.md"
SHOWN = {"10 s": "10 s", "60 s": "1 min", "300 s": "5 min", "900 s": "15 min"}
NOT_RUN = "not run"


def by_limit(found: list[Row]) -> str:
    """One line for each data set, device and trainer: Dice by what was asked for, where that was run."""
    lines = []
    for data, device in dict.fromkeys((row.data, row.device) for row in found):
        for trainer in TRAINERS:
            own = {row.limit: row.dice for row in found if row[:3] == (data, trainer, device)}
            cells = [f"{own[limit]:.4f}" if limit in own else NOT_RUN for limit in LIMITS]
            lines.append([data, device, trainer, *cells])
    return markdown_table(
        ["data", "device", "trainer", *(SHOWN.get(limit, limit) for limit in LIMITS)], lines
    )


def all_runs(found: list[Row]) -> str:
    """One line for each run, as it is in the file."""
    lines = [
        [
            *(row.data, row.device, row.trainer, f"{row.steps:,}"),
            *("" if math.isnan(value) else f"{value:.0f}" for value in (row.seconds, row.whole)),
            *(f"{row.dice:.4f}".rstrip("0"), str(row.cases), row.note),
        ]
        for row in found
    ]
    columns = ["data", "device", "trainer", "steps", "s of steps", "s with start", "Dice", "cases", "note"]
    return markdown_table(columns, lines)


def main() -> None:
    found = rows()
    tables = {"by limit": by_limit(found), "runs": all_runs(found)}
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
