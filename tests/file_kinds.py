"""Every kind of file that is read: how one is made, how the program reads it, what another program reads."""

import csv
import io
import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import made_dicom
import nibabel
import numpy as np
import payloads
import pydicom
import SimpleITK
import tiny_models
import torch
import weight_sources
import yaml
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import save_file

from ingradient_pl.cli.crossval_state import read_state, write_state
from ingradient_pl.cli.foreign_config import read_foreign_config
from ingradient_pl.cli.plan_overrides import with_plans
from ingradient_pl.cli.resume import with_sweep
from ingradient_pl.cli.sweep_table import read_score
from ingradient_pl.commands.info import info
from ingradient_pl.commands.named_network import NamedNetwork
from ingradient_pl.datasets import splits
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.finetuning.names import read_names
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.images.dicom_seg import write_segmentation
from ingradient_pl.images.formats import read_volume
from ingradient_pl.images.label_objects import read_label_object
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.checkpoint_file import write_content
from ingradient_pl.inference.dice_estimates import ESTIMATES, add_estimates, read_estimates
from ingradient_pl.inference.postprocess import (
    FillHoles,
    LargestComponent,
    SmallestSize,
    Steps,
    read_steps,
    write_steps,
)
from ingradient_pl.inference.probabilities import read_maps, write_maps
from ingradient_pl.lightning.record_file import read_record
from ingradient_pl.lightning.resumable import check_resumable
from ingradient_pl.lightning.run_epochs import EPOCHS, write_epochs
from ingradient_pl.lightning.run_files import CASCADE, SWEEP_TABLE
from ingradient_pl.metrics.comparison import compare
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.nnunet.model import read_nnunet
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.reports.crossvals import describe_cascade, describe_crossval
from ingradient_pl.reports.runs import describe_run
from ingradient_pl.reports.summaries import read_summary as read_summary_of_report
from ingradient_pl.reports.swept_runs import read_sweep_table
from ingradient_pl.spec import to_spec
from ingradient_pl.store import metadata
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.case_volumes import CaseVolumes, write_volume
from ingradient_pl.task import Task

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
GREY = RNG.integers(0, 255, (5, 7)).astype(np.uint8)
UNKNOWN = object()
"""What another program says of a file that it does not read."""


class Codec(NamedTuple):
    """How the values that stand in a file are read and written, to be harmed one by one."""

    load: Callable[[Path], Any]
    dump: Callable[[Path, Any], None]


