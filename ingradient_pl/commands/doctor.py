"""What this machine has, what is known to be wrong with it, and what to set."""

import json as json_format
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ingradient_pl.machine import available_cores, available_memory
from ingradient_pl.messages import say
from ingradient_pl.provenance import versions
from ingradient_pl.short_repr import short_repr

SHARED = Path("/dev/shm")
DRIVER = Path("/proc/driver/nvidia/version")
GIB = 2**30
LITTLE_SHARED, LITTLE_MEMORY, LITTLE_DISK = 1 * GIB, 8 * GIB, 10 * GIB
"""Bytes below which training or preparing soon stands still."""

BESIDE = ("pytorch-lightning", "hydra-core", "triton", "SimpleITK", "nibabel", "blosc2", "scipy")
"""Packages whose versions matter, beside those that a run records."""

WRONG, SLOW, NOTE = "wrong", "slow", "note"


class Problem(NamedTuple):
    """Something that is known of a machine like this one.

    Args:
        kind: ``wrong`` where results or files suffer, ``slow`` where time does, ``note`` for the rest.
        found: What it is.
        cure: What to set or install.
    """

    kind: str
    found: str
    cure: str


class Diagnosis(NamedTuple):
    """What a machine has, and what is known of it.

    Args:
        facts: Versions, cores, GPUs, optional packages; sizes in bytes.
        problems: What to look at, the worst first.
    """

    facts: dict[str, Any]
    problems: tuple[Problem, ...]

    def __repr__(self) -> str:
        return short_repr(self)


def doctor(path: str | Path = ".", json: bool | None = None) -> Diagnosis:  # noqa: FBT001 - a switch of the command
    """Tell what this machine has, what is known to be wrong with it, and what to set.

    Args:
        path: Folder or file whose disk's free space is told.
        json: Whether to print JSON instead of text; None, as in Python, prints nothing.

    Returns:
        Facts and problems. A problem is not a failure: the command ends with 0.

    Raises:
        OSError: If there is no such path.
    """
    facts = find_facts(Path(path))
    diagnosis = Diagnosis(facts, tuple(find_problems(facts)))
    if json:
        problems = [problem._asdict() for problem in diagnosis.problems]
        say(json_format.dumps({"kind": "machine", **facts, "problems": problems}, indent=1, allow_nan=False))
    elif json is not None:
        say("\n".join(_lines(diagnosis)))
    return diagnosis


def find_facts(path: Path) -> dict[str, Any]:
    """Give what this machine has, as plain values; sizes in bytes.

    Args:
        path: On the disk whose space is told.

    Raises:
        OSError: If there is no such path.
    """
    try:
        disk = shutil.disk_usage(path)
    except OSError as error:
        raise OSError(f"{path}: {error.strerror}. Name a folder that is there.") from error
    return {
        "versions": {**versions(), **{name: _version(name) for name in BESIDE}},
        "system": platform.platform(),
        "cores": available_cores(),
        "memory_bytes": available_memory(),
        "shared_memory_bytes": shutil.disk_usage(SHARED).free if SHARED.is_dir() else None,
        "disk": {"path": str(path.absolute()), "free_bytes": disk.free, "total_bytes": disk.total},
        "nvidia_driver": DRIVER.is_file(),
        "gpus": _gpus(),
        "c_compiler": os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"),
        "extras": _extras(),
    }


