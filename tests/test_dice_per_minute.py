"""The page of Dice per minute is what its command makes of the rows, and shows nothing that was not run."""

import importlib
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def page():
    before = list(sys.path)
    sys.path[:0] = [str(SCRIPTS), str(SCRIPTS / "benchmarks")]
    yield importlib.import_module("dice_per_minute_page")
    sys.path[:] = before


def test_the_page_is_made_of_its_rows(page, tmp_path, monkeypatch):
    copy = tmp_path / "page.md"
    copy.write_text(page.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(page, "PAGE", copy)
    held = copy.read_text(encoding="utf-8")
    page.main()
    assert copy.read_text(encoding="utf-8") == held, "python scripts/dice_per_minute_page.py writes it anew"


def test_a_cell_without_a_run_says_so(page):
    row = page.Row("data", "ours", "card", "60 s", 900, 59.0, 70.0, 0.5, 3)
    head, _, ours, theirs = page.by_limit([row]).splitlines()
    cells = dict(zip(head.strip("| ").split(" | "), ours.strip("| ").split(" | "), strict=True))
    assert cells.pop("1 min") == "0.5000"
    assert set(list(cells.values())[3:]) == {page.NOT_RUN}
    assert set(theirs.strip("| ").split(" | ")[3:]) == {page.NOT_RUN}


def test_rows_come_back_from_the_file_as_they_were_kept(page, tmp_path, monkeypatch):
    module = importlib.import_module("dice_per_minute")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "rows.csv")
    kept = [
        page.Row("a", "ours", "card, the first", f"{limit}", 5, 1.5, 2.5, 0.25, 3)
        for limit in ("5 steps", "1 s")
    ]
    for row in kept:
        module.keep(row)
    assert module.rows() == kept
    assert [module.count_steps(row.limit) for row in kept] == [5, None]