class FileKind(NamedTuple):
    """A kind of file.

    Args:
        make: Fill an empty folder; give the files that are harmed.
        read: Read the folder as the program does; give plain values and arrays.
        says: What another program reads in a harmed file, in the terms of ``read``; None: what was written
            must come back, as the file has check sums; ``UNKNOWN`` where it says nothing.
        codec: Of the values in the files.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    says: Callable[[Path], Any] | None
    codec: Codec | None = None


def same(one, two):
    """Whether two answers are alike: numbers by value, lists and tuples alike, NaN equal to itself."""
    if one is UNKNOWN or two is UNKNOWN:
        return True
    if isinstance(one, torch.Tensor) or isinstance(two, torch.Tensor):
        return same(*(value.numpy() if isinstance(value, torch.Tensor) else value for value in (one, two)))
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        one, two = np.asarray(one), np.asarray(two)
        return one.shape == two.shape and bool(
            np.allclose(one, two, rtol=1e-5, atol=1e-6, equal_nan=one.dtype.kind == "f")
        )
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(one, float) and isinstance(two, int) and abs(two) < 10**300:
        two = float(two)  # as JSON and YAML have it, a number is one
    return one == two or (one != one and two != two)


def _json(path):
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _dump_json(path, plain):
    path.write_text(json.dumps(plain))


def _dump_sealed(path, plain):
    """With the check sum that fits, as somebody who means harm would."""
    plain = plain if isinstance(plain, dict) else {"a": plain}
    plain.pop(metadata.SUM, None)
    path.write_bytes(metadata.encode(plain))


def _dump_pickle(path, plain):
    path.write_bytes(pickle.dumps(plain, protocol=4))


def _dump_torch(path, plain):
    write_content(path, plain)


JSON = Codec(_json, _dump_json)
SEALED_JSON = Codec(_json, _dump_sealed)
YAML = Codec(
    lambda path: yaml.safe_load(path.read_text()),
    lambda path, plain: path.write_text(yaml.safe_dump(plain)) and None,
)
PICKLE = Codec(lambda path: pickle.loads(path.read_bytes()), _dump_pickle)
TORCH = Codec(lambda path: torch.load(path, weights_only=True), _dump_torch)
NNUNET = Codec(lambda path: torch.load(path, weights_only=False), lambda path, plain: torch.save(plain, path))


def only(folder, pattern):
    (found,) = folder.glob(pattern)
    return found


# --- configs and descriptions


def make_plan(folder):
    write_plan(folder / "plan.yaml", tiny_models.plan(notes={"cases": 3, "why": ["a", "b"]}))
    return [folder / "plan.yaml"]


def read_plan_file(folder):
    with_plans([f"plan={folder / 'plan.yaml'}"], folder / ".configs")
    copied = yaml.safe_load((folder / ".configs" / "plan" / "plan.yaml").read_text())
    assert same(copied, to_spec(read_plan(folder / "plan.yaml")))
    return copied


def says_plan(folder):
    """What stands in the file, and the defaults of what does not."""
    return {**to_spec(tiny_models.plan()), **(yaml.safe_load((folder / "plan.yaml").read_text()) or {})}


def make_run_config(folder):
    (folder / "config.yaml").write_text(yaml.safe_dump(payloads.run_config()))
    return [folder / "config.yaml"]


def read_run_config(folder):
    text = read_foreign_config(folder / "config.yaml", folder, ())
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)


def make_sweep(folder):
    line = ["store=/a/store", "plan=plan", "seed=0,1,2", "module.optimizer.lr=0.1,0.01", "trainer=cpu"]
    (folder / "sweep.json").write_text(json.dumps({"overrides": line}))
    return [folder / "sweep.json"]


def make_record(folder):
    record = {"state": "finished", "length": {"epochs": 3}, "began": "2026-01-01", "store": {"sha256": "0"}}
    (folder / "run.json").write_text(json.dumps(record))
    return [folder / "run.json"]


def make_crossval(folder):
    over = {"path": "/a/store", "sha256": "0", "cases": 3}
    entries = {"3d": {"folds": {"0": "done", "1": "it failed"}}}
    state = {"format": 1, "store": over, "settings": {"epochs": "3"}, "configurations": entries}
    write_state(folder, state)
    return [folder / "crossval.json"]


def read_crossval(folder):
    read_state(folder)
    return UNKNOWN


def make_splits(folder):
    fold = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]
    (folder / "splits_final.json").write_text(json.dumps(fold))
    return [folder / "splits_final.json"]


def read_splits(folder):
    found = splits.from_file(folder / "splits_final.json", {name: name for name in "abc"})
    return [{"train": sorted(split.train), "val": sorted(split.validation)} for split in found]


def says_splits(folder):
    return [
        {side: sorted(fold[side]) for side in ("train", "val")}
        for fold in _json(folder / "splits_final.json")
    ]


def make_steps(folder):
    write_steps(folder / "steps.yaml", Steps((LargestComponent((1,)), SmallestSize(3.0), FillHoles())))
    return [folder / "steps.yaml"]


def says_steps(folder):
    """What stands in the file, and the defaults of what does not."""
    usual = {
        type(step).__name__: to_spec(step) for step in (LargestComponent(), SmallestSize(1.0), FillHoles())
    }
    plain = yaml.safe_load((folder / "steps.yaml").read_text())
    return [{**usual[entry["_target_"].rpartition(".")[2]], **entry} for entry in plain]


def make_network(folder):
    plain = {
        "_target_": "ingradient_pl.networks.unet.UNet",
        **{key: f"${{plan.{key}}}" for key in ("channels", "outputs")},
    }
    plain |= {
        "widths": [4, 6],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "kernels": [[3, 3, 3]] * 2,
        "blocks": [1, 1],
        "decoder_blocks": [1],
    }
    (folder / "net.yaml").write_text(yaml.safe_dump(plain))
    return [folder / "net.yaml"]


def read_network(folder):
    with torch.device("meta"):
        NamedNetwork(str(folder / "net.yaml"))(1, 2, (8, 8, 8))
    return UNKNOWN


def make_summary(folder):
    cases = [
        {"prediction_file": f"p/{name}.nii.gz", "metrics": {"1": {"Dice": 0.5 + i / 10, "FN": 3}}}
        for i, name in enumerate("abc")
    ]  # fmt: skip
    for name in ("first.json", "second.json"):
        (folder / name).write_text(
            json.dumps({"metric_per_case": cases, "spread": {"groups": {"a": "a", "b": "b", "c": "c"}}})
        )
    return [folder / "first.json"]


def read_summary(folder):
    found = compare(folder / "first.json", folder / "second.json", np.random.default_rng(0))
    return {"cases": found.cases}


# --- data sets


def _image(path, voxels=VOXELS):
    nibabel.save(nibabel.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([1, 1.5, 3, 1])), path)


def make_raw(folder):
    write_phantoms(folder / "raw", 2, (8, 8, 8))
    return [folder / "raw" / "dataset.json"]


def _files_of(source):
    return {case.name: [str(file) for file in case.files] for case in source.cases}


def read_raw(folder):
    source = read_source(folder / "raw")
    source.check_meaning()
    return {"labels": dict(source.task.labels), "channels": list(source.task.channels)}


def says_raw(folder):
    plain = _json(folder / "raw" / "dataset.json")
    names = plain.get("channel_names", plain.get("modality"))
    given = plain["labels"]
    if all(key.isdigit() for key in given) and not all(isinstance(name, int) for name in given.values()):
        given = {name: key for key, name in given.items()}  # the Decathlon's way round
    labels = {key: _integer(value) for key, value in given.items()}
    return {"labels": labels, "channels": [str(names[key]) for key in sorted(names, key=int)]}


def _integer(value):
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return int(value) if isinstance(value, str) and value.isdigit() else value


def make_datalist(folder):
    for name in "abc":
        _image(folder / f"{name}.nii.gz")
    training = [
        {"image": f"./{name}.nii.gz", "label": f"./{name}.nii.gz", "fold": i % 2}
        for i, name in enumerate("abc")
    ]
    plain = {
        "name": "x",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "organ": 1},
        "training": training,
        "numTraining": 3,
    }
    (folder / "dataset.json").write_text(json.dumps(plain))
    return [folder / "dataset.json"]


def make_mapped(folder):
    for name in "ab":
        _image(folder / f"{name}.nii.gz")
    cases = {name: {"images": [f"{name}.nii.gz"], "label": f"{name}.nii.gz"} for name in "ab"}
    plain = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}, "dataset": cases}
    (folder / "dataset.json").write_text(json.dumps(plain))
    return [folder / "dataset.json"]


def read_folder(folder):
    source = read_source(folder)
    source.check_meaning()
    inside = all(Path(name).name == name for name in _files_of(source))
    assert inside, "a case whose name leads elsewhere"
    return UNKNOWN


def make_table(folder):
    for name in "abc":
        _image(folder / f"{name}.nii.gz", (VOXELS > 0).astype(np.uint8))
    rows = [
        ["case", "image_0", "label", "group", "split"],
        *([n, f"{n}.nii.gz", f"{n}.nii.gz", "p", "train"] for n in "abc"),
    ]
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return [folder / "table.csv"]


def read_table(folder):
    read_source(only(folder, "table.*")).check_meaning()
    return UNKNOWN


def make_json_table(folder):
    for name in "abc":
        _image(folder / f"{name}.nii.gz")
    cases = [{"case": n, "image_0": f"{n}.nii.gz", "label": f"{n}.nii.gz", "split": "train"} for n in "abc"]
    (folder / "table.json").write_text(
        json.dumps({"cases": cases, "channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1}})
    )
    return [folder / "table.json"]


# --- images


def _volume(folder, pattern):
    volume = read_volume([only(folder, pattern)], "stored")
    return {"voxels": volume.voxels[0]}


def make_nifti(folder, ending=".nii"):
    _image(folder / f"a{ending}")
    return [folder / f"a{ending}"]


def make_mgz(folder):
    nibabel.save(nibabel.MGHImage(VOXELS.transpose(2, 1, 0), np.diag([1, 1.5, 3, 1])), folder / "a.mgz")
    return [folder / "a.mgz"]


def says_nifti(folder, name="a.nii*"):
    found = np.asarray(nibabel.load(only(folder, name)).dataobj)
    found = (
        found.reshape(found.shape[:3] + tuple(n for n in found.shape[3:] if n > 1))
        if found.ndim > 3
        else found
    )
    while found.ndim < 3:
        found = found[..., None]
    return {"voxels": found.transpose(2, 1, 0)}


def _head(path):
    """Text before packed voxels."""
    return re.split(rb"\n\n|LOCAL\n|\x1f\x8b", path.read_bytes(), maxsplit=1)[0]


def _itk(ending, packed=False):
    def make(folder):
        image = SimpleITK.GetImageFromArray(VOXELS)
        image.SetSpacing((1.0, 1.5, 3.0))
        SimpleITK.WriteImage(image, str(folder / f"a{ending}"), useCompression=packed)
        if packed:
            shutil.copyfile(folder / f"a{ending}", folder.parent / f"whole{ending}")
        return sorted(folder.iterdir())

    def says(folder):
        if packed and _head(folder / f"a{ending}") == _head(folder.parent / f"whole{ending}"):
            return {"voxels": VOXELS}  # they have a check sum
        found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / f"a{ending}")))
        return {"voxels": found[None] if found.ndim == 2 else found}

    return FileKind(make, lambda folder: _volume(folder, f"a{ending}"), says)


def _picture(ending, stack=False, compressor=""):
    def make(folder):
        pixels = np.abs(VOXELS).astype(np.uint16) if stack else GREY
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(folder / f"a{ending}"))
        writer.SetUseCompression(True)
        writer.SetCompressor(compressor)
        writer.Execute(SimpleITK.GetImageFromArray(pixels))
        (folder / "a.json").write_text(json.dumps({"spacing": [3, 0.5, 0.25]}))
        return [folder / f"a{ending}", folder / "a.json"]

    def read(folder):
        volume = read_volume([folder / f"a{ending}"], "stored")
        return {"voxels": volume.voxels[0], "spacing": list(volume.frame.spacing)}

    def says(folder):
        with Image.open(folder / f"a{ending}") as picture:
            pages = []
            for number in range(getattr(picture, "n_frames", 1)):
                picture.seek(number)
                pages.append(np.array(picture))
        spacing = _json(folder / "a.json").get("spacing", [1, 1, 1])
        spacing = [1.0, *spacing] if len(spacing) == 2 else spacing
        return {"voxels": np.stack(pages), "spacing": [float(one) for one in spacing]}

    return FileKind(make, read, says)


TIFFS = ("NoCompression", "PackBits", "LZW", "Deflate")


def make_pair(folder):
    np.savez_compressed(folder / "a.npz", x=VOXELS[None], y=(VOXELS > 0).astype(np.uint8))
    place = {
        "spacing": np.array([1.0, 2.0, 3.0]),
        "direction": tuple(np.eye(3).ravel()),
        "origin": [4.0, 5.0, 6.0],
    }
    (folder / "a.pkl").write_bytes(pickle.dumps(place))
    return [folder / "a.npz", folder / "a.pkl"]


def read_pair(folder):
    source = read_source(folder)
    if source.faults:
        raise ValueError(str(source.faults[0]))
    (case,) = source.cases
    volume = case.read_image("stored", ["image"])
    case.read_label("stored", volume)
    return {"voxels": volume.voxels[0], "spacing": list(volume.frame.spacing)}


class _Plain(pickle.Unpickler):
    """Python's own reader, with the names of a plain array and no other."""

    def find_class(self, module, name):
        if module.startswith(("numpy", "_codecs")) and name in (
            "_reconstruct",
            "ndarray",
            "dtype",
            "_frombuffer",
            "encode",
            "scalar",
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(name)


def says_pair(folder):
    plain = _Plain(io.BytesIO((folder / "a.pkl").read_bytes())).load()
    spacing = np.asarray(plain["spacing"], float).ravel()[:3]
    return {"voxels": VOXELS, "spacing": spacing[::-1].tolist()}


def make_pair_pickle(folder):
    make_pair(folder)
    plain = {
        "spacing": [1.0, 2.0, 3.0],
        "direction": [1.0, 0, 0, 0, 1, 0, 0, 0, 1],
        "origin": [4.0, 5.0, 6.0],
        "more": {"a": [1, "b", None]},
    }
    (folder / "a.pkl").write_bytes(pickle.dumps(plain, protocol=4))
    return [folder / "a.pkl"]


def make_dicom(folder):
    made_dicom.save(folder / "series", made_dicom.stack(VOXELS))
    return [sorted((folder / "series").iterdir())[2]]


def read_dicom(folder):
    return {"voxels": read_volume([folder / "series"], "stored").voxels[0]}


def says_dicom(folder):
    """Each slice by the place that it tells; None where a file tells none."""
    slices = [pydicom.dcmread(file) for file in sorted((folder / "series").iterdir())]
    pixels = [
        one.pixel_array * float(getattr(one, "RescaleSlope", 1)) + float(getattr(one, "RescaleIntercept", 0))
        for one in slices
    ]
    normal = made_dicom.normal(slices[0].ImageOrientationPatient)
    along = [float(np.dot(normal, np.array(one.ImagePositionPatient, float))) for one in slices]
    return {"voxels": np.stack([pixels[i] for i in np.argsort(along)])}


def make_segmentation(folder):
    made_dicom.save(folder / "series", made_dicom.stack(VOXELS))
    label = (np.arange(VOXELS.size).reshape(VOXELS.shape) % 3).astype(np.uint8)
    task = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})
    (folder / "objects").mkdir()
    write_segmentation(folder / "objects/a.dcm", label, read_volume([folder / "series"], "stored"), task)
    return [folder / "objects/a.dcm"]


