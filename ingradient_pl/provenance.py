"""Where a result comes from: versions of the libraries, state of the code, the machine."""

import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ingradient_pl

SECONDS = 10
"""How long git may take; it hangs on some network drives."""

STATUS = ("status", "--porcelain", "--ignore-submodules=all")
HARMLESS = re.compile(
    r"(remote|branch|user|pull|push|fetch|gc|submodule)\..+"
    r"|core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks)"
)
"""Settings of a checkout that run nothing when its files are compared; its monitor and filters of files do.

A checkout that somebody else packed brings its own."""


def versions() -> dict[str, str | None]:
    """Give the versions of what computes; None where something is not there."""
    library: Any = torch.backends.cudnn
    cudnn = library.version() if library.is_available() else None
    return {
        "ingradient_pl": ingradient_pl.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Give the commit of the checkout that a folder lies in, and whether files differ from it.

    Args:
        folder: Any folder of it.

    Returns:
        ``commit`` and ``changed`` (None where its own settings might run a program to tell); None outside a
        checkout, or without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    settings = _git(folder, "config", "--local", "--list", "--name-only")
    plain = settings is not None and all(HARMLESS.fullmatch(name) for name in settings.split())
    return {"commit": commit.strip(), "changed": bool(_git(folder, *STATUS)) if plain else None}


def code_state() -> dict[str, Any]:
    """Give the git state of this package and of the folder that the command was called in."""
    return {"package": git_state(Path(__file__).parent), "folder": git_state(Path.cwd())}


def device_name(device: torch.device) -> str:
    """Give the name of a device as its maker calls it.

    Args:
        device: Of a CPU the processor's name is given.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str | None:
    line = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(line, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
