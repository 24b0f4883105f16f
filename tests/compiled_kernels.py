"""Each fused kernel as Triton's compiler makes it for a GPU, in a process that has none.

    python compiled_kernels.py [90]

compiles what steps launch for that compute capability (9.0 without a word) and prints a line of JSON for each
kernel: its name, the bytes of shared memory of a block, and the options that it was compiled with. Triton's
interpreter, which runs the kernels on a CPU, takes much that its compiler does not.
"""

import json
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from ingradient_pl.kernels import dice_ce, matrices, noise, norm
from ingradient_pl.optimizers.orthogonal import orthogonal_flat

LAST = torch.channels_last_3d
COMPILE = JITFunction.run


class Device:
    """A GPU that Triton compiles for, and on which nothing is launched."""

    def __init__(self, capability):
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0


def compile_only(kernel, *args, grid, warmup, **options):
    compiled = COMPILE(kernel, *args, grid=grid, warmup=True, **options)
    sys.stdout.write(json.dumps([kernel.__name__, compiled.metadata.shared, options]) + "\n")
    return compiled


def norms(dtype):
    for added in (False, True):
        shape = (2, 32, 8, 8, 8)
        features, shortcut, above = (
            torch.zeros(shape, dtype=dtype).contiguous(memory_format=LAST) for _ in range(3)
        )
        weight, bias, absorbed = (torch.zeros(shape[1], requires_grad=True) for _ in range(3))
        own = {"shortcut": shortcut.requires_grad_() if added else None, "absorbed": absorbed}
        norm.instance_norm(features.requires_grad_(), weight, bias, 0.01, **own).backward(above)


def losses(dtype):
    shape = (2, 3, 8, 8, 8)
    label = torch.zeros((2, 8, 8, 8), dtype=torch.uint8)
    for known in (None, torch.ones(shape[:2], dtype=torch.bool)):
        logits = torch.zeros(shape, dtype=dtype).contiguous(memory_format=LAST).requires_grad_()
        settings = dice_ce.Settings(None, False, 1, 1e-5, 1.0, 1.0)
        dice_ce.dice_ce(logits, label, None, settings, known).backward()


def products():
    shapes = [(32, 27), (128, 64 * 27)]
    flat = torch.zeros(sum(rows * columns for rows, columns in shapes))
    orthogonal_flat(flat, matrices.layout_of(shapes, flat.device), torch.ones(2), 5)


def noises(dtype):
    noise.add_noise_(torch.zeros((4, 8, 8, 8), dtype=dtype), torch.tensor([0, 2]), torch.ones(2, 3))


if __name__ == "__main__":
    capability = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    driver.set_active(Device(capability))
    JITFunction.run = compile_only
    half = torch.bfloat16 if capability >= 80 else torch.float16
    norms(half)
    losses(half)
    products()
    noises(half)
