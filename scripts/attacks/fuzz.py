"""Mutations of every kind of file, each read in a process whose time and memory are bounded."""

import argparse
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from file_kinds import KINDS
from fuzzing import FAULTS, HANG, LONGEST, READ, REFUSED, Fuzzer, Verdict
from harmful_files import names_of_payloads, try_payloads

CRASH = "crash"
OUTCOMES = (READ, REFUSED, *FAULTS, CRASH)
PATIENCE = 3 * LONGEST
"""Seconds after which a process that says nothing hangs in code that no signal interrupts."""

SHOWN = 10


STARTING = 600
"""Seconds that it may take to begin: it imports torch, on a machine that may be busy."""

READY = "ready"


def main() -> None:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=10_000, help="in all, shared out among the kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", nargs="*", choices=sorted(KINDS), default=sorted(KINDS), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the kinds of files")
    parser.add_argument(
        "--payloads", action="store_true", help="code in files instead of damage: none may run"
    )
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.list:
        print("\n".join(sorted(KINDS)))
    elif told.payloads:
        sys.exit(_try_payloads(told.kind))
    elif told.child:
        _read(told.child[0], range(int(told.child[1]), int(told.child[2])), told.seed)
    else:
        sys.exit(_report(told.kind, -(-told.mutations // len(told.kind)), told.seed))


def _report(kinds: list[str], each: int, seed: int) -> int:
    """Run all kinds, print a row for each; give the exit code."""
    print(f"{'kind':28}{''.join(f'{outcome:>11}' for outcome in OUTCOMES)}")
    total, faults = Counter[str](), list[Verdict]()
    for kind in kinds:
        verdicts = _judge_kind(kind, each, seed)
        count = Counter(verdict.outcome for verdict in verdicts)
        print(f"{kind:28}{''.join(f'{count[outcome]:>11}' for outcome in OUTCOMES)}", flush=True)
        total += count
        faults += [verdict for verdict in verdicts if verdict.outcome not in (READ, REFUSED)]
    print(f"{'all':28}{''.join(f'{total[outcome]:>11}' for outcome in OUTCOMES)}")
    for one in faults:
        print(
            f"{one.kind} {one.number} (seed {seed}): {one.file}, {one.harm}: {one.outcome}: "
            f"{one.detail[:300]!r}"
        )
    return int(bool(faults))


def _try_payloads(kinds: list[str]) -> int:
    """Put every payload into files of all kinds, print a row for each; give the exit code."""
    count, ran = sum(map(len, names_of_payloads(Path("x")))), 0
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            found = try_payloads(kind, Path(folder) / "place")
        ran += len(found)
        print(f"{kind:28}{len(found):>4} of {count} did something {' '.join(found)}", flush=True)
    return int(ran > 0)


def _judge_kind(kind: str, each: int, seed: int) -> list[Verdict]:
    """Judge all mutations of a kind; where a process ends or hangs, another goes on behind that mutation."""
    verdicts: list[Verdict] = []
    while len(verdicts) < each:
        verdicts += _run(kind, len(verdicts), each, seed)
    return verdicts


def _run(kind: str, begin: int, end: int, seed: int) -> list[Verdict]:
    line = [sys.executable, __file__, "--seed", str(seed), "--child", kind, str(begin), str(end)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_hand_on, args=(process, lines), daemon=True).start()
    found: list[Verdict] = []
    outcome, patience = CRASH, STARTING
    while True:
        try:
            said = lines.get(timeout=patience)
        except queue.Empty:
            outcome, said = HANG, ""
            process.kill()
        patience = PATIENCE
        if said.strip() == READY:
            continue
        if not said:
            break
        if said.startswith("["):  # else a library printed it
            found.append(Verdict(*json.loads(said)))
    code = process.wait()
    if begin + len(found) < end:
        found.append(Verdict(kind, begin + len(found), "", "", outcome, f"exit code {code}"))
    return found


def _hand_on(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


def _read(kind: str, numbers: range, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(kind, Path(folder) / "files", seed)
        print(READY, flush=True)
        for number in numbers:
            print(json.dumps(fuzzer.judge(number)), flush=True)


if __name__ == "__main__":
    main()
