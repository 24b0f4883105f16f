"""One of two processes of a test: ``python -m ranks MODULE RANK FOLDER`` calls ``MODULE.rank_of_two``."""

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(sys.argv[1]).rank_of_two(int(sys.argv[2]), sys.argv[3])
