"""Write the tables of docs/performance.md, docs/gpu.md and the README anew from rows in docs/."""

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from page_tables import fill, markdown_table  # noqa: E402

DOCS = ROOT / "docs"


def rows(name: str) -> list[dict[str, str]]:
    """Give the rows of a file of the docs."""
    with (DOCS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ratios(*, benchmarks: bool) -> dict[str, str]:
    """Give the table of ratios, with the benchmark of each or for the README, whose links lead into docs/."""
    columns, lines = ["what", "against", "ratio"], []
    for row in rows("performance.csv"):
        ratio = row["ratio"] if benchmarks else re.sub(r"\]\(", "](docs/", row["ratio"])
        lines.append([row["what"], row["against"], ratio, f"`scripts/benchmark {row['benchmark']}`"])
    if benchmarks:
        columns.append("measured by")
    return {"figures": markdown_table(columns, [line[: len(columns)] for line in lines])}


def gpu() -> dict[str, str]:
    """Give what is counted before and now, and what was timed."""
    found = rows("gpu.csv")
    counted = [[row["what"], row["before"], row["now"]] for row in found if row["table"] == "counted"]
    timed = [[row["what"], row["now"]] for row in found if row["table"] == "timed"]
    return {
        "counted": markdown_table(["counted on the meta device", "before", "now"], counted),
        "timed": markdown_table(["one H100, torch 2.11, bf16", "ms"], timed),
    }


PAGES: dict[Path, Callable[[], dict[str, str]]] = {
    DOCS / "performance.md": lambda: ratios(benchmarks=True),
    ROOT / "README.md": lambda: ratios(benchmarks=False),
    DOCS / "gpu.md": gpu,
}


def make_page(page: Path) -> str:
    """Give a page as it is to be."""
    return fill(page.read_text(encoding="utf-8"), PAGES[page]())


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(make_page(page), encoding="utf-8")