def make_structures(folder):
    slices = made_dicom.stack(VOXELS)
    made_dicom.save(folder / "series", slices)
    square = [(1.0, 1.0), (1.0, 3.0), (4.0, 3.0), (4.0, 1.0)]
    drawn = {"organ": [[(*point, float(z)) for point in square] for z in (1, 2)]}
    made_dicom.save(folder / "objects", [made_dicom.structures(slices, drawn)], "a.dcm")
    return [folder / "objects/a.dcm"]


def make_labelled_series(folder):
    make_structures(folder)
    return [sorted((folder / "series").iterdir())[0]]


def read_labelled(folder):
    """A series and its label, as a folder that is given; nobody else says what damaged objects hold."""
    read_source(folder)
    image = read_volume([folder / "series"], "stored")
    read_label_object(folder / "objects/a.dcm", image, {"organ": 1, "lesion": 2})
    return UNKNOWN


# --- stores


def _store(folder):
    build_store(
        read_source(write_phantoms(folder / "raw", 2, (8, 8, 8))), folder / "store", 1, progress=False
    )
    shutil.rmtree(folder / "raw")
    return folder / "store"


def make_store(folder):
    store = _store(folder)
    return sorted(file for file in store.rglob("*") if file.is_file() and "phantom_001" not in file.parts)


