"""A trained network for other programs: as torch.export's program or as ONNX, its plan and task beside it."""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import ingradient_pl
from ingradient_pl.files import replace_file, whole_file
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.forward import Finest, finest
from ingradient_pl.inference.torch_files import write_torch
from ingradient_pl.optional import require
from ingradient_pl.short_repr import short_repr
from ingradient_pl.spec import to_spec

DESCRIPTION = "model.json"
INPUT, OUTPUT = "image", "logits"
FIRST = "first_stage"
TRACED_BATCH = 2
"""A batch of one would be taken for a constant."""

Run = Callable[[Tensor], Tensor]


class ExportError(ValueError):
    """A network that cannot be written for other programs; the message says why and what to do."""


class Exported(NamedTuple):
    """What an export wrote.

    Args:
        files: One for each network (fold), in order.
        description: JSON with plan, task, and what goes in and comes out.
    """

    files: list[Path]
    description: Path

    def __repr__(self) -> str:
        return short_repr(self)


def export_model(model: Model, output: Path, form: str = "torch") -> Exported:
    """Write every network of a model, and what another program needs to know to use it.

    The networks take a batch of any size of patches as the plan has them, normalised and at its spacing, and
    give the finest logits; windows, mirroring, averaging and resampling back are the other program's.

    Args:
        model: Networks, plan and task.
        output: Folder for ``network_0.pt2`` or ``network_0.onnx`` and so on, and ``model.json``. In a
            cascade the stage before goes into a folder ``first_stage`` of it.
        form: ``torch`` or ``onnx``.

    Raises:
        ExportError: If the form is unknown, a package is missing, or the network cannot be traced.
    """
    if form not in FORMS:
        raise ExportError(f"'{form}' is not a form of export: take one of {', '.join(FORMS)}.")
    if model.others:
        raise ExportError(
            f"{model.origin} averages models of {1 + len(model.others)} plans: export those that it was made "
            "of, one by one."
        )
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    description = output / DESCRIPTION
    description.unlink(missing_ok=True)  # of an earlier export, whose networks are replaced one by one
    if model.previous is not None:
        export_model(model.previous, output / FIRST, form)
    ending, write = FORMS[form]
    files = []
    for number, network in enumerate(model.networks):
        files.append(output / f"network_{number}{ending}")
        with whole_file(files[-1]) as temporary:
            write(_program(network, model), temporary)
    replace_file(description, json.dumps(_describe(model, form, files), indent=2).encode())
    return Exported(files, description)


def open_exported(file: Path) -> Run:
    """Open an exported network as a function on the CPU, from a batch of patches to logits.

    Args:
        file: ``.pt2`` or ``.onnx``.

    Raises:
        ExportError: If it is an ONNX file and onnxruntime is not installed.
    """
    if file.suffix == ".pt2":
        program: Any = torch.export.load(str(file)).module()
        return lambda image: program(image)
    session = _package("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])


def largest_difference(model: Model, exported: Exported, seed: int = 0, batch: int = 3) -> float:
    """Give the largest difference of a logit between the networks, in double precision, and their files.

    Double precision, because the network in single precision is no better a witness than its file.

    Args:
        model: What was exported.
        exported: The files.
        seed: Of the noise that goes through both.
        batch: Patches of noise.
    """
    noise = np.random.default_rng(seed).standard_normal((batch, model.inputs, *model.plan.patch))
    image = torch.from_numpy(noise.astype(np.float32))
    with torch.inference_mode():
        return max(
            float((open_exported(file)(image) - run_in_double(network, image)).abs().max())
            for network, file in zip(model.networks, exported.files, strict=True)
        )


def run_in_double(network: nn.Module, image: Tensor) -> Tensor:
    """Give a network's finest logits, computed in double precision on the CPU.

    Args:
        network: Left as it is; a copy is run.
        image: Normalised patches, shape (batch, channel, z, y, x).
    """
    return finest(copy.deepcopy(network).cpu().double().eval(), image.double())


def _program(network: nn.Module, model: Model) -> torch.export.ExportedProgram:
    plan = model.plan
    portable = copy.deepcopy(network).cpu().float().eval()
    if hasattr(portable, "channels_last"):
        vars(portable)["channels_last"] = False  # how memory lies is the other program's choice
    example: Float[Tensor, "batch channel z y x"] = torch.zeros(TRACED_BATCH, model.inputs, *plan.patch)
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad():
            return torch.export.export(Finest(portable), (example,), dynamic_shapes={INPUT: {0: batch}})
    except Exception as error:  # whatever a network's own code raises when it is traced
        reason = str(error).strip().split("\n")[0]
        raise ExportError(
            f"The network of {model.origin} cannot be traced by torch.export ({reason}). Its forward must "
            "not depend on the values of its input."
        ) from error


def _write_torch(program: torch.export.ExportedProgram, path: Path) -> None:
    with path.open("wb") as file:
        write_torch(file, lambda to: torch.export.save(program, to))


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        _package(package)
    said = logging.getLogger("torch.onnx")
    level = said.level
    said.setLevel(logging.ERROR)  # it names packages that nobody needs
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch about itself
            torch.onnx.export(
                program, (), str(path), dynamo=True, external_data=False, verbose=False, **names
            )
    finally:
        said.setLevel(level)


def _package(name: str) -> Any:
    otherwise = "The form 'torch' needs nothing."
    return require(name, "Networks in the form 'onnx'", "ingradient_pl[export]", otherwise, ExportError)


def _describe(model: Model, form: str, files: list[Path]) -> Mapping[str, Any]:
    plan, task = model.plan, model.task
    labels = task.foreground_values if task.overlap is None else task.foreground
    seen = [] if model.previous is None else [f"1 where {FIRST} says {label}" for label in labels]
    return {
        "version": ingradient_pl.__version__,
        "form": form,
        "networks": [file.name for file in files],
        "input": {
            "name": INPUT,
            "shape": ["batch", model.inputs, *plan.patch],
            "type": "float32",
            "meaning": [*task.channels, *seen],
        },
        "output": {
            "name": OUTPUT,
            "shape": ["batch", plan.outputs, *plan.patch],
            "type": "float32",
            "meaning": task.output_names,
            "activation": "sigmoid" if task.has_regions else "softmax",
        },
        "mirror": list(model.mirror),
        "plan": to_spec(plan),
        "task": task.described,
    }


FORMS: dict[str, tuple[str, Callable[[torch.export.ExportedProgram, Path], None]]] = {
    "torch": (".pt2", _write_torch),
    "onnx": (".onnx", _write_onnx),
}
