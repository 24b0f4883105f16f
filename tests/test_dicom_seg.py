"""A segmentation of a DICOM series lies, as a DICOM SEG object, where its voxels lie in the patient."""

import sys
import warnings

import numpy as np
import pytest
import SimpleITK
from oracles import Oracle, plan

from ingradient_pl.datasets.phantom import ball
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.images.dicom_seg import check_installed, write_segmentation
from ingradient_pl.images.formats import ImageError, read_volume
from ingradient_pl.images.packed_masks import pack_integers
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predict_cases import save_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 3, "nowhere": 4})
SPACING = (2.0, 1.5, 1.0)


def series(folder, shape=(6, 12, 10), direction=(1, 0, 0, 0, 1, 0)):
    """A series of single slices, the last acquired lowest, with what the standard asks of one."""
    image, label = ball(shape, SPACING, radius_mm=4)
    folder.mkdir(parents=True)
    normal = np.cross(direction[:3], direction[3:])
    for number, plane in enumerate(image[0]):
        slice_ = SimpleITK.GetImageFromArray((plane[None] + 1).astype(np.int16))
        place = np.array([10.0, -20.0, 30.0]) + normal * number * SPACING[0]
        for tag, value in {
            "0008|0005": "ISO_IR 192",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"1.2.3.4.{number + 1}",
            "0008|0020": "20260101",
            "0008|0030": "120000",
            "0008|0060": "MR",
            "0010|0010": "Phantom",
            "0010|0020": "P1",
            "0020|000d": "1.2.3",
            "0020|000e": "1.2.3.4",
            "0020|0010": "1",
            "0020|0011": "1",
            "0020|0013": str(shape[0] - number),
            "0020|0032": "\\".join(f"{part:.6f}" for part in place),
            "0020|0037": "\\".join(map(str, direction)),
            "0020|0052": "1.2.3.5",
            "0018|0050": str(SPACING[0]),
        }.items():
            slice_.SetMetaData(tag, value)
        slice_.SetSpacing(SPACING[::-1])
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{shape[0] - number}.dcm"))
        writer.Execute(slice_)
    return label


