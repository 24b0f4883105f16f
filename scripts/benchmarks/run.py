"""Runs benchmarks by name; exit code 1 where a bar is missed."""

import importlib
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).parent
SHARED = {"run", "figure", "peers", "composed", "launch_counter", "training_plans", "gpu_parts", "gpu_tables"}
NAMES = sorted({file.stem for file in HERE.glob("*.py")} - SHARED)


def main() -> int:
    wanted = sys.argv[1:]
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        print(
            f"usage: scripts/benchmark NAME ...   where NAME is one of: {', '.join(NAMES)}", file=sys.stderr
        )
        return 2
    figures, failed = [], []
    for name in wanted:
        try:
            figures += importlib.import_module(name).figures()
        except Exception:  # noqa: BLE001 - one that lacks its data or its peer leaves the others' figures
            traceback.print_exc()
            failed.append(name)
    print()
    for figure in figures:
        print(figure.line)
    for name in failed:
        print(f"{name} failed: see its traceback above")
    return 0 if not failed and all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
