"""Data sets as people have them, a folder a patient: found by patterns in dataset.json."""

import json

import numpy as np
import pytest
from overlapping_labels import NAMES, image_of, masks_of, save

import ingradient_pl as ip
from ingradient_pl.datasets.sources import SourceError, images_only, read_source
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import find_labels

CASES = ("x_001", "x_002")


def integers_of(masks):
    return sum(mask.astype(np.uint8) * (bit + 1) for bit, mask in enumerate(masks.values()))


def write_brats(folder, case, masks, label):
    for channel in ("flair", "t1"):
        save(folder / case / f"{case}_{channel}.nii", image_of(masks))
    if label:
        save(folder / case / f"{case}_seg.nii", integers_of(masks))


def write_grades(folder, case, masks, label):
    write_brats(folder / ("HGG" if case == CASES[0] else "LGG"), case, masks, label)


def write_kits(folder, case, masks, label):
    save(folder / case / "imaging.nii.gz", image_of(masks))
    if label:
        save(folder / case / "segmentation.nii.gz", integers_of(masks))


def write_total(folder, case, masks, label):
    save(folder / case / "ct.nii.gz", image_of(masks))
    for name, mask in masks.items() if label else ():
        save(folder / case / "segmentations" / f"{name}.nii.gz", mask.astype(np.uint8))


def write_apart(folder, case, masks, label):
    save(folder / "volumes" / f"ct-{case}.nrrd", image_of(masks))
    if label:
        save(folder / "masks" / case / "all.nrrd", integers_of(masks))


def write_below(folder, case, masks, label):
    save(folder / "imagesTr" / case / "ct.nii.gz", image_of(masks))
    for name, mask in masks.items() if label else ():
        save(folder / "labelsTr" / case / f"{name}.nii.gz", mask.astype(np.uint8))


INTEGERS = {"background": 0, **{name: value for value, name in enumerate("abcdef", 1)}}
TWO = {"channel_names": {"0": "flair", "1": "t1"}, "labels": INTEGERS}
ONE = {"channel_names": {"0": "CT"}, "labels": INTEGERS}
LAYOUTS = {
    "BraTS": (
        write_brats,
        {**TWO, "image_files": "{case}/{case}_{channel}.nii", "label_file": "{case}/{case}_seg.nii"},
    ),
    "BraTS by channel": (
        write_brats,
        {
            **TWO,
            "image_files": {"flair": "{case}/{case}_flair.nii", "t1": "{case}/{case}_t1.nii"},
            "label_file": "./{case}/{case}_seg",
        },
    ),
    "BraTS by grade": (
        write_grades,
        {**TWO, "image_files": "*/{case}/{case}_{channel}.nii", "label_file": "*/{case}/{case}_seg.nii"},
    ),
    "KiTS": (
        write_kits,
        {**ONE, "image_files": "{case}/imaging.nii.gz", "label_file": "{case}/segmentation.nii.gz"},
    ),
    "TotalSegmentator": (
        write_total,
        {
            "channel_names": {"0": "CT"},
            "image_files": "{case}/ct.nii.gz",
            "label_files": "{case}/segmentations/{label}.nii.gz",
        },
    ),
    "folders by kind": (
        write_apart,
        {**ONE, "image_files": "volumes/ct-{case}.nrrd", "label_file": "masks/{case}/all.nrrd"},
    ),
    "masks in labelsTr": (
        write_below,
        {
            "channel_names": {"0": "CT"},
            "image_files": "imagesTr/{case}/ct.nii.gz",
            "label_files": "labelsTr/{case}/{label}.nii.gz",
            "labels": list(NAMES),
        },
    ),
}


def make(folder, name):
    write, described = LAYOUTS[name]
    for number, case in enumerate((*CASES, "x_003")):
        write(folder, case, masks_of(number), case in CASES)
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_for_each_patient_is_read_by_patterns(tmp_path, name):
    folder = make(tmp_path / "as [people] have it", name)
    source = read_source(folder)
    assert not source.faults
    assert [case.name for case in source.cases] == list(CASES)
    assert source.remarks == ("Left out, without a label file: x_003 (1 of 3 cases).",)
    build_store(source, tmp_path / "store", progress=False)
    store = CaseStore(tmp_path / "store")
    assert list(store.cases) == list(CASES)
    foreground = store.task.foreground
    masks = masks_of(1)
    if store.task.overlap is None:
        wanted = integers_of(masks)
        found = store.read(CASES[1], ip.Box((0, 0, 0), wanted.shape)).label
        turned = ip.CaseStore(tmp_path / "store").cases[CASES[1]]
        assert {int(one) for one in np.unique(found)} == {int(one) for one in np.unique(wanted)}
        assert turned.voxels[1] == int((wanted == 1).sum())
    else:
        assert sorted(foreground) == sorted(NAMES)
        held = store.cases[CASES[1]].voxels
        for label, mask in masks.items():
            assert sum(held.get(value, 0) for value in foreground[label]) == int(mask.sum())
    assert [case.name for case in images_only(folder, store.task).cases] == [*CASES, "x_003"]
    assert sorted(find_labels(folder)) == list(CASES)