def make_descriptions(folder):
    store = _store(folder)
    return [store / "dataset.json", store / "cases" / "phantom_000" / "case.json"]


def read_store(folder):
    store = CaseStore(folder / "store")
    answer: dict[str, Any] = {"labels": dict(store.task.labels)}
    for name, case in store.cases.items():
        voxels = store.read(name, case.grid.whole)
        answer[name] = {
            "case": [case.grid.spacing, case.group, case.classes, case.start, case.labelled],
            "image": voxels.image, "label": voxels.label,
            "body": voxels.body if voxels.body is not None else 0,
            "statistics": [one.whole.mean for one in store.statistics(name)],
            "sampled": [store.foreground(name, value) for value in case.classes],
        }  # fmt: skip
    return answer


def says_nothing(folder):
    return UNKNOWN


# --- models


def make_checkpoint(folder):
    write_content(folder / "last.ckpt", tiny_models.content())
    return [folder / "last.ckpt"]


def read_checkpoint(folder):
    found = checkpoint.read(folder / "last.ckpt")
    check_resumable(folder / "last.ckpt", None)
    read_weights(folder / "last.ckpt")
    return {
        "weights": dict(found.networks[0].state_dict()),
        "plan": to_spec(found.plan),
        "task": to_spec(found.task),
    }


