"""Runs benchmarks by name; exit code 1 where a bar is missed."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = sorted(
    file.stem for file in HERE.glob("*.py") if file.stem not in ("run", "figure", "peers", "composed")
)


def main() -> int:
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        print(
            f"usage: scripts/benchmark NAME ...   where NAME is one of: {', '.join(NAMES)}", file=sys.stderr
        )
        return 2
    figures = [figure for name in wanted for figure in importlib.import_module(name).figures()]
    print()
    for figure in figures:
        print(figure.line)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
