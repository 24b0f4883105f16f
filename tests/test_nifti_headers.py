"""Headers of every kind, ours beside SimpleITK's answer; what differs on purpose is named here."""

import gzip
import json
import os
import zlib

import made_nifti
import nibabel
import numpy as np
import pytest
import SimpleITK
from made_nifti import Header, qform, sform, write

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images import bounded_files
from ingradient_pl.images.formats import ImageError, read_label, read_volume, write_label
from ingradient_pl.images.known_formats import file_parts
from ingradient_pl.store.build import build_store

SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
TABLE = made_nifti.table()
KEPT_SKEWED = ("skewed", "sheared")
"""Axes not at right angles: SimpleITK refuses them where there is no qform, and they are kept here."""


def seen_by_itk(path):
    """What SimpleITK makes of it: voxels, spacing (z, y, x), origin, direction; or None."""
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:
        return None
    return (
        SimpleITK.GetArrayFromImage(image).squeeze(),
        image.GetSpacing()[::-1],
        image.GetOrigin(),
        image.GetDirection(),
    )


def test_the_table_is_long_enough():
    assert len(TABLE) >= 200
    assert len({row.name for row in TABLE}) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_header_is_read_as_itk_reads_it(tmp_path, row):
    path = write(tmp_path / "a.nii", row)
    seen = seen_by_itk(path)
    if seen is None:  # ITK knows rectangular grids only
        assert "sform" in row.name
        if row.name.endswith(KEPT_SKEWED):
            volume = read_volume([path], "stored")
            assert volume.frame.shear > 1e-4
            assert "not at right angles" in volume.remarks[0]
        else:
            with pytest.raises(ImageError, match=r"sform is empty or flat.*Set 'sform_code' to 0"):
                read_volume([path])
        return
    volume = read_volume([path], "stored")
    voxels, spacing, origin, direction = seen
    np.testing.assert_allclose(volume.voxels.squeeze(), voxels, rtol=1e-6)
    np.testing.assert_allclose(volume.frame.spacing, spacing, rtol=1e-6)
    np.testing.assert_allclose(volume.frame.origin, origin, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(volume.frame.direction, direction, atol=1e-6)


@pytest.mark.parametrize("row", made_nifti.vectors(), ids=lambda row: row.name)
def test_vectors_are_channels_where_as_many_are_promised(tmp_path, row):
    path = write(tmp_path / "a.nii.gz", row)
    volume = read_volume([path], "stored", 2)
    x, y, z = row.shape[:3]
    wanted = (np.arange(np.prod(row.shape)) % 120).reshape(2, z, y, x)
    np.testing.assert_array_equal(volume.voxels, wanted)
    for channels in (None, 1, 3):
        with pytest.raises(ImageError, match="as a file of its own"):
            read_volume([path], "stored", channels)


@pytest.mark.parametrize("intent", [1004, 1005, 1006])
def test_tensors_and_displacements_are_no_channels(tmp_path, intent):
    path = write(tmp_path / "a.nii", Header("", {**qform(1), "intent_code": intent}, (7, 6, 5, 1, 3)))
    with pytest.raises(ImageError, match=f"intent code {intent}.*Save each component"):
        read_volume([path], "stored", 3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({**qform(1), **sform(4)}, r"sform \(code 4\) and qform \(code 1\) disagree, corners.*the qform"),
        ({**qform(1), **sform(1)}, "disagree, corners up to .* apart; the sform was taken"),
        ({**qform(1), **sform(1, np.zeros((3, 3)))}, "disagree; the qform was taken"),
        (sform(1, zooms=(1.1, 1.65, 3.3)), "1.1 x 1.65 x 3.3, its 'pixdim' of 1 x 1.5 x 3; 'pixdim' was"),
        ({**qform(1), "xyzt_units": 3}, "micrometres"),
        ({**qform(1), "xyzt_units": 1}, "metres"),
        ({**qform(1), "zooms": (1, -1.5, 3)}, "negative 'pixdim'"),
        ({**qform(1), "scl_slope": 0, "scl_inter": 7}, "intercept was added"),
    ],
)
def test_what_a_header_leaves_open_is_told(tmp_path, fields, words):
    path = write(tmp_path / "a.nii", Header("", fields))
    (remark,) = read_volume([path]).remarks
    assert remark.startswith(f"{path}: ")
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(remark)
    (label,) = read_label(write(tmp_path / "label.nii", Header("", fields, dtype="|u1"))).remarks
    assert label.endswith(remark.removeprefix(f"{path}: "))


@pytest.mark.parametrize(
    "fields", [qform(1), {**qform(2), **sform(2, made_nifti.turn(10), (1, 2, 3))}, sform(1), {}]
)
def test_a_plain_header_needs_no_remark(tmp_path, fields):
    assert not read_volume([write(tmp_path / "a.nii", Header("", fields))]).remarks