def make_nnunet(folder):
    names = {"configuration": "3d_fullres"}
    plan = tiny_models.plan(notes=names, orientation="stored")
    export_nnunet(Model([tiny_models.network()], plan, tiny_models.TASK, "x", (0, 1, 2)), folder / "model")
    return [
        folder / "model" / "plans.json",
        folder / "model" / "dataset.json",
        folder / "model" / "fold_0" / "checkpoint_final.pth",
    ]


def make_nnunet_texts(folder):
    return make_nnunet(folder)[:2]


def make_nnunet_weights(folder):
    return make_nnunet(folder)[2:]


def read_nnunet_model(folder):
    found = read_nnunet(folder / "model")
    return {
        "weights": dict(found.networks[0].state_dict()),
        "spacing": list(found.plan.spacing),
        "patch": list(found.plan.patch),
    }


def says_nnunet_texts(folder):
    plans = _json(folder / "model" / "plans.json")["configurations"]["3d_fullres"]
    answer = read_nnunet_model(folder)
    return {**answer, "spacing": plans["spacing"], "patch": plans["patch_size"]}


# --- what came with a first stage, other weights, doubts and pages


def make_volumes(folder):
    store = CaseStore(_store(folder))
    for name, case in store.cases.items():
        write_volume(
            folder / "volumes", store, name, np.arange(np.prod(case.grid.shape)).reshape(case.grid.shape)
        )
    return sorted(
        file for file in (folder / "volumes").rglob("*") if "phantom_001" not in file.parts and file.is_file()
    )


