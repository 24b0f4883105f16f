"""Environments of the programs that benchmarks compare with; made on first use, beside the checkout's own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[2]
THEIRS = Path(__file__).parent / "theirs"
PEERS = {  # jaxtyping: what our own networks and losses need beside torch, to be run in the same process
    "nnunet": ["nnunetv2==2.8.1", "monai==1.5.1", "jaxtyping==0.3.11"],
    "monai": ["monai==1.5.1"],
}


def python_of(peer: str) -> Path:
    """Give the interpreter of a peer's environment."""
    folder = ROOT / ".peers" / peer
    python, done = folder / "bin" / "python", folder / "made"
    if not done.is_file() or not set(PEERS[peer]) <= set(done.read_text().split()):
        print(f"Setting up the environment of {peer} (once; a few minutes) ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        constraint = f"torch=={_torch()}"
        for wanted in ([constraint], [*PEERS[peer], constraint]):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        # it imports a torchvision that a CPU build of torch cannot load; no benchmark needs it
        for primus in folder.glob("lib/python*/site-packages/nnunetv2/training/nnUNetTrainer/primus"):
            shutil.rmtree(primus)
        done.write_text("\n".join(PEERS[peer]))
    return python


def _torch() -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.removeprefix("torch==") for line in lines if line.startswith("torch=="))


class Peer:
    """A script of ``theirs`` under a peer's interpreter: it answers each order with its seconds."""

    def __init__(self, peer: str, script: str) -> None:
        line = [python_of(peer), THEIRS / f"{script}.py"]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stdin.close()
        self.process.wait(60)

    def seconds(self, order: object) -> float:
        print(order, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"The peer's script {self.process.args[1]} ended: see what it printed above.")
        return float(answer)


def answer(peer: str, script: str, *arguments: object) -> Any:
    """What a script of ``theirs`` prints as JSON, run by a peer's interpreter that finds our checkout."""
    folders = {f"nnUNet_{name}": "/nowhere" for name in ("raw", "preprocessed", "results")}
    line = [python_of(peer), "-W", "ignore", THEIRS / f"{script}.py", *map(str, arguments)]
    environment = {**os.environ, **folders, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=environment)
    return json.loads(done.stdout.splitlines()[-1])
