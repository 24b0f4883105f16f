"""Classes of one's own, found in the folder where a command is started."""

import os
import sys


def join_working_directory() -> None:
    """Let Python look for modules in the working directory too, last: nothing there hides a package.

    A console script's path begins with the script's folder, where ``python -m`` begins with this one.
    """
    if not {"", os.getcwd()} & set(sys.path):  # noqa: PTH109 - a text, as sys.path holds them
        sys.path.append(os.getcwd())  # noqa: PTH109