@pytest.mark.parametrize("row", TABLE[:: len(TABLE) // 25], ids=lambda row: row.name)
def test_an_answer_has_the_place_of_its_source_to_the_byte(tmp_path, row):
    path = write(tmp_path / "a.nii", row)
    try:
        volume = read_volume([path])
    except ImageError:
        return
    write_label(tmp_path / "out.nii", np.ones(volume.voxels.shape[1:], np.uint8), volume)
    before, after = path.read_bytes(), (tmp_path / "out.nii").read_bytes()
    same = [(76, 92), (123, 124), (252, 328)]
    assert [before[start:end] for start, end in same] == [after[start:end] for start, end in same]


@pytest.mark.parametrize("offset", [0, 1, 348, 351.9, -1, float("nan"), float("-inf")])
def test_voxels_do_not_begin_within_the_header(tmp_path, offset):
    with pytest.raises(ImageError, match=r"a\.nii: .*'vox_offset'.*Set it to 352"):
        read_volume([write(tmp_path / "a.nii", Header("", {**qform(1), "vox_offset": offset}))])


@pytest.mark.parametrize("offset", [1e20, float("inf"), 1e9, 400])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_voxels_beyond_the_end_are_missing(tmp_path, offset, ending):
    with pytest.raises(ImageError, match=f"a{ending}: .*(truncated|vox_offset)"):
        read_volume([write(tmp_path / f"a{ending}", Header("", {**qform(1), "vox_offset": offset}))])


@pytest.mark.parametrize(
    "dim", [(0, 7, 6, 5), (8, 7, 6, 5), (-3, 7, 6, 5), (3, 7, -6, 5), (3, 7, 0, 5), (4, 7, 6, 5, -1)]
)
def test_axes_without_voxels_are_refused(tmp_path, dim):
    with pytest.raises(ImageError, match=r"a\.nii: .*(axes|no voxels).*Save it again"):
        read_volume([write(tmp_path / "a.nii", Header("", {**qform(1), "dim": dim}))])


@pytest.mark.parametrize("dim", [(3, 32767, 32767, 32767), (7, *[32767] * 7), (3, 9000, 9000, 9000)])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path, monkeypatch, dim, ending):
    path = write(tmp_path / f"a{ending}", Header("", {**qform(1), "dim": dim}))
    monkeypatch.setattr(bounded_files, "bytearray", _never, raising=False)
    with pytest.raises(ImageError, match=f"a{ending}: .*promises"):
        read_volume([path], channels=5)


def _never(*_):
    raise AssertionError("memory is taken before the header is held against the file")


def test_more_voxels_than_memory_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.nii.gz", Header("", qform(1)))
    monkeypatch.setattr(bounded_files, "available_memory", lambda: 500)
    with pytest.raises(ImageError, match=r"a\.nii\.gz: its header promises 0\.0 GB.*crop"):
        read_volume([path])


def test_memory_is_known():
    assert 2**20 < bounded_files.available_memory() < 2**62


def test_a_file_that_unpacks_to_more_than_its_header_says_is_bounded(tmp_path):
    content = write(tmp_path / "plain.nii", Header("", qform(1))).read_bytes()
    voxels = read_volume([tmp_path / "plain.nii"]).voxels
    let_be = {
        "padding": gzip.compress(content + bytes(5000)),
        "junk behind": gzip.compress(content) + b"junk",
        "zeros behind": gzip.compress(content) + bytes(100),
        "members": gzip.compress(content[:300])
        + gzip.compress(content[300:600])
        + gzip.compress(content[600:]),
    }
    for name, packed in let_be.items():
        (tmp_path / f"{name}.nii.gz").write_bytes(packed)
        np.testing.assert_array_equal(read_volume([tmp_path / f"{name}.nii.gz"]).voxels, voxels)
    packer = zlib.compressobj(9, wbits=31)
    bomb = (
        packer.compress(content) + b"".join(packer.compress(bytes(2**20)) for _ in range(8)) + packer.flush()
    )
    (tmp_path / "bomb.nii.gz").write_bytes(bomb)
    with pytest.raises(ImageError, match=r"bomb\.nii\.gz: it unpacks to far more than its header promises"):
        read_volume([tmp_path / "bomb.nii.gz"])
    packed = gzip.compress(content)
    for name, cut in {
        "no sum": packed[:-8],
        "half": packed[: len(packed) // 2],
        "start": packed[:30],
    }.items():
        (tmp_path / f"{name}.nii.gz").write_bytes(cut)
        with pytest.raises(ImageError, match=f"{name}.nii.gz: .*truncated.*again"):
            read_volume([tmp_path / f"{name}.nii.gz"])
    (tmp_path / "sum.nii.gz").write_bytes(packed[:-8] + bytes(8))
    with pytest.raises(ImageError, match="damaged"):
        read_volume([tmp_path / "sum.nii.gz"])


@pytest.mark.parametrize("ending", [".NII.GZ", ".NII", ".Nii.Gz"])
def test_endings_may_be_in_capitals(tmp_path, ending):
    volume = read_volume([write(tmp_path / f"a{ending}", Header("", qform(1)))])
    write_label(tmp_path / f"label{ending}", np.ones(volume.voxels.shape[1:], np.uint8), volume)
    assert read_label(tmp_path / f"label{ending}").voxels.all()


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mgz", ".nrrd", ".mha", ".hdr", ".npz", ".png"])
def test_what_is_no_file_is_not_opened(tmp_path, ending):
    pipe, folder = tmp_path / f"pipe{ending}", tmp_path / f"folder{ending}"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, *(() if ending in (".nrrd", ".mha", ".png") else (folder,))):
        with pytest.raises(ImageError, match=rf"{path.name}: .*(regular file|DICOM)"):
            read_volume([path])
        with pytest.raises(ImageError, match=rf"{path.name}: .*(regular file|DICOM)"):
            read_label(path)


@pytest.mark.parametrize("values", [(0.9999999, 2.0000457), (0.9995, 1.0005), (-0.0003, 3)])
def test_labels_that_rounding_touched_are_rounded_with_a_remark(tmp_path, values):
    voxels = np.resize(np.array(values, np.float32), made_nifti.SHAPE)
    path = tmp_path / "label.nii"
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)
    label = read_label(path, "stored")
    np.testing.assert_array_equal(label.voxels[0].T, np.rint(voxels))
    assert any("but for rounding" in remark and remark.startswith(f"{path}: ") for remark in label.remarks)