def labelled(shape):
    label = np.zeros(shape, dtype=np.uint8)
    z, y, x = (edge // 2 for edge in shape)
    label[1 : z + 1, 2:y, 1:x] = 1
    label[z, y : y + 2, x:] = 3
    return label


def read_back(path):
    """The object's integers, and where (x, y, z in mm) each voxel lies, by highdicom's own reading."""
    highdicom = pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    found = highdicom.seg.segread(path)
    volume = found.get_volume(combine_segments=True)
    return found, np.asarray(volume.array), np.asarray(volume.affine)


def check(path, label, volume, numbers):
    """Each voxel, carried into the patient by our frame and back by the object's, meets its own number."""
    found, voxels, affine = read_back(path)
    for value, number in numbers.items():
        at = np.argwhere(label == value)
        places = at[:, ::-1] @ volume.frame.affine[:3, :3].T + volume.frame.affine[:3, 3]
        there = (places - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
        np.testing.assert_allclose(there, np.rint(there), atol=0.05)
        assert (voxels[tuple(np.rint(there).astype(int).T)] == number).all()
        assert (voxels == number).sum() == len(at) > 0
    return found


@pytest.mark.slow
@pytest.mark.parametrize("orientation", ["LPS", "stored", "RAS"])
@pytest.mark.parametrize(
    "direction", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (0.8, 0.6, 0, -0.6, 0.8, 0)], ids=str
)
def test_each_voxel_lies_where_it_was_found_under_its_name(tmp_path, direction, orientation):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    series(tmp_path / "series", direction=direction)
    volume = read_volume([tmp_path / "series"], orientation)
    label = labelled(volume.voxels.shape[1:])
    write_segmentation(tmp_path / "out" / "case.dcm", label, volume, TASK)
    found = check(tmp_path / "out" / "case.dcm", label, volume, {1: 1, 3: 2})
    assert [found.get_segment_description(i).segment_label for i in (1, 2, 3)] == [
        "organ",
        "lesion",
        "nowhere",
    ]
    assert found.PatientID == "P1"
    assert found.FrameOfReferenceUID == "1.2.3.5"
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["case.dcm"]


HOSTILE = ["a\\b", "..\\..\\x", "x" * 65, "x" * 2000, "\\", "患者", " a", "=1+1", "<script>", "a^b"]


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:12]))
def test_each_segment_has_one_name_of_its_own_whatever_labels_are_called(tmp_path, name):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    series(tmp_path / "series")
    volume = read_volume([tmp_path / "series"])
    task = Task(("MR",), {"background": 0, name: 1, f"{name} too": 3}, name=name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_segmentation(tmp_path / "case.dcm", labelled(volume.voxels.shape[1:]), volume, task)
    found = read_back(tmp_path / "case.dcm")[0]
    names = [found.get_segment_description(i).segment_label for i in (1, 2)]
    assert all(isinstance(one, str) and 0 < len(one) <= 64 and "\\" not in one for one in names)
    assert names[0] != names[1]
    if name in ("患者", "=1+1", "<script>", "a^b"):
        assert names == [name, f"{name} too"]


@pytest.mark.slow
def test_regions_may_overlap(tmp_path):
    highdicom = pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    series(tmp_path / "series")
    volume = read_volume([tmp_path / "series"])
    label = labelled(volume.voxels.shape[1:])
    task = Task(("MR",), {"background": 0, "whole": (1, 3), "core": 3}, (1, 3))
    write_segmentation(tmp_path / "case.dcm", label, volume, task)
    masks = highdicom.seg.segread(tmp_path / "case.dcm").get_volume().array
    assert masks[..., 0].sum() == (label > 0).sum()
    assert masks[..., 1].sum() == (label == 3).sum()


def test_labels_that_overlap_are_segments_that_do(tmp_path):
    highdicom = pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    series(tmp_path / "series")
    volume = read_volume([tmp_path / "series"])
    label = labelled(volume.voxels.shape[1:])
    packed = pack_integers(label, [(1, 3), (3,), ()])
    task = Task(("MR",), {"organ": (1, 3), "lesion": (2, 3), "nowhere": (4,)}, overlap={})
    write_segmentation(tmp_path / "case.dcm", packed, volume, task)
    masks = highdicom.seg.segread(tmp_path / "case.dcm").get_volume().array
    assert [int(masks[..., at].sum()) for at in range(3)] == [(label > 0).sum(), (label == 3).sum(), 0]


def test_a_segmentation_of_nothing_is_written_too(tmp_path):
    highdicom = pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    series(tmp_path / "series")
    volume = read_volume([tmp_path / "series"])
    write_segmentation(tmp_path / "case.dcm", np.zeros((6, 12, 10), np.uint8), volume, TASK)
    assert not highdicom.seg.segread(tmp_path / "case.dcm").pixel_array.any()


def test_what_cannot_become_one_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    series(tmp_path / "series")
    volume = read_volume([tmp_path / "series"])
    label = np.zeros((6, 12, 10), np.uint8)
    with pytest.raises(ImageError, match=r"shape \(2, 2, 2\)"):
        write_segmentation(tmp_path / "case.dcm", label[:2, :2, :2], volume, TASK)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(label), str(tmp_path / "image.nii.gz"))
    with pytest.raises(ImageError, match="is not a DICOM series"):
        write_segmentation(tmp_path / "case.dcm", label, read_volume([tmp_path / "image.nii.gz"]), TASK)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ImageError, match=r"ingradient_pl\[dicom\]"):
        check_installed()
    with pytest.raises(ImageError, match=r"ingradient_pl\[dicom\]"):
        write_segmentation(tmp_path / "case.dcm", label, volume, TASK)
    assert not list(tmp_path.glob("*.dcm"))


@pytest.mark.slow
def test_a_predicted_series_is_nifti_or_dicom_as_asked(tmp_path):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    truth = series(tmp_path / "series", shape=(12, 20, 18))
    task = Task(("CT",), {"background": 0, "ball": 1})
    made = plan((16, 16, 16), spacing=(1.5, 1.5, 1.5))
    predictor = Predictor(Model([Oracle()], made, task, "test", ()))
    case = CaseFiles("series", (tmp_path / "series",), None, "series")
    assert save_cases(predictor, [case], tmp_path / "out").written == [tmp_path / "out" / "series.nii.gz"]
    written = save_cases(predictor, [case], tmp_path / "out", dicom=True).written
    assert written == [tmp_path / "out" / "series.dcm"]
    _, voxels, _ = read_back(written[0])
    assert abs(int(voxels.sum()) - int(truth.sum())) < 0.1 * truth.sum()


@pytest.mark.slow
@pytest.mark.real
def test_real_series_become_segmentations_that_lie_right(tmp_path, real_data):
    pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")
    folders = sorted({path.parent for path in (real_data / "dicom").rglob("*.dcm")})
    assert folders
    for folder in folders:
        volume = read_volume([folder])
        label = labelled(volume.voxels.shape[1:])
        write_segmentation(tmp_path / f"{folder.name}.dcm", label, volume, TASK)
        check(tmp_path / f"{folder.name}.dcm", label, volume, {1: 1, 3: 2})
