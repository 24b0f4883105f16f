"""Write the table of docs/performance.md and that of the README anew from docs/performance.csv."""

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from page_tables import fill  # noqa: E402

ROWS = ROOT / "docs" / "performance.csv"
TABLES = {ROOT / "docs" / "performance.md": True, ROOT / "README.md": False}
"""The pages, and whether they name the benchmark of each figure."""


def table(*, benchmarks: bool) -> str:
    """The rows as a table; links lead from where the page stands."""
    lines = [["what", "against", "ratio"], ["---"] * 3]
    with ROWS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            ratio = row["ratio"] if benchmarks else re.sub(r"\]\(", "](docs/", row["ratio"])
            lines.append([row["what"], row["against"], ratio, f"`scripts/benchmark {row['benchmark']}`"])
    if benchmarks:
        lines[0].append("measured by")
        lines[1].append("---")
    width = 4 if benchmarks else 3
    return "\n".join(f"| {' | '.join(line[:width])} |" for line in lines)


def written(page: Path, *, benchmarks: bool) -> str:
    """The page as it is to be."""
    return fill(page.read_text(encoding="utf-8"), {"figures": table(benchmarks=benchmarks)})


if __name__ == "__main__":
    for page, benchmarks in TABLES.items():
        page.write_text(written(page, benchmarks=benchmarks), encoding="utf-8")