@pytest.mark.parametrize("value", [0.99, 1.002, 0.5, 2.4999])
def test_labels_that_are_no_integers_are_shown_in_full(tmp_path, value):
    path = tmp_path / "label.nii"
    nibabel.save(nibabel.Nifti1Image(np.full(made_nifti.SHAPE, value, np.float32), np.eye(4)), path)
    with pytest.raises(ImageError, match=rf"210 voxels are not, e\.g\. {value}\d*\. Is this"):
        read_label(path)


def test_what_a_header_leaves_open_reaches_the_summary(tmp_path):
    fields = {**qform(1), **sform(4), "xyzt_units": 3}
    for folder, name in (("imagesTr", "a_0000"), ("labelsTr", "a")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / f"{name}.nii", Header("", fields, dtype="<f4"))
    labels = {"background": 0} | {f"l{value}": value for value in range(1, 120)}
    described = {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 1, "file_ending": ".nii"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    summary = str(build_store(read_source(tmp_path), tmp_path / "store", progress=False))
    assert summary.count("micrometres") == 2
    assert summary.count("disagree") == 2
    assert "0.003" in summary


@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_a_pair_of_header_and_voxels_is_read_as_itk_reads_it(tmp_path, ending):
    voxels = np.arange(210, dtype=np.int16).reshape(made_nifti.SHAPE)
    affine = np.diag([-1.0, -1.5, 3.0, 1.0])
    nibabel.save(nibabel.Nifti1Pair(voxels, affine), tmp_path / "a.img")
    path = tmp_path / f"a{ending}"
    volume = read_volume([path], "stored")
    found, spacing, origin, direction = seen_by_itk(path)
    np.testing.assert_array_equal(volume.voxels[0], found)
    np.testing.assert_allclose(volume.frame.spacing, spacing)
    np.testing.assert_allclose(volume.frame.origin, origin)
    np.testing.assert_allclose(volume.frame.direction, direction, atol=1e-6)
    assert sorted(file.name for file in file_parts(path)) == ["a.hdr", "a.img"]
    whole = (tmp_path / "a.img").read_bytes()
    for spoilt in (whole[:-10], b""):
        (tmp_path / "a.img").write_bytes(spoilt)
        with pytest.raises(ImageError, match=r"a\.img: .*(truncated|empty).*again"):
            read_volume([path])
    (tmp_path / "a.img").unlink()
    with pytest.raises(ImageError, match=r"a\.img: no such file"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".hdr", ".img"])
def test_an_analyze_image_is_bounded_too(tmp_path, ending):
    voxels = np.arange(210, dtype=np.int16).reshape(made_nifti.SHAPE)
    nibabel.save(nibabel.AnalyzeImage(voxels, np.diag([1.0, 1.5, 3.0, 1.0])), tmp_path / "a.img")
    volume = read_volume([tmp_path / f"a{ending}"], "stored")
    np.testing.assert_array_equal(volume.voxels[0], voxels.T)
    np.testing.assert_allclose(volume.frame.spacing, (3.0, 1.5, 1.0))
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:-10])
    with pytest.raises(ImageError, match=r"a\.img: .*truncated.*again"):
        read_volume([tmp_path / f"a{ending}"])
