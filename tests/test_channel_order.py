"""A source that has a model's channels in another order is read by their names, of whatever kind it is."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import nibabel
import numpy as np
import pytest

from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.source_channels import order_channels
from ingradient_pl.datasets.sources import SourceError, images_only, read_source
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference.case_pipeline import read_case
from ingradient_pl.store.build import build_store
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.task import Task

CHANNELS = ("T1", "T2", "FLAIR")
ORDERS = [order for order in permutations(range(3)) if order != (0, 1, 2)]


@pytest.fixture(scope="module")
def task_and_sources(tmp_path_factory):
    """One case of three channels, as files of a channel each, a store, a table, and a file of all."""
    folder = tmp_path_factory.mktemp("order [of] channels")
    raw = write_phantoms(folder / "raw", 1, (6, 8, 10), channels=3)
    described = json.loads((raw / "dataset.json").read_text())
    named = {str(number): name for number, name in enumerate(CHANNELS)}
    (raw / "dataset.json").write_text(json.dumps({**described, "channel_names": named}))
    source = read_source(raw)
    build_store(source, folder / "store", progress=False)
    (case,) = source.cases
    columns, files = (f"image_{name}" for name in CHANNELS), map(str, case.images)
    (raw / "table.csv").write_text(f"case,{','.join(columns)}\na,{','.join(files)}\n")
    images = [nibabel.load(file) for file in case.images]
    (folder / "listed" / "imagesTr").mkdir(parents=True)
    together = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    nibabel.save(nibabel.Nifti1Image(together, images[0].affine), folder / "listed/imagesTr/a.nii.gz")
    (folder / "listed" / "dataset.json").write_text(
        json.dumps(
            {"modality": named, "labels": {"0": "background", "1": "organ"}, "numTraining": 1}
            | {"training": [{"image": "./imagesTr/a.nii.gz", "label": str(case.label)}]}
        )
    )
    kinds = {"raw": raw, "store": folder / "store", "table": raw / "table.csv", "file": folder / "listed"}
    return source.task, kinds, read_volume(case.images, "stored").voxels


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["raw", "store", "table", "file"])
def test_each_channel_is_taken_by_its_name(task_and_sources, kind, order):
    task, sources, voxels = task_and_sources
    wanted = replace(task, channels=tuple(CHANNELS[number] for number in order))
    path = sources[kind]
    found = stored_cases(path, wanted) if kind == "store" else images_only(path, wanted)
    assert str(path) in found.remarks[-1]
    assert "each is taken by its name" in found.remarks[-1]
    (case,) = found.cases
    assert (read_case(case, wanted, "stored").voxels == voxels[list(order)]).all()


def test_names_differ_in_capitals_and_blanks_and_are_the_same():
    assert order_channels(Path("a"), ("t2 ", "FLAIR", "t1"), Task(CHANNELS, {"a": 1})) == (2, 0, 1)


@pytest.mark.parametrize("named", [CHANNELS, ("T1", "T2"), ("CT",), ("a", "b", "c"), ()])
def test_channels_in_order_or_of_other_names_are_taken_as_they_stand(named):
    assert order_channels(Path("a"), named, Task(CHANNELS, {"a": 1})) == ()


def test_names_that_are_there_twice_leave_the_order_open():
    with pytest.raises(SourceError, match=r"here: its channels are CT, MR, CT.*wants them as CT, CT, MR"):
        order_channels(Path("here"), ("CT", "MR", "CT"), Task(("CT", "CT", "MR"), {"a": 1}))
