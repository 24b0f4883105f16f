"""Commands that need no network start without torch: its import costs more than they do."""

import subprocess
import sys

import pytest
import torch

from ingradient_pl.kernels.tracing import MARK, assume_constant_result

IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"ingradient_pl.commands.{name}")
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_after(imports, *names):
    ran = subprocess.run([sys.executable, "-c", imports, *names], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


@pytest.mark.slow
def test_prepare_plan_evaluate_and_compare_start_without_torch():
    found = modules_after(IMPORTS, "prepare", "plan", "evaluate", "compare")
    assert "blosc2" in found
    assert not found & {"torch", "pytorch_lightning", "matplotlib", "SimpleITK"}


@pytest.mark.slow
def test_networks_and_losses_are_imported_without_the_compiler():
    names = "ingradient_pl.networks.unet", "ingradient_pl.losses.dice_ce", "ingradient_pl.inference.predictor"
    lines = "\n".join(f"import {name}" for name in names)
    found = modules_after(f"{lines}\nimport sys\nprint(' '.join(sys.modules))")
    assert "torch" in found
    assert not found & {"torch._dynamo", "sympy"}


@pytest.mark.slow
def test_functions_are_marked_for_the_compiler_as_torch_marks_them():
    marked = []
    for decorate in (assume_constant_result, torch.compiler.assume_constant_result):

        def answer():
            return 1

        marked.append(vars(decorate(answer)))
    assert marked[0] == marked[1] == {MARK: True}
