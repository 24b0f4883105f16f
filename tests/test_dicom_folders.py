"""A folder of DICOM series and the segmentation objects that refer to them is a data set as it is."""

import json
import shutil
from collections import Counter
from pathlib import Path

import made_dicom
import numpy as np
import pydicom
import pytest
from opened_files import count_opens

from ingradient_pl.commands.prepare import prepare
from ingradient_pl.datasets.sources import SourceError, images_only, read_source
from ingradient_pl.images.dicom_seg import write_segmentation
from ingradient_pl.images.formats import ImageError, read_volume
from ingradient_pl.task import Task

pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
TASK = Task(("MR",), {"background": 0, "organ": 1, "small lesion": 2})
LABEL = np.zeros((8, 5, 6), dtype=np.uint8)
LABEL[2:5, 1:3, 2:5] = 1
LABEL[4, 3, 1] = 2
SEG = ("SEG", "object.dcm")


def add_series(folder, patient, name="t2 [a]", **more):
    """Write a series below a patient's folder."""
    uid = pydicom.uid.generate_uid(entropy_srcs=[str(folder), patient, name])
    slices = made_dicom.stack(series=uid, PatientID=patient, SeriesNumber=1, **more)
    return made_dicom.save(folder / patient / "study 1" / name, slices)


def segment(series, label=LABEL, task=TASK, place=SEG):
    """Write the segmentation of a series beside it."""
    volume = read_volume([series], "stored")
    path = series.parent.joinpath(*place)
    write_segmentation(path, label, volume, task)
    return path