def read_volumes(folder):
    store = CaseStore(folder / "store")
    volumes = CaseVolumes(folder / "volumes", store)
    volumes.check(store.cases)
    return {name: volumes.read(name, case.grid.whole) for name, case in store.cases.items()}


def make_names(folder):
    (folder / "names.yaml").write_text("encoder.*: backbone.*\ndecoder.*.*: up.*.*\nheads.*: null\n")
    return [folder / "names.yaml"]


def make_estimates(folder):
    add_estimates(folder, {"a": {"organ": 0.5, "lesion": None}, "b": {"organ": 1.0, "lesion": 0.0}})
    return [folder / ESTIMATES]


def make_score(folder):
    (folder / "score.json").write_text(
        json.dumps({"overrides": ["seed=1"], "val/dice": 0.5, "val/loss": None})
    )
    return [folder / "score.json"]


def make_cascade(folder):
    plain = {"store": "/a/store", "cases": "x", "overrides of the first stage": ["seed=1"]}
    (folder / CASCADE).write_text(json.dumps(plain))
    return [folder / CASCADE]


def make_encoder(folder):
    return [weight_sources.saved(weight_sources.NNSSL, folder) / "adaptation_plan.json"]


def make_plain_weights(folder):
    save_file(dict(tiny_models.network().state_dict()), folder / "a.safetensors")
    return [folder / "a.safetensors"]


