"""Descriptions and labels that cannot be what they seem are refused or told when a data set is prepared."""

import json

import nibabel
import numpy as np
import pytest

from ingradient_pl.datasets.sources import SourceError, read_source
from ingradient_pl.store.build import build_store

LABEL = np.zeros((6, 7, 8), np.uint8)
LABEL[2:4, 2:5, 2:6], LABEL[4, 3, 3] = 1, 2
IMAGE = np.arange(1, 337).reshape(6, 7, 8).astype(np.int16)
LABELS = {"background": 0, "a": 1, "b": 2}


def data_set(folder, labels=LABELS, label=LABEL, image=IMAGE, channels=("MR",), **described):
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    for number in range(len(channels)):
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / "imagesTr" / f"a_{number:04d}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), folder / "labelsTr" / "a.nii.gz")
    names = {str(number): name for number, name in enumerate(channels)}
    plain = {
        "channel_names": names,
        "labels": labels,
        "file_ending": ".nii.gz",
        "numTraining": 1,
        **described,
    }
    (folder / "dataset.json").write_text(json.dumps(plain))
    return folder


TOLD = {
    "a label that no case has": ({"labels": {**LABELS, "c": 3}}, r"no case has the label 'c' \(3\)"),
    "ignore in capitals": ({"labels": {"background": 0, "a": 1, "Ignore": 2}}, "'Ignore' is learnt like any"),
    "background as a class": ({"labels": {"Background ": 1, "b": 2}}, "'Background ' is learnt like any"),
    "an image of one value": ({"image": np.full_like(IMAGE, 7)}, "every voxel of channel 0 is 7"),
    "a label that is the image": (
        {"label": (IMAGE % 3).astype(np.uint8), "image": IMAGE % 3},
        "it holds the voxels of the image",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_odd_is_told(tmp_path, name):
    given, words = TOLD[name]
    source = read_source(data_set(tmp_path, **given))
    summary = build_store(source, tmp_path / "store", progress=False)
    assert not summary.faults
    (warning,) = summary.warnings
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(warning)


@pytest.mark.parametrize(
    "labels", [LABELS, {"Background": 0, "a": 1, "b": 2}, {"a": 1, "b": 2}, {"0": "air", "1": "a", "2": "b"}]
)
def test_plain_descriptions_need_no_word(tmp_path, labels):
    summary = build_store(read_source(data_set(tmp_path, labels)), tmp_path / "store", progress=False)
    assert not summary.warnings
    assert len(summary.cases) == 1


@pytest.mark.parametrize("keys", [("1",), ("0", "2"), ("T1", "T2"), ("0", "0_"), ("-1", "0"), ("00", "1")])
def test_channels_are_numbered_from_0_without_gaps(tmp_path, keys):
    folder = data_set(tmp_path, channels=[f"C{key}" for key in keys])
    described = json.loads((folder / "dataset.json").read_text())
    described["channel_names"] = {key: f"C{key}" for key in keys}
    (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(SourceError, match=r"must number channels 0, 1, 2, \.\.\.; got "):
        read_source(folder)
