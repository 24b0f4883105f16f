"""Runs harmed at random moments: bit-equal in the end, an epoch lost at most, nothing left behind."""

import argparse
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

from killing import KINDS, Chain, Moment, differences, small_disk, unmount
from tiny_runs import write_tiny_plan, write_tiny_store

FULL = "a full disk"
MEMORY = Path("/dev/shm")
"""Another disk than the system's temporary folder is on, where there is one."""

EACH = 3
"""Harms to one run before it is left to end."""

PART = ("logger=none", "data.workers=0")


def main() -> None:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="moments in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", nargs="*", choices=list(KINDS), default=list(KINDS), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the kinds of harm")
    told = parser.parse_args()
    if told.list:
        print("\n".join(KINDS))
        return
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory(dir=_other_disk()) as there:
        sys.exit(_report(told.kind, told.times, random.Random(told.seed), Path(here), Path(there)))


def _other_disk() -> Path | None:
    return MEMORY if MEMORY.is_dir() else None


def _report(kinds: list[str], times: int, draws: random.Random, here: Path, there: Path) -> int:
    """Harm run after run until there were so many moments; print a row a kind, give the exit code."""
    store = write_tiny_store(here)
    line = [f"store={store}", f"plan={write_tiny_plan(store)}", *PART]
    references = {}
    rows: dict[str, list[Moment]] = defaultdict(list)
    ends: dict[str, list[str]] = defaultdict(list)
    left, number = times, 0
    while left > 0:
        name = kinds[number % len(kinds)]
        trainer = KINDS[name].line[0]
        if trainer not in references:
            references[trainer] = _reference(line, trainer, here / f"reference_{len(references)}")
        with _disk(name, there / str(number)) as place:
            if place is None:
                print(f"{name}: left out, as no small disk can be mounted here", flush=True)
                kinds = [kind for kind in kinds if kind != name]
                continue
            chain = Chain(line, place, here / f"chain_{number}")
            for _ in range(min(EACH, left)):
                rows[name].append(chain.harm(name, draws))
                left -= 1
            ends[name] += chain.finish(KINDS[name].line) or differences(chain.run, references[trainer])
        number += 1
        wrong = [*ends[name], *(fault for moment in rows[name] for fault in moment.faults)]
        print(f"{times - left} of {times} moments: {name}: {' | '.join(wrong) or 'as promised'}", flush=True)
    return _table(rows, ends)


def _reference(line: list[str], trainer: str, folder: Path) -> Path:
    """Train once with nobody in the way."""
    chain = Chain(line, folder / "disk", folder)
    faults = chain.finish((trainer,))
    if faults:
        sys.exit(f"the run that nobody harms fails: {faults}")
    return chain.run


@contextmanager
def _disk(name: str, folder: Path):
    """Give a folder on another disk, a small one where it is to be filled; None where that cannot be had."""
    if not name.endswith(FULL):
        folder.mkdir()
        yield folder
        shutil.rmtree(folder)
        return
    try:
        yield folder if small_disk(folder) else None
    finally:
        unmount(folder)


def _table(rows: dict[str, list[Moment]], ends: dict[str, list[str]]) -> int:
    """Print what came of it; 1 where something is not as promised."""
    print(f"\n{'kind':32}{'moments':>9}{'at work':>9}{'lost 1':>8}{'faults':>8}{'ends wrong':>12}")
    for name, moments in rows.items():
        harmed = sum(moment.after == moment.after for moment in moments)
        lost = sum(moment.lost == 1 for moment in moments)
        faults = sum(bool(moment.faults) for moment in moments)
        print(f"{name:32}{len(moments):>9}{harmed:>9}{lost:>8}{faults:>8}{len(ends[name]):>12}")
    wrong = [(name, fault) for name, moments in rows.items() for moment in moments for fault in moment.faults]
    wrong += [(name, fault) for name, faults in ends.items() for fault in faults]
    for name, fault in wrong:
        print(f"{name}: {fault}")
    return int(bool(wrong))


if __name__ == "__main__":
    main()
