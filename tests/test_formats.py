"""Files of any orientation and type are read alike, and segmentations go back onto their own grid."""

import gzip
import itertools
import locale
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from ingradient_pl.datasets.phantom import phantom
from ingradient_pl.images.formats import (
    Frame,
    ImageError,
    read_label,
    read_volume,
    write_label,
    write_probabilities,
)
from ingradient_pl.images.frame import Reorientation

SHAPE, SPACING = (5, 6, 7), (3.0, 1.5, 1.0)
AFFINE = np.array([[-1.0, 0, 0, 20], [0, -1.5, 0, 30], [0, 0, 3.0, -40], [0, 0, 0, 1]])


def numbered(dtype=np.int16):
    return np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(dtype)


def saved(path: Path, voxels, affine=AFFINE, **header) -> Path:
    """Write an array (z, y, x) as NIfTI."""
    image = nibabel.Nifti1Image(np.asarray(voxels).T, affine)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def in_48_orders(folder: Path, voxels):
    """One image in every order and direction of its axes; the world does not change."""
    image = nibabel.Nifti1Image(voxels.T, AFFINE)
    for number, (order, flips) in enumerate(
        itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
    ):
        turned = image.as_reoriented([[axis, flip] for axis, flip in zip(order, flips, strict=True)])
        nibabel.save(turned, folder / f"{number:02d}.nii.gz")
        yield folder / f"{number:02d}.nii.gz"


def spatial(path: Path) -> bytes:
    """The bytes of a NIfTI header that place it in the world: pixdim, units, qform, sform."""
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return content[76:92] + content[123:124] + content[252:328]


def test_all_48_axis_orders_are_one_image(tmp_path):
    for path in in_48_orders(tmp_path, numbered()):
        volume = read_volume([path])
        np.testing.assert_array_equal(volume.voxels, numbered()[None])
        assert volume.frame.spacing == SPACING
        np.testing.assert_allclose(volume.frame.origin, (-20, -30, -40))
        np.testing.assert_allclose(volume.frame.matrix, np.eye(3))


def test_a_label_goes_back_to_each_of_the_48_orders_byte_for_byte(tmp_path):
    label = (numbered() % 3).astype(np.uint8)
    for path in in_48_orders(tmp_path, label):
        out = tmp_path / "out.nii.gz"
        write_label(out, label, read_volume([path]))
        assert spatial(out) == spatial(path)
        np.testing.assert_array_equal(
            np.asarray(nibabel.load(out).dataobj), np.asarray(nibabel.load(path).dataobj)
        )


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SPL", "stored"])
def test_every_orientation_has_its_way_back(tmp_path, orientation):
    angle = np.deg2rad(20)
    oblique = AFFINE.copy()
    oblique[:2, :2] = [[-np.cos(angle), 1.5 * np.sin(angle)], [-np.sin(angle), -1.5 * np.cos(angle)]]
    path = saved(tmp_path / "oblique.nii", numbered(), oblique)
    volume = read_volume([path], orientation)
    write_label(tmp_path / "back.nii", volume.voxels[0], volume)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "back.nii").get_fdata(), numbered().T)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "back.nii").affine, nibabel.load(path).affine)
    corner = volume.frame.affine @ [0, 0, 0, 1]
    index = np.argwhere(numbered() == volume.voxels[0, 0, 0, 0])[0]
    world = np.diag([-1, -1, 1, 1]) @ oblique @ [*index[::-1], 1]
    np.testing.assert_allclose(corner, world, atol=1e-4)


def test_stored_axes_are_those_of_simpleitk(tmp_path):
    for path in itertools.islice(in_48_orders(tmp_path, numbered()), 0, 48, 7):
        image = SimpleITK.ReadImage(str(path))
        volume = read_volume([path], "stored")
        np.testing.assert_array_equal(volume.voxels[0], SimpleITK.GetArrayFromImage(image))
        np.testing.assert_allclose(volume.frame.direction, image.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(volume.frame.origin, image.GetOrigin(), atol=1e-4)
        np.testing.assert_allclose(volume.frame.spacing, image.GetSpacing()[::-1])


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        *((name, name) for name in ("int8", "uint8", "int16", "uint16", "int32", "float32")),
        ("float64", "float32"),
        ("int64", "int32"),
        ("uint32", "int32"),
        (">i2", "int16"),
        (">f4", "float32"),
    ],
)
def test_the_data_type_is_kept_where_torch_knows_it(tmp_path, stored, given):
    voxels = (numbered(np.float64) % 100).astype(stored)
    image = nibabel.Nifti1Image(voxels.T, AFFINE, dtype=np.dtype(stored).newbyteorder("="))
    if stored.startswith(">"):
        image = nibabel.Nifti1Image(
            voxels.T, AFFINE, nibabel.Nifti1Header(endianness=">"), dtype=voxels.dtype
        )
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume([tmp_path / "a.nii"])
    assert volume.voxels.dtype == given
    np.testing.assert_array_equal(volume.voxels[0], voxels)