FAULTS = {
    "no pattern": ({"image_files": "{case}/{case}_x.nii", "label_file": "{case}/s.nii"}, "no file is named"),
    "no case": (
        {"image_files": "flair.nii", "label_file": "{case}/s.nii"},
        "pattern of names in this folder",
    ),
    "outside": ({"image_files": "../{case}.nii", "label_file": "{case}/s.nii"}, "pattern of names"),
    "no label": ({"image_files": "{case}/{case}_{channel}.nii"}, "nothing where labels are: 'label_file'"),
    "other channels": ({"image_files": {"2": "{case}.nii"}, "label_file": "{case}/s.nii"}, "flair, t1"),
    "no label file": (
        {"image_files": "{case}/{case}_{channel}.nii", "label_file": "{case}/{case}_Seg.nii"},
        "no case in it",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_patterns_that_fit_nothing_are_named(tmp_path, name):
    changes, message = FAULTS[name]
    folder = make(tmp_path, "BraTS")
    (folder / "dataset.json").write_text(json.dumps({**TWO, **changes}))
    with pytest.raises(SourceError, match=message):
        read_source(folder)


def test_a_patient_without_a_channel_is_named(tmp_path):
    folder = make(tmp_path, "BraTS")
    (folder / CASES[0] / f"{CASES[0]}_t1.nii").unlink()
    (fault,) = read_source(folder).faults
    assert (fault.case, fault.file) == (CASES[0], folder / CASES[0] / f"{CASES[0]}_t1.nii")
    assert "channel 't1' is missing" in fault.reason


@pytest.mark.parametrize("name", ["BraTS", "KiTS", "TotalSegmentator"])
def test_a_folder_for_each_patient_without_a_description_is_told_which_to_write(tmp_path, name):
    folder = make(tmp_path, name)
    (folder / "dataset.json").unlink()
    with pytest.raises(SourceError, match=r"a folder for each case: write dataset\.json") as caught:
        read_source(folder)
    text = str(caught.value)
    proposed = json.loads(text[text.index('{"channel_names"') : text.rindex("}") + 1])
    if "labels" in proposed:
        proposed["labels"] = INTEGERS
    (folder / "dataset.json").write_text(json.dumps(proposed))
    assert [case.name for case in read_source(folder).cases] == list(CASES)


NAMED_ALIKE = {
    "two folders": ("Images/{case}.nii.gz", "Masks/{case}_mask.nii.gz"),
    "one folder": ("{case}.nii", "{case}_seg.nii"),
    "one folder, both told": ("{case}_image.nrrd", "{case}-label.nrrd"),
    "nnU-Net's without its description": ("imagesTr/{case}_0000.nii.gz", "labelsTr/{case}.nii.gz"),
    "a beginning each": ("img/img{case}.nii.gz", "gt/label{case}.nii.gz"),
    "two channels": ("scans/{case}_t1.nii.gz", "scans/{case}_t2.nii.gz", "segmentations/{case}.nii.gz"),
    "a level below": ("train/images/{case}.nii.gz", "train/labels/{case}.nii.gz"),
}


@pytest.mark.parametrize("names", [("x_001", "x_010", "x_011"), ("Müller, Anna", "O'Neil (2)")], ids=str)
@pytest.mark.parametrize("layout", NAMED_ALIKE)
def test_images_and_labels_of_like_names_are_told_what_to_write(tmp_path, layout, names):
    *images, label = NAMED_ALIKE[layout]
    for case in names:
        masks = masks_of(1)
        for pattern in images:
            save(tmp_path / pattern.format(case=case), image_of(masks))
        save(tmp_path / label.format(case=case), integers_of(masks))
    with pytest.raises(SourceError, match=r"of the same names: write dataset\.json") as caught:
        read_source(tmp_path)
    text = str(caught.value)
    proposed = json.loads(text[text.index('{"channel_names"') : text.rindex("}") + 1])
    (tmp_path / "dataset.json").write_text(json.dumps({**proposed, "labels": INTEGERS}))
    cases = {case.name: case for case in read_source(tmp_path).cases}
    assert [case.label.name for case in cases.values()] == [
        label.rpartition("/")[2].format(case=case) for case in sorted(names)
    ]
    assert all(len(case.images) == len(images) for case in cases.values())
    assert len(images_only(tmp_path, read_source(tmp_path).task).cases) == len(names)


@pytest.mark.parametrize(
    "files",
    [("a.nii", "b.nii"), ("Images/a.nii", "Masks/b.nii"), ("Masks/a.nii", "Masks/b.nii")],
    ids=["no labels", "other names", "labels alone"],
)
def test_nothing_is_proposed_where_names_tell_nothing(tmp_path, files):
    for file in files:
        save(tmp_path / file, image_of(masks_of(1)))
    with pytest.raises(SourceError, match="no known data set") as caught:
        read_source(tmp_path)
    assert "write dataset.json" not in str(caught.value)


def test_prediction_from_a_folder_for_each_case_is_told_what_to_write(tmp_path):
    task = read_source(make(tmp_path, "BraTS")).task
    folder = make(tmp_path / "new", "BraTS")
    (folder / "dataset.json").unlink()
    with pytest.raises(SourceError, match=r"image files lie in folders.*write dataset\.json") as caught:
        images_only(folder, task)
    assert '"{case}/{case}_t1.nii"' in str(caught.value)
