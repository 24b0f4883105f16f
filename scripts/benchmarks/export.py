"""The exported network against the one it was made from: same logits, and how fast onnxruntime runs it."""

import tempfile
from functools import partial
from pathlib import Path

import torch
from figure import Figure, medians

from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.export import export_model, largest_difference, open_exported, run_in_double
from ingradient_pl.inference.forward import finest
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.model import import_nnunet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.task import Task
from ingradient_pl.transforms.normalise import ZScore

FORMS = ("torch", "onnx")
REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "nnunet_hippocampus"
PATCH, WIDTHS, ROUNDS = (40, 56, 40), (16, 32, 64, 128), 5
STRIDES = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
KERNELS = ((3, 3, 3),) * 4


def figures() -> list[Figure]:
    model = import_reference() or _untrained()
    image = torch.randn(2, 1, *model.plan.patch)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        written = [export_model(model, Path(folder) / form, form) for form in FORMS]
        differences = [largest_difference(model, files) for files in written]
        ways = [partial(finest, model.networks[0]), *(open_exported(files.files[0]) for files in written)]
        seconds = medians([partial(way, image) for way in ways], ROUNDS)
        ours = (ways[0](image) - run_in_double(model.networks[0], image)).abs().max().item()
    for name, taken in zip(("ours", *FORMS), seconds, strict=True):
        print(
            f"two patches {model.plan.patch} through {name}: {taken:.3f} s, {taken / seconds[0]:.2f} of ours"
        )
    print(f"our own network in single precision differs from double by {ours:.2g} (for information)")
    return [
        Figure(f"export_{form}_difference", difference, "logit", "the network in double precision", 1e-4)
        for form, difference in zip(FORMS, differences, strict=True)
    ]


def import_reference() -> Model | None:
    """The model that nnU-Net trained on Hippocampus, where it lies beside the checkout."""
    if not REFERENCE.is_dir():
        return None
    with tempfile.TemporaryDirectory() as folder:
        return import_nnunet(REFERENCE, Path(folder) / "model.ckpt")


def _untrained() -> Model:
    torch.manual_seed(0)
    blocks, back = (2, 2, 2, 2), (2, 2, 2)
    network = UNet(1, 3, WIDTHS, STRIDES, KERNELS, blocks, back).eval()
    plan = Plan(
        channels=1,
        outputs=3,
        spacing=(1.0, 1.0, 1.0),
        patch=PATCH,
        batch_size=2,
        widths=WIDTHS,
        strides=STRIDES,
        kernels=KERNELS,
        blocks=blocks,
        decoder_blocks=back,
        normalisation=(ZScore(),),
    )
    task = Task(("MR",), {"background": 0, "anterior": 1, "posterior": 2})
    return Model([network], plan, task, "benchmark", ())