@pytest.mark.parametrize(
    ("slope", "inter", "dtype"),
    [(1, 0, "int16"), (1, -1024, "int16"), (0.5, 3, "float32"), (1000, 0, "int32")],
)
def test_slope_and_intercept_are_applied_and_integers_stay_integers(tmp_path, slope, inter, dtype):
    path = saved(tmp_path / "scaled.nii", numbered())
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    path.write_bytes(bytes(content))
    volume = read_volume([path])
    assert volume.voxels.dtype == dtype
    np.testing.assert_allclose(volume.voxels[0], numbered() * np.float64(slope) + inter)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".mgz"])
def test_other_formats_hold_the_same_image(tmp_path, ending):
    path = tmp_path / f"image{ending}"
    if ending == ".mgz":
        nibabel.save(nibabel.MGHImage(numbered().T, AFFINE), path)
    else:
        image = SimpleITK.ReadImage(str(saved(tmp_path / "source.nii", numbered())))
        SimpleITK.WriteImage(image, str(path))
    volume = read_volume([path])
    np.testing.assert_array_equal(volume.voxels[0], numbered())
    np.testing.assert_allclose(volume.frame.affine, read_volume([tmp_path / "source.nii"]).frame.affine) if (
        tmp_path / "source.nii"
    ).exists() else None
    for other in (".nii.gz", ".nrrd", ".mha"):
        write_label(tmp_path / f"label{other}", numbered(np.uint8), volume)
        back = read_label(tmp_path / f"label{other}")
        np.testing.assert_array_equal(back.voxels[0], numbered(np.uint8))
        np.testing.assert_allclose(back.frame.affine, volume.frame.affine, atol=1e-4)


def test_channels_are_files_or_the_fourth_axis(tmp_path):
    one, two = numbered(), numbered() * 2
    paths = [saved(tmp_path / "a.nii.gz", one), saved(tmp_path / "b.nii.gz", two.astype(np.float32))]
    volume = read_volume(paths)
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, np.stack([one, two]))
    nibabel.save(nibabel.Nifti1Image(np.stack([one.T, two.T], axis=-1), AFFINE), tmp_path / "c.nii.gz")
    np.testing.assert_array_equal(
        read_volume([tmp_path / "c.nii.gz"], channels=2).voxels, np.stack([one, two])
    )
    with pytest.raises(ImageError, match=r"c\.nii\.gz: it is 4D.*each volume as a file"):
        read_volume([tmp_path / "c.nii.gz"])
    with pytest.raises(ImageError, match="3 channels are promised"):
        read_volume([tmp_path / "c.nii.gz"], channels=3)


def test_channels_on_other_grids_are_refused_and_rounding_is_not(tmp_path):
    first = saved(tmp_path / "a.nii.gz", numbered())
    rounded = AFFINE + 1e-4 * np.array([[1, 1, 1, 30], [1, 1, 1, -30], [1, 1, 1, 10], [0, 0, 0, 0]])
    assert len(read_volume([first, saved(tmp_path / "b.nii.gz", numbered(), rounded)]).voxels) == 2
    for change, word in (
        (np.diag([1, 1, 1.1, 1]), "spacing"),
        (np.array([[1, 0, 0, 2], *np.eye(4)[1:]]), "origin"),
    ):
        other = saved(tmp_path / "c.nii.gz", numbered(), change @ AFFINE)
        with pytest.raises(ImageError, match=rf"c\.nii\.gz: its {word}.*a\.nii\.gz.*resample"):
            read_volume([first, other])
    with pytest.raises(ImageError, match="shape"):
        read_volume([first, saved(tmp_path / "d.nii.gz", numbered()[:-1])])