def change(path, **values):
    """Write an object again with other entries."""
    made = pydicom.dcmread(path)
    for key, value in values.items():
        setattr(made, key, value)
    made.save_as(path)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two patients with a segmented series each."""
    folder = tmp_path_factory.mktemp("archive") / "scans"
    for patient in ("P 1", "P 2"):
        segment(add_series(folder, patient))
    return folder


@pytest.fixture
def archive(written, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(written, tmp_path / "scans")


@pytest.mark.parametrize("orientation", ["stored", "LPS", "RAS"])
@pytest.mark.parametrize(
    "axes",
    [made_dicom.AXIAL, made_dicom.CORONAL, (0.8, 0.6, 0, -0.6, 0.8, 0)],
    ids=["axial", "coronal", "oblique"],
)
def test_a_label_lies_on_its_series_grid_voxel_for_voxel(tmp_path, axes, orientation):
    label = np.random.default_rng(1).integers(0, 3, LABEL.shape).astype(np.uint8)
    label[[0, 6]] = 0  # slices without a frame of their own
    segment(add_series(tmp_path / "scans", "P1", orientation=axes), label)
    (case,) = read_source(tmp_path / "scans").cases
    volume = case.read_image(orientation, ["MR"])
    read = case.read_label(orientation, volume)
    np.testing.assert_array_equal(volume.source.turn.undo(read.voxels)[0], label)
    np.testing.assert_array_equal(case.read_label(orientation).voxels, read.voxels)


def test_cases_patients_and_labels_are_what_headers_tell(archive):
    segment(add_series(archive, "P 1", "t2 later"), place=("later SEG", "1"))
    add_series(archive, "P 3")
    found = read_source(archive)
    names = ["P 1_t2 [a]", "P 1_t2 later", "P 2"]
    assert [(case.name, case.group) for case in found.cases] == [
        *zip(names, ["P 1", "P 1", "P 2"], strict=True)
    ]
    assert found.task.channels == ("MR",)
    assert found.task.labels == {"background": 0, "organ": 1, "small lesion": 2}
    assert [remark.split(" Series")[0] for remark in found.remarks] == [
        "1 series have no segmentation and are left out: P 3."
    ]
    assert [case.name for case in images_only(archive, TASK).cases] == [*names, "P 3"]


def test_scans_of_one_patient_id_are_of_one_patient_whatever_their_folders_are_called(archive):
    for file in (archive / "P 2").rglob("*"):
        if file.is_file():
            change(file, PatientID="P 1")
    segment(add_series(archive, "Q"))
    assert [case.group for case in read_source(archive).cases] == ["P 1", "P 1", "Q"]


def test_where_everybody_has_one_patient_id_folders_tell(archive):
    for file in archive.rglob("*.dcm"):
        change(file, PatientID="anonymous")
    assert [case.group for case in read_source(archive).cases] == ["P 1", "P 2"]


def break_reference(archive):
    shutil.rmtree(archive / "P 2" / "study 1" / "t2 [a]")


def segment_again(archive):
    segment(archive / "P 2" / "study 1" / "t2 [a]", place=("SEG", "other.dcm"))


def lose_numbers(archive):
    change(archive.joinpath("P 2", "study 1", *SEG), SegmentSequence=[pydicom.Dataset()])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (break_reference, "the series that it refers to is not in the folder"),
        (segment_again, "refers to the same series"),
        (lose_numbers, "the segmentation cannot be read"),
    ],
)
def test_an_object_that_is_no_label_is_named_and_other_cases_stay(archive, harm, words):
    harm(archive)
    found = read_source(archive)
    assert [words in str(fault) for fault in found.faults] == [True]
    assert "P 1" in [case.name for case in found.cases]


def test_segmented_series_of_several_modalities_need_a_table(archive):
    segment(add_series(archive, "Q", Modality="CT"))
    with pytest.raises(SourceError, match=r"several modalities: MR \(2\), CT \(1\). Give a table"):
        read_source(archive)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SegmentationType": "FRACTIONAL"}, "holds probabilities"),
        ({"Rows": 6, "Columns": 5}, "lies on no slice of"),
        ({"PixelData": b"\1\0"}, "cannot be read"),
        ({"SharedFunctionalGroupsSequence": []}, "lies is not told"),
    ],
    ids=str,
)
def test_pixels_that_are_no_label_of_the_series_are_refused(archive, values, words):
    change(archive.joinpath("P 2", "study 1", *SEG), **values)
    case = read_source(archive).cases[1]
    with pytest.raises(ImageError, match=words):
        case.read_label("LPS", case.read_image("LPS", ["MR"]))


def test_segments_that_share_voxels_are_refused(archive):
    regions = Task(("MR",), {"background": 0, "organ": (1, 2), "small lesion": 2}, regions_class_order=(1, 2))
    segment(archive / "P 2" / "study 1" / "t2 [a]", task=regions)
    case = read_source(archive).cases[1]
    with pytest.raises(ImageError, match="'organ' and 'small lesion' share voxels"):
        case.read_label("LPS")


def name_otherwise(path, **entries):
    """Give the segments of an object other entries, a list of one for each."""
    made = pydicom.dcmread(path)
    for key, values in entries.items():
        for one, value in zip(made.SegmentSequence, values, strict=True):
            setattr(one, key, value)
    made.save_as(path)


def coded(meaning):
    return [made_dicom.item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning=meaning)]


OTHERWISE = {"background": 0, "Small  Lesion": 1, "vessel": 2, "organ": 3}


@pytest.mark.parametrize("named", ["labels", "codes"])
@pytest.mark.parametrize("kind", ["folder", "table", "table with labels"])
def test_segments_are_one_label_by_name_whatever_their_numbers(archive, named, kind):
    other = archive / "P 2" / "study 1" / "t2 [a]"
    label = np.array([0, 3, 1], np.uint8)[LABEL]
    label[7, 0, 0] = 2
    path = segment(other, label, Task(("MR",), OTHERWISE))
    if named == "codes":
        meant = [coded(name) for name in list(OTHERWISE)[1:]]
        name_otherwise(path, SegmentLabel=[""] * 3, SegmentedPropertyTypeCodeSequence=meant)
    where = archive
    if kind != "folder":
        where = archive / "table.csv"
        rows = [f"{one},{one}/study 1/t2 [a],{one}/study 1/SEG/object.dcm" for one in ("P 1", "P 2")]
        where.write_text("\n".join(["case,image_0,label", *rows]))
    if kind == "table with labels":
        told = {"labels": {"background": 0, "organ": 1, "small lesion": 2, "vessel": 3}}
        (archive / "dataset.json").write_text(json.dumps(told))
    found = read_source(where)
    assert found.task.labels == {"background": 0, "organ": 1, "small lesion": 2, "vessel": 3}
    assert not found.faults
    expected = np.where(label == 2, 3, LABEL)
    for case, wanted in zip(found.cases, (LABEL, expected), strict=True):
        volume = case.read_image("RAS", ["MR"])
        read = volume.source.turn.undo(case.read_label("RAS", volume).voxels)[0]
        np.testing.assert_array_equal(read, wanted)


def test_a_case_is_prepared_anew_where_its_segments_get_other_integers(archive, tmp_path):
    prepared = prepare(archive, tmp_path / "store", workers=1, progress=False)
    assert prepared.task.labels["organ"] == 1
    segment(add_series(archive, "A"), task=Task(("MR",), {"background": 0, "small lesion": 1, "organ": 2}))
    again = prepare(archive, tmp_path / "store", workers=1, progress=False)
    assert again.task.labels == {"background": 0, "small lesion": 1, "organ": 2}
    held = {name: again.read(name, case.grid.whole).label for name, case in again.cases.items()}
    order = {"A": LABEL, "P 1": np.array([0, 2, 1])[LABEL], "P 2": np.array([0, 2, 1])[LABEL]}
    assert {name: np.bincount(label.ravel()).tolist()[1:] for name, label in held.items()} == {
        name: np.bincount(label.ravel()).tolist()[1:] for name, label in order.items()
    }


def test_a_table_that_names_only_some_segments_is_refused(archive):
    (archive / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "organ": 1}}))
    (archive / "table.csv").write_text("case,image_0,label\nP,P 1/study 1/t2 [a],P 1/study 1/SEG/object.dcm")
    (case,) = read_source(archive / "table.csv").cases
    with pytest.raises(ImageError, match="others not: 'small lesion'"):
        case.read_label("LPS")


def test_where_no_object_is_a_label_each_is_named_with_its_reason(tmp_path):
    series = add_series(tmp_path / "scans", "P 1")
    path = segment(series)
    change(path, SegmentSequence=[])
    with pytest.raises(SourceError, match=rf"no series has a label.*{path.name}: it holds no segment"):
        read_source(tmp_path / "scans")
    for file in series.iterdir():
        change(file, SeriesInstanceUID="1.2.3")
    with pytest.raises(SourceError, match=rf"{path.name}: the series that it refers to is not in the folder"):
        read_source(tmp_path / "scans")


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", b"\x00" * 128 + b"DICM"])
def test_files_that_are_neither_images_nor_labels_are_named(tmp_path, content):
    add_series(tmp_path, "P 1")
    (tmp_path / "P 1" / "object.dcm").write_bytes(content)
    with pytest.raises(SourceError, match=r"neither images nor labels: P 1.object\.dcm\."):
        read_source(tmp_path)


def test_a_name_that_cannot_be_printed_is_named_with_its_file(tmp_path):
    path = segment(add_series(tmp_path / "scans", "P 1"))
    name_otherwise(path, SegmentLabel=["organ\x07", "lesion"])
    with pytest.raises(SourceError, match=rf"{path.name}: .*control character"):
        read_source(tmp_path / "scans")


@pytest.mark.parametrize("drawn", [False, True], ids=["SEG", "RTSTRUCT"])
@pytest.mark.parametrize("end", [".dcm", ""], ids=["named", "by its letters"])
def test_a_file_is_opened_once_for_each_thing_that_is_asked_of_it(tmp_path, drawn, end):
    """A slice: its class, its stamp, its header; of the first one, its series. ITK reads pixels by itself."""
    scans = tmp_path / "scans"
    series = add_series(scans, "P1")
    if drawn:
        square = [[(1, 1, z), (4, 1, z), (4, 3, z), (1, 3, z)] for z in (1, 2, 3)]
        slices = [pydicom.dcmread(file) for file in sorted(series.iterdir())]
        made_dicom.save(scans / "P1" / "RS", [made_dicom.structures(slices, {"organ": square})], "object.dcm")
    else:
        segment(series)
    for file in list(scans.rglob("*.dcm")):
        file.rename(file.with_suffix(end))
    with count_opens(scans) as opened:
        prepare(str(scans), str(tmp_path / "store"), workers=1)
    counts = {Path(name).stem: count for name, count in opened.items()}
    label, first = counts.pop("object"), counts.pop("IM0000")
    assert label == (4 if drawn else 5)  # class, names, stamp, all of its header; bits of a segmentation
    assert first == 4 + drawn + (drawn and not end)  # structures are of the frame of reference that it tells
    assert set(counts.values()) == {3}
    with count_opens(scans) as opened:
        prepare(str(scans), str(tmp_path / "store"), workers=1)
    again = Counter(opened.values())
    assert again == {2: 7, 3: 2}  # no header but that of the first slice, and the names of segments
