"""One image under two names is told: it would train and validate at once."""

import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK
from made_raw import AFFINE, image, label, raw_data, save

import ingradient_pl as ip
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.copies import describe_leaks, find_copies

IMAGE = "imagesTr/case{}_0000.nii.gz"


def prepared(raw):
    build_store(read_source(raw), raw / "store", progress=False)
    return CaseStore(raw / "store")


def as_file(raw):
    shutil.copy(raw / IMAGE.format(0), raw / IMAGE.format(1))


def with_slope(raw):
    made = nibabel.Nifti1Image(image(0), AFFINE)
    made.header.set_slope_inter(0.5, 3)
    made.to_filename(raw / IMAGE.format(1))


def by_simpleitk(raw):
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(raw / IMAGE.format(0))), str(raw / IMAGE.format(1)))


COPIES = {
    "the same file": as_file,
    "written anew": by_simpleitk,
    "floats": lambda raw: save(raw / IMAGE.format(1), image(0).astype(np.float32)),
    "mirrored": lambda raw: save(raw / IMAGE.format(1), image(0)[::-1].copy()),
    "turned": lambda raw: save(raw / IMAGE.format(1), np.rot90(image(0), 2, (0, 1)).copy()),
    "another spacing": lambda raw: save(raw / IMAGE.format(1), image(0), np.diag([1, 1, 3, 1.0])),
    "scaled to 0 and 1": lambda raw: save(raw / IMAGE.format(1), (image(0) / 300).astype(np.float32)),
    "another slope": with_slope,
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_an_image_is_told_when_prepared(tmp_path, name):
    raw = raw_data(tmp_path)
    COPIES[name](raw)
    save(raw / "labelsTr/case1.nii.gz", label(1), nibabel.load(raw / IMAGE.format(1)).affine)
    summary = build_store(read_source(raw), raw / "store", progress=False)
    assert not summary.faults
    (warning,) = summary.warnings
    assert "case0, case1 hold one and the same image, with labels that differ" in warning
    assert "one may train and another validate" in warning
    assert find_copies(CaseStore(raw / "store"), ["case0", "case1", "case2"]) == [["case0", "case1"]]


def test_what_is_alike_by_chance_or_a_patient_of_several_scans_is_not_told(tmp_path):
    raw = raw_data(tmp_path)
    for case in (0, 1):  # masks of one size, empty labels
        flat = np.ones(image().shape, np.int16)
        flat[case : case + 3] = 5
        save(raw / IMAGE.format(case), flat)
        save(raw / f"labelsTr/case{case}.nii.gz", np.zeros(image().shape, np.uint8))
    assert not any(
        "one and the same" in text
        for text in build_store(read_source(raw), raw / "store", progress=False).warnings
    )


def test_one_label_of_two_images_is_told_unless_they_are_of_one_patient(tmp_path):
    raw = raw_data(tmp_path)
    shutil.copy(raw / "labelsTr/case0.nii.gz", raw / "labelsTr/case2.nii.gz")
    (warning,) = build_store(read_source(raw), raw / "store", progress=False).warnings
    assert "case0, case2 hold one and the same label, though their images differ" in warning
    rows = [f"c{n},{IMAGE.format(n)},labelsTr/case{n}.nii.gz,{'a' if n != 1 else 'b'}" for n in range(3)]
    (raw / "table.csv").write_text("\n".join(["case,image_0,label,group", *rows]))
    assert not build_store(read_source(raw / "table.csv"), tmp_path / "other", progress=False).warnings


def test_planning_and_training_say_that_a_copy_would_validate(tmp_path, capsys):
    raw = raw_data(tmp_path, 4)
    as_file(raw)
    store = prepared(raw)
    ip.plan(store)
    assert "Note: case0, case1 hold one and the same image" in capsys.readouterr().out
    (told,) = describe_leaks(store, ["case1", "case2"], ["case0", "case3"])
    assert "case0 validate and case1 train, and they hold one and the same image" in told
    assert not describe_leaks(store, ["case0", "case1"], ["case2", "case3"])
    assert not describe_leaks(store, ["case0", "case1"], ["case0", "case1"])  # all train and validate