def test_spoilt_files_are_named_with_their_cure(tmp_path):
    good = saved(tmp_path / "good.nii.gz", numbered())
    content = good.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    plain = saved(tmp_path / "plain.nii", numbered()).read_bytes()
    spoilt = {
        "truncated.nii.gz": (content[: len(content) // 2], "truncated.*again"),
        "flipped.nii.gz": (bytes(flipped), "damaged|header"),
        "short.nii": (plain[:-20], "truncated"),
        "empty.nii.gz": (b"", "empty"),
        "pointer.nii.gz": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "text.nii": (b"hello" * 200, "not a NIfTI"),
        "text.nii.gz": (b"hello" * 200, "not a gzip"),
        "text.nrrd": (b"hello" * 200, "name says so"),
    }
    for name, (bytes_, words) in spoilt.items():
        (tmp_path / name).write_bytes(bytes_)
        with pytest.raises(ImageError, match=f"(?s){name}.*({words})"):
            read_volume([tmp_path / name])
    with pytest.raises(ImageError, match="no such file"):
        read_volume([tmp_path / "nowhere.nii.gz"])


def test_voxels_that_are_no_numbers_are_refused(tmp_path):
    for value in (np.nan, np.inf, -np.inf):
        voxels = numbered(np.float32)
        voxels[1, 2, 3] = value
        with pytest.raises(ImageError, match=r"1 of 210 .*\(0, 1, 2, 3\).*nan_to_num"):
            read_volume([saved(tmp_path / "nan.nii.gz", voxels)])
    with pytest.raises(ImageError, match=r"complex.*magnitude"):
        read_volume([saved(tmp_path / "complex.nii.gz", numbered(np.complex64))])
    colour = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageError, match="RGB"):
        read_volume([saved(tmp_path / "colour.nii.gz", colour)])


def test_labels_are_integers_of_the_smallest_type(tmp_path):
    label = read_label(saved(tmp_path / "float.nii.gz", (numbered() % 3).astype(np.float32)))
    assert label.voxels.dtype == np.uint8
    assert read_label(saved(tmp_path / "many.nii.gz", numbered() * 3)).voxels.dtype == np.uint16
    with pytest.raises(ImageError, match=r"integers, 105 voxels are not, e\.g\. 0\.5"):
        read_label(saved(tmp_path / "soft.nii.gz", numbered(np.float32) / 2))
    with pytest.raises(ImageError, match="0 to 65535"):
        read_label(saved(tmp_path / "negative.nii.gz", numbered() - 5))


def test_a_label_of_another_shape_is_not_written(tmp_path):
    volume = read_volume([saved(tmp_path / "image.nii.gz", numbered())])
    with pytest.raises(ImageError, match="shape"):
        write_label(tmp_path / "label.nii.gz", np.zeros((2, 2, 2), np.uint8), volume)
    with pytest.raises(ImageError, match="ending"):
        write_label(tmp_path / "label.docx", np.zeros(SHAPE, np.uint8), volume)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".mha"])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, ending):
    volume = read_volume([saved(tmp_path / "image.nii.gz", numbered())])
    target = tmp_path / f"label{ending}"
    write_label(target, np.ones(SHAPE, np.uint8), volume)
    before = target.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_label(target, np.zeros(SHAPE, np.uint8), volume)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nii.gz", f"label{ending}"]


def test_a_written_label_is_read_by_others_without_scaling(tmp_path):
    path = saved(
        tmp_path / "image.nii.gz", numbered(), scl_slope=0.5, scl_inter=7, cal_max=99, intent_code=1005
    )
    write_label(tmp_path / "label.nii.gz", numbered() * 2, read_volume([path]))
    written = nibabel.load(tmp_path / "label.nii.gz")
    assert written.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(written.get_fdata(), numbered().T * 2)
    assert not written.header["cal_max"]
    assert not written.header["intent_code"]


def test_probabilities_are_one_file(tmp_path):
    volume = read_volume([saved(tmp_path / "image.nii.gz", numbered())])
    maps = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    for ending in (".nii.gz", ".nrrd"):
        write_probabilities(tmp_path / f"maps{ending}", maps, volume)
        np.testing.assert_array_equal(read_volume([tmp_path / f"maps{ending}"], channels=3).voxels, maps)


def test_a_dicom_series_is_an_image(tmp_path):
    image, _ = phantom((6, 16, 16), (2.0, 1.0, 1.0), np.random.default_rng(0))
    for number, plane in enumerate(image[0]):
        slice_ = SimpleITK.GetImageFromArray(plane[None])
        for tag, value in {
            "0008|0060": "MR",
            "0020|000e": "1.2.3",
            "0020|000d": "1.2",
            "0020|0013": str(number),
            "0020|0032": f"0\\0\\{2 * number}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "1\\1",
            "0018|0050": "2",
        }.items():
            slice_.SetMetaData(tag, value)
        slice_.SetSpacing((1.0, 1.0, 2.0))
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(tmp_path / f"{number}.dcm"))
        writer.Execute(slice_)
    before = locale.setlocale(locale.LC_ALL, "")
    volume = read_volume([tmp_path])
    assert locale.setlocale(locale.LC_ALL) == before, "the reader of DICOM sets the process's locale to C"
    np.testing.assert_array_equal(volume.voxels, image)
    assert volume.frame.spacing == (2.0, 1.0, 1.0)
    write_label(tmp_path / "label.nii.gz", (image[0] > 0).astype(np.uint8), volume)
    np.testing.assert_array_equal(read_label(tmp_path / "label.nii.gz").voxels[0], image[0] > 0)


