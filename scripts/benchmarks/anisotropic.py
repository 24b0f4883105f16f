"""A model that nnU-Net trains here on flat voxels, at another spacing than the images': the same answers.

Training it takes five minutes on two quiet cores, once; it stays in .peers/anisotropic.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figure import Figure
from peers import ROOT, THEIRS, python_of
from predict import SHARED, agreed, by_nnunet, by_us, link

from ingradient_pl.nnunet.model import import_nnunet

DATA = SHARED / "data" / "Dataset027_ACDC"
WORK = ROOT / ".peers" / "anisotropic"


def figures() -> list[Figure]:
    if not DATA.is_dir():
        sys.exit(f"anisotropic: {DATA.name} is not beside the checkout, nothing to measure")
    model, cases = _trained()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        link(DATA, cases, work / "images")
        plan = import_nnunet(model, work / "model.ckpt").plan
        ours, theirs = _seconds(by_us(work)), _seconds(by_nnunet(work, model))
        agreement = agreed(work, DATA / "labelsTr")
    print(f"{len(cases)} cases of other patients, windows of {plan.patch} at {plan.spacing} mm, mirrored")
    print(f"ingradient predict {ours:.1f} s, nnU-Net {theirs:.1f} s, once each")
    return [
        *agreement.figures("anisotropic"),
        Figure("anisotropic_model", agreement.dice, "Dice", "labels; nnU-Net's answers", 0.5, most=False),
    ]


def _trained() -> tuple[Path, list[str]]:
    """The folder of the model, and the cases kept from its training."""
    made = WORK / "made.json"
    if not made.is_file():
        print("nnU-Net trains a small model (once; five minutes) ...", file=sys.stderr)
        WORK.mkdir(parents=True, exist_ok=True)
        line = [python_of("nnunet"), "-W", "ignore", THEIRS / "train.py", DATA, WORK]
        done = subprocess.run(
            line, check=True, stdout=subprocess.PIPE, encoding="utf-8", env=dict(os.environ)
        )
        made.write_text(done.stdout.splitlines()[-1], encoding="utf-8")
    found = json.loads(made.read_text(encoding="utf-8"))
    return Path(found["model"]), found["validation"]


def _seconds(command: Callable[[], None]) -> float:
    start = time.perf_counter()
    command()
    return time.perf_counter() - start
