"""Images, descriptions and spacings that are read and yet cannot be meant are told by `prepare`."""

import re

import numpy as np
import pytest
from made_raw import image, label, raw_data, save

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store.build import build_store

HU = (image(0).astype(np.int16) * 8 - 1000).astype(np.int16)


def blank(*planes):
    made = image(0).copy()
    made[:, :, list(planes)] = 7
    return made


TOLD = {
    "a CT from 0 to 1": (("CT",), HU / 1000 + 1, "run from .*not Hounsfield units. Was it scaled"),
    "a CT without its offset": (("CT",), HU + 1024, "none below 0.*intercept of -1024"),
    "a CT whose air is bright": ((" ct",), HU.astype(np.uint16), "saved as unsigned"),
    "a slice lost": (("MR",), blank(3), r"1 slice\(s\) of channel 0 between others.*\(slice 3"),
    "two slices lost": (("MR",), blank(3, 4), r"2 slice\(s\) of channel 0 .*\(slice 3, 4"),
    "slices lost apart": (("MR",), blank(1, 5), r"2 slice\(s\)"),
}
FINE = {
    "a CT": (("CT",), HU),
    "a CT by another name": (("attenuation",), HU + 1024),
    "blank ends": (("MR",), blank(0, 1, 7)),
    "a gap between two legs": (("MR",), blank(2, 3, 4, 5)),
}


def warnings_of(folder):
    summary = build_store(read_source(folder), folder / "store", progress=False)
    assert not summary.faults
    return summary.warnings


def with_image(folder, channels, voxels):
    raw = raw_data(folder, 1, channels)
    save(raw / "imagesTr/case0_0000.nii.gz", np.asarray(voxels, getattr(voxels, "dtype", None)))
    return raw


@pytest.mark.parametrize("name", TOLD)
def test_voxels_that_cannot_be_meant_are_told(tmp_path, name):
    channels, voxels, words = TOLD[name]
    voxels = voxels.astype(np.float32) if voxels.dtype == np.float64 else voxels
    (warning,) = warnings_of(with_image(tmp_path, channels, voxels))
    assert re.search(words, warning)
    assert "case0_0000.nii.gz" in warning


@pytest.mark.parametrize("name", FINE)
def test_voxels_that_can_be_meant_are_not(tmp_path, name):
    assert not warnings_of(with_image(tmp_path, *FINE[name]))


def test_two_channels_of_one_file_are_told(tmp_path):
    raw = raw_data(tmp_path, 1, ("T1", "T2", "FLAIR"))
    save(raw / "imagesTr/case0_0002.nii.gz", image(0))
    (warning,) = warnings_of(raw)
    assert "case0_0002.nii.gz: channel 2 holds the same voxels as channel 0" in warning


@pytest.mark.parametrize(
    ("channels", "labels", "words"),
    [
        (("MR",), {"liver": 0, "organ": 1}, "'liver' is 0, which is the background"),
        (("MR",), {"background": 0, "organ": 1, "Organ ": 2}, "'organ', 'Organ ' differ in blanks"),
        (("CT abdomen",), {"organ": 1}, "'CT abdomen' is normalised by each case's own mean"),
        (("CBCT",), {"organ": 1}, "'CBCT' is normalised"),
        (("contrast",), {"Clear  label": 0, "organ": 1}, None),
        (("T1_CTL",), {"unlabelled tissue": 0, "organ": 1}, None),
    ],
)
def test_names_that_mean_something_else_are_told(tmp_path, channels, labels, words):
    found = [
        text for text in warnings_of(raw_data(tmp_path, 1, channels, labels=labels)) if "no case" not in text
    ]
    if words is None:
        assert not [text for text in found if "background" in text]
    else:
        assert any(words in text for text in found), found


@pytest.mark.parametrize("other", ["p1", "P\u200b 1", "P\xa01", "\ufeffP 1"])
def test_patients_written_in_two_ways_are_told(tmp_path, other):
    raw = raw_data(tmp_path)
    names = ["P 1", other, "P2"]
    rows = [f"c{n},imagesTr/case{n}_0000.nii.gz,labelsTr/case{n}.nii.gz,{names[n]}" for n in range(3)]
    (raw / "table.csv").write_text("\n".join(["case,image_0,label,group", *rows]))
    (warning,) = build_store(read_source(raw / "table.csv"), tmp_path / "store", progress=False).warnings
    assert f"the patients 'P 1', {other!r} differ in blanks, capitals or unseen letters alone" in warning


def test_a_spacing_that_only_one_case_lost_is_told(tmp_path):
    raw = raw_data(tmp_path, 4)
    for case in range(4):
        affine = np.eye(4) if case == 2 else np.diag([0.5, 0.5, 5, 1])
        save(raw / f"imagesTr/case{case}_0000.nii.gz", image(case), affine)
        save(raw / f"labelsTr/case{case}.nii.gz", label(case), affine)
    (warning,) = warnings_of(raw)
    assert (
        "1 of 4 cases have voxels of exactly 1 x 1 x 1 mm (case2), where the median is 5 x 0.5 x 0.5"
        in warning
    )


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((0, 1, 2), "gives no size along axis 1; 1 was taken"),
        ((1, float("nan"), 2), "gives no size along axis 2"),
        ((1e9, 1, 2), "its voxels are 2 x 1 x 1e"),
        ((1, 1, 1e-8), "its voxels are 1e-08 x 1 x 1 mm"),
    ],
)
def test_a_voxel_size_that_cannot_be_is_told(tmp_path, sizes, words):
    raw = raw_data(tmp_path, 1)
    for file in (raw / "imagesTr/case0_0000.nii.gz", raw / "labelsTr/case0.nii.gz"):
        plain = save(file.parent.parent / "plain.nii", image(0) if "images" in str(file) else label(0), None)
        content = bytearray(plain.read_bytes())
        content[80:92] = np.array(sizes, "<f4").tobytes()
        content[252:256] = bytes(4)  # neither qform nor sform
        plain.write_bytes(content)
        file.with_suffix("").write_bytes(content)
        file.unlink()
    described = (raw / "dataset.json").read_text().replace(".nii.gz", ".nii")
    (raw / "dataset.json").write_text(described)
    found = warnings_of(raw)
    assert len([text for text in found if words in text]) == len(found) == 2  # image and label