def test_wrong_orientations_and_frames_are_refused():
    with pytest.raises(ValueError, match=r"'LPX' is not an orientation.*stored"):
        Reorientation.to("LPX", Frame((1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="finite"):
        Frame.of((1, 1, 0), (0, 0, 0), np.eye(3).ravel())
    with pytest.raises(ValueError, match="do not span"):
        Frame.of((1, 1, 1), (0, 0, 0), np.zeros(9))


REFUSED = {
    "4d_dmri_7.nii.gz": "4D",
    "4d_int16_128x96x24x2.nii.gz": "4D",
    "4d_int8_10vol.nii.gz": "4D",
    "4d_nifti2.nii.gz": "4D",
    "4d_vec_V1.nii.gz": "4D",
    "5d_2chan_int16.nii.gz": "5D",
    "5d_uint8.nii": "5D",
    "5d_warp_1e38.nii.gz": "5D",
    "5d_zeros_256.nii.gz": "5D",
    "2d_cifti_dtseries.nii": "6D",
    "aniso_53mm_slice.nii.gz": "sheared",
    "complex64.nii.gz": "complex",
    "complex64_10.nii.gz": "complex",
    "deepreg_label4d_onehot_float64.nii.gz": "4D",
    "git_lfs_pointer.nii.gz": "git lfs pull",
    "interleaved_4d_gap.nii.gz": "4D",
    "label_frac_4d.nii.gz": "4D",
    "mgz_noaffine_yeo.mgz": "affine",
    "nan_fmri_tsnr.nii.gz": "NaN",
    "nan_image_mha.mha": "NaN",
    "nan_resampled.nii": "NaN",
    "neg_inf_mtr.nii.gz": "infinite",
    "not_a_nifti.nii": "not a NIfTI",
    "qform_only.nii.gz": "4D",
    "rgb24_ct_perfusion.nii.gz": "RGB",
    "three_slices.nii": "4D",
}


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.filterwarnings("ignore")
def test_odd_real_files_are_read_rightly_or_refused_with_a_cure(real_data, tmp_path):
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    files = sorted((real_data / "odd_inputs" / "real").iterdir())
    assert len(files) == 49
    for path in files:
        if path.name in REFUSED:
            with pytest.raises(ImageError, match=f"{path.name}.*{REFUSED[path.name]}") as told:
                read_volume([path])
            assert "\n" not in str(told.value)
            continue
        volume = read_volume([path], "stored")
        assert volume.voxels.ndim == 4
        if path.suffix != ".mgz" and "surface" not in path.name:
            seen = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
            np.testing.assert_allclose(volume.voxels.squeeze(), seen.squeeze(), rtol=1e-6)
        turned = read_volume([path])
        label = (turned.voxels[0] > np.median(turned.voxels)).astype(np.uint8)
        if max(label.shape) > 32767:
            with pytest.raises(ImageError, match="too many for NIfTI"):
                write_label(tmp_path / "label.nii.gz", label, turned)
            continue
        write_label(tmp_path / "label.nii.gz", label, turned)
        back = read_label(tmp_path / "label.nii.gz")
        np.testing.assert_array_equal(back.voxels[0], label)
        assert back.frame.distance(turned.frame, label.shape) < 1e-2 * min(turned.frame.spacing)


@pytest.mark.real
def test_a_real_brain_in_48_orders_is_one_brain(real_data):
    paths = sorted((real_data / "odd_inputs" / "orient48").iterdir())
    first = read_volume([paths[0]])
    for path in paths[1:]:
        volume = read_volume([path])
        np.testing.assert_array_equal(volume.voxels, first.voxels)
        assert volume.frame.distance(first.frame, first.voxels.shape[1:]) < 1e-3


@pytest.mark.real
def test_real_dicom_series_are_read(real_data):
    series = sorted({path.parent for path in (real_data / "dicom").rglob("*.dcm")})
    shapes = [read_volume([folder]).voxels.shape for folder in series]
    assert all(len(shape) == 4 and min(shape[1:]) > 1 for shape in shapes)
    with pytest.raises(ImageError, match="found 0"):
        read_volume([real_data / "dicom"])