def make_maps(folder):
    volume = read_volume(make_nifti(folder), "stored")
    write_maps(folder / "a.npz", np.linspace(0, 1, 2 * VOXELS.size).reshape(2, *VOXELS.shape), volume)
    return [folder / "a.npz"]


def make_sweep_table(folder):
    rows = [("run", "overrides", "val/dice"), ("0", "seed=0", "0.5"), ("1", "seed=1 a='b c'", "nan")]
    with (folder / SWEEP_TABLE).open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return [folder / SWEEP_TABLE]


def make_scored(folder):
    entry = {"prediction_file": "p/a.nii.gz", "reference_file": "r/a.nii.gz", "metrics": {"1": {"Dice": 0.5}}}
    (folder / "summary.json").write_text(
        json.dumps({"metric_per_case": [entry], "spread": {"groups": {"a": "a"}}})
    )
    return [folder / "summary.json"]


def make_run(folder):
    make_record(folder)
    make_plan(folder)
    lines = [{"epoch": n, "train": 0.5, "val": 0.4, "labels": {"organ": 0.5}, "lr": 0.1} for n in (1, 2)]
    write_epochs(folder, lines)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(payloads.run_config()))
    return [folder / "run.json", folder / EPOCHS, folder / ".hydra" / "config.yaml"]


def make_crossval_page(folder):
    (file,) = make_crossval(folder)
    score = {"labels": {"organ": {"Dice": 0.5, "interval": [0.4, 0.6]}}, "score": 0.5}
    summary = {
        "candidates": {"3d": score},
        "best": "3d",
        "pairs": [],
        "postprocessed": {"3d": {"score": 0.5}},
    }
    file.write_text(json.dumps(_json(file) | {"summary": summary}))
    return [file]


LATER = {
    "page of a run": FileKind(make_run, lambda folder: describe_run(folder) and UNKNOWN, says_nothing),
    "page of a crossval": FileKind(
        make_crossval_page, lambda folder: describe_crossval(folder) and UNKNOWN, says_nothing, JSON
    ),
    "page of a cascade": FileKind(
        make_cascade,
        lambda folder: describe_cascade(folder) and UNKNOWN,
        says_nothing,
        JSON,
    ),
    "volumes of cases": FileKind(make_volumes, read_volumes, None),
    "mapping of names": FileKind(
        make_names,
        lambda folder: dict(read_names(folder / "names.yaml")),
        lambda folder: yaml.safe_load((folder / "names.yaml").read_text()),
        YAML,
    ),
    "estimates": FileKind(make_estimates, read_estimates, lambda folder: _json(folder / ESTIMATES), JSON),
    "score": FileKind(
        make_score,
        lambda folder: read_score(folder / "score.json"),
        lambda folder: _json(folder / "score.json"),
        JSON,
    ),
    "cascade": FileKind(make_cascade, lambda folder: info(folder) and UNKNOWN, says_nothing, JSON),
    "encoder": FileKind(
        make_encoder, lambda folder: read_weights(only(folder, "nnssl")) and UNKNOWN, says_nothing, JSON
    ),
    "safetensors": FileKind(
        make_plain_weights, lambda folder: read_weights(folder / "a.safetensors") and UNKNOWN, says_nothing
    ),
    "maps": FileKind(make_maps, lambda folder: {"maps": read_maps(folder / "a.npz")}, None),
    "table of a sweep": FileKind(
        make_sweep_table, lambda folder: read_sweep_table(folder) and UNKNOWN, says_nothing
    ),
    "summary of a report": FileKind(
        make_scored, lambda folder: read_summary_of_report(folder) and UNKNOWN, says_nothing, JSON
    ),
}

