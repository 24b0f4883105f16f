"""On a GPU: steps, batches, idle time, memory and prediction; each part has a process and a time of its own.

The first is a self-test: kernels, convolutions and preparation against the host; it tells what is off, and
the rest runs all the same. It needs no SimpleITK and no data: phantoms are made here. Where nnU-Net can be
imported, a step of its network, loss and optimiser, compiled as its trainer does, stands beside ours; where
its networks alone can (dynamic_network_architectures), with a plain loss. No CUDA device: no figures;
INGRADIENT_REHEARSE=1 tries all parts on a CPU at a small size.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from figure import Figure

PARTS = {  # seconds each may take: under six minutes in all
    "selftest": 35,
    "hippocampus": 75,
    "large": 80,
    "tables": 45,
    "predict": 60,
    "theirs": 60,
}
REHEARSED = 10
"""Times as long a part may take on a CPU."""
BARS = {  # name: (bar, unit)
    "hippocampus_step": (6.0, "ms"),
    "hippocampus_idle": (0.03, "of a step"),
    "large_step": (35.0, "ms"),
    "large_idle": (0.03, "of a step"),
    "large_batch": (5.0, "ms"),
    "predict_ratio": (1.2, "of the bare windows' time"),
    "predict_resampled_ratio": (1.2, "of the bare windows' time"),
}


def figures() -> list[Figure]:
    if not torch.cuda.is_available() and "INGRADIENT_REHEARSE" not in os.environ:
        print("There is no CUDA device: nothing was measured.")
        return []
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "a rehearsal on the CPU"
    print(name, "torch", torch.__version__, flush=True)
    values: dict[str, float] = {}
    for part, seconds in PARTS.items():
        values.update(_run(part, seconds if torch.cuda.is_available() else REHEARSED * seconds))
    print("\n" + "\n".join(f"{key:<34}{value:>12.4g}" for key, value in values.items()))
    return [Figure(key, values[key], unit, name, bar) for key, (bar, unit) in BARS.items() if key in values]


def _run(part: str, seconds: float) -> dict[str, float]:
    """Measure a part in a process of its own; what fails or takes too long leaves the others."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "values.json"
        line = [sys.executable, str(Path(__file__).with_name("gpu_parts.py")), part, str(answer)]
        print(f"\n== {part}", flush=True)
        try:
            subprocess.run(line, check=True, timeout=seconds)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"{part} was not measured to its end: {error}", flush=True)
        found: dict[str, Any] = json.loads(answer.read_text()) if answer.is_file() else {}
        return found