def find_problems(facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what is known of a machine, the worst first.

    Args:
        facts: As :func:`find_facts` gives them.
    """
    yield from _of_versions(facts)
    yield from _of_gpus(facts)
    yield from _of_triton(facts)
    yield from _of_room(facts)


def _of_versions(facts: Mapping[str, Any]) -> Iterator[Problem]:
    found = facts["versions"]
    torch_version = _numbers(found["torch"])
    if torch_version[:3] in ((2, 9, 0), (2, 9, 1)):
        yield Problem(
            WRONG,
            f"torch {found['torch']} runs conv3d outside cuDNN: 4 times slower, with 3 to 17 times the "
            "memory (pytorch#166122, pytorch#166643).",
            "pip install 'torch>=2.10'",
        )
    elif torch_version[:2] < (2, 10):
        yield Problem(
            WRONG,
            f"torch {found['torch']} can be made to run code by the file of a checkpoint (CVE-2025-32434, "
            "CVE-2026-24747).",
            "pip install 'torch>=2.10'",
        )
    if found["cudnn"] is not None and 90800 <= int(found["cudnn"]) < 91100:  # noqa: PLR2004
        yield Problem(
            WRONG,
            f"cuDNN {found['cudnn']} (9.8 to 9.10) gives silently wrong bf16 conv3d for large outputs "
            "(pytorch#163539).",
            "A torch that brings cuDNN 9.11 or later; until then trainer.precision=16-mixed",
        )
    if _numbers(found["pytorch-lightning"])[:3] in ((2, 6, 2), (2, 6, 3)):
        yield Problem(
            WRONG,
            f"pytorch-lightning {found['pytorch-lightning']} was a malicious upload (GHSA-w37p-236h-pfx3).",
            "Remove the environment, change the passwords it could read, and install anew",
        )


def _of_gpus(facts: Mapping[str, Any]) -> Iterator[Problem]:
    gpus = facts["gpus"]
    names = sorted({gpu["name"] for gpu in gpus})
    if not gpus and facts["nvidia_driver"]:
        yield Problem(
            SLOW,
            f"There is a driver of NVIDIA's, but torch {facts['versions']['torch']} sees no GPU.",
            "Install the torch that is built for CUDA, and look at CUDA_VISIBLE_DEVICES",
        )
    elif not gpus:
        yield Problem(
            SLOW,
            "There is no GPU: predicting takes minutes a case, training hours to days.",
            "few epochs, a small plan (ingradient plan --memory_gb 2), or another machine to train on",
        )
    if len(names) > 1:
        yield Problem(
            SLOW,
            f"The GPUs are of different kinds ({', '.join(names)}): in a run on all of them each step waits "
            "for the slowest, and the smallest memory holds for all.",
            "One kind for a run: CUDA_VISIBLE_DEVICES=0, or one run for each",
        )
    if any(not gpu["bf16"] for gpu in gpus):
        yield Problem(
            NOTE, "A GPU has no bf16.", "Nothing: trainer.precision is 16-mixed there, with a loss scale"
        )


def _of_triton(facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what keeps the fused kernels from being compiled on a machine with a GPU."""
    if not facts["gpus"]:
        return
    if facts["versions"]["triton"] is None:
        why, cure = "Triton is not installed", "pip install triton, in the version that this torch asks for"
    elif facts["c_compiler"] is None:
        why, cure = "Triton finds no C compiler", "apt-get install gcc libc6-dev, or CC=COMPILER"
    else:
        return
    yield Problem(SLOW, f"{why}, so norms, loss and optimiser take torch's own operators.", cure)


def _of_room(facts: Mapping[str, Any]) -> Iterator[Problem]:
    shared = facts["shared_memory_bytes"]
    if shared is not None and shared < LITTLE_SHARED:
        yield Problem(
            WRONG,
            f"{SHARED} has {_size(shared)} free: processes that read patches hand them over there, and are "
            "killed where it is full.",
            "docker run --shm-size=8g (or --ipc=host), or data.workers=0",
        )
    if facts["memory_bytes"] < LITTLE_MEMORY:
        yield Problem(
            NOTE,
            f"This process may take {_size(facts['memory_bytes'])} of memory.",
            "ingradient prepare --workers 1 and data.workers=1, where cases are large",
        )
    if facts["disk"]["free_bytes"] < LITTLE_DISK:
        yield Problem(
            NOTE,
            f"{facts['disk']['path']} has {_size(facts['disk']['free_bytes'])} free.",
            "A store takes about what its compressed images do, a run up to a few GB: choose another disk",
        )


def _gpus() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        known = torch.cuda.get_device_properties(number)
        capability = (known.major, known.minor)
        found.append(
            {
                "name": known.name,
                "memory_bytes": known.total_memory,
                "capability": ".".join(map(str, capability)),
                "bf16": capability >= (8, 0),
            }
        )
    return found


def _extras() -> dict[str, dict[str, str | None]]:
    """Give the packages of each extra with their versions; None where one is not there."""
    found: dict[str, dict[str, str | None]] = {}
    try:
        lines = metadata.requires("ingradient_pl") or []
    except metadata.PackageNotFoundError:
        return found
    for line in lines:
        extra, name = re.search(r"""extra == ['"]([\w-]+)['"]""", line), re.match(r"[\w.-]+", line)
        if extra and name and extra[1] not in ("dev", "docs"):
            found.setdefault(extra[1], {})[name[0]] = _version(name[0])
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str | None) -> tuple[int, ...]:
    """Give the numbers that a version begins with.

    >>> _numbers("2.9.1+cu128"), _numbers(None)
    ((2, 9, 1), ())
    """
    return tuple(map(int, re.findall(r"\d+", (version or "").partition("+")[0])[:3]))


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _lines(diagnosis: Diagnosis) -> Iterator[str]:
    facts = diagnosis.facts
    there = [f"{name} {version}" for name, version in facts["versions"].items() if version]
    yield f"Versions: {', '.join(there)}"
    shared = facts["shared_memory_bytes"]
    rest = "" if shared is None else f", {_size(shared)} free in {SHARED}"
    room = f"{_size(facts['memory_bytes'])} of memory{rest}"
    yield f"Machine: {facts['system']}, {facts['cores']} cores, {room}"
    yield f"Disk: {_size(facts['disk']['free_bytes'])} free at {facts['disk']['path']}"
    for gpu in facts["gpus"]:
        yield f"GPU: {gpu['name']}, {_size(gpu['memory_bytes'])}, capability {gpu['capability']}"
    missing = [extra for extra, packages in facts["extras"].items() if None in packages.values()]
    yield f"Extras that are not installed: {', '.join(missing) or 'none'}"
    for kind, found, cure in diagnosis.problems:
        yield f"{kind.upper()}: {found}\n  -> {cure}"
    if not diagnosis.problems:
        yield "Nothing is known to be wrong with it."