KINDS = LATER | {
    "plan": FileKind(make_plan, read_plan_file, says_plan, YAML),
    "run config": FileKind(
        make_run_config,
        read_run_config,
        lambda folder: yaml.safe_load((folder / "config.yaml").read_text()),
        YAML,
    ),
    "sweep": FileKind(
        make_sweep,
        lambda folder: with_sweep([f"resume={folder}"], [])[0][:-1],
        lambda folder: _json(folder / "sweep.json")["overrides"],
        JSON,
    ),
    "run record": FileKind(make_record, read_record, lambda folder: _json(folder / "run.json"), JSON),
    "crossval": FileKind(make_crossval, read_crossval, says_nothing, JSON),
    "splits": FileKind(make_splits, read_splits, says_splits, JSON),
    "steps": FileKind(
        make_steps, lambda folder: to_spec(read_steps(folder / "steps.yaml").steps), says_steps, YAML
    ),
    "network": FileKind(make_network, read_network, says_nothing, YAML),
    "summary": FileKind(make_summary, read_summary, says_nothing, JSON),
    "raw data set": FileKind(make_raw, read_raw, says_raw, JSON),
    "datalist": FileKind(make_datalist, read_folder, says_nothing, JSON),
    "mapped data set": FileKind(make_mapped, read_folder, says_nothing, JSON),
    "table csv": FileKind(make_table, read_table, says_nothing),
    "table json": FileKind(make_json_table, read_table, says_nothing, JSON),
    "nifti": FileKind(make_nifti, lambda folder: _volume(folder, "a.nii*"), says_nifti),
    "nifti gz": FileKind(
        lambda folder: make_nifti(folder, ".nii.gz"), lambda folder: _volume(folder, "a.nii*"), says_nifti
    ),
    "nrrd": _itk(".nrrd"),
    "nrrd packed": _itk(".nrrd", packed=True),
    "nhdr": _itk(".nhdr"),
    "mha": _itk(".mha"),
    "mha packed": _itk(".mha", packed=True),
    "mhd": _itk(".mhd"),
    "gipl": _itk(".gipl"),
    "gipl gz": _itk(".gipl.gz", packed=True),
    "mgz": FileKind(
        make_mgz, lambda folder: _volume(folder, "a.mgz"), lambda folder: says_nifti(folder, "a.mgz")
    ),
    "png": _picture(".png"),
    "bmp": _picture(".bmp"),
    "jpeg": _picture(".jpg")._replace(says=says_nothing),  # readers patch up damaged ones as they please
    **{f"tiff {way}": _picture(".tif", stack=True, compressor=way) for way in TIFFS},
    "npz and pkl": FileKind(make_pair, read_pair, says_pair),
    "pkl": FileKind(make_pair_pickle, read_pair, says_pair, PICKLE),
    "dicom": FileKind(make_dicom, read_dicom, says_dicom),
    "dicom segmentation": FileKind(make_segmentation, read_labelled, says_nothing),
    "dicom series with a label": FileKind(make_labelled_series, read_labelled, says_nothing),
    "dicom structures": FileKind(make_structures, read_labelled, says_nothing),
    "store": FileKind(make_store, read_store, None),
    "store descriptions": FileKind(make_descriptions, read_store, says_nothing, SEALED_JSON),
    "checkpoint": FileKind(make_checkpoint, read_checkpoint, None),
    "checkpoint entries": FileKind(make_checkpoint, read_checkpoint, says_nothing, TORCH),
    "nnunet checkpoint": FileKind(make_nnunet_weights, read_nnunet_model, None),
    "nnunet checkpoint entries": FileKind(make_nnunet_weights, read_nnunet_model, says_nothing, NNUNET),
    "nnunet plans": FileKind(make_nnunet_texts, read_nnunet_model, says_nnunet_texts, JSON),
}
