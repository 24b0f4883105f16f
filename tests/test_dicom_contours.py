"""Structure sets are read as masks: the even-odd rule at voxel centres, on the slices of their series."""

import made_dicom
import numpy as np
import pytest

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images.dicom_contours import fill_contour
from ingradient_pl.images.raw_image import ImageError

SHAPE = (6, 20, 24)


def ring(z, centre=(11.3, 8.7), radius=5.2, points=60):
    """A contour (column, row, slice) around a centre."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    column, row = centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)
    return np.stack([column, row, np.full(points, float(z))], axis=1)


def disc(centre=(11.3, 8.7), radius=5.2):
    row, column = np.indices(SHAPE[1:])
    return np.hypot(column - centre[0], row - centre[1]) < radius * np.cos(np.pi / 60)


def keyhole(z):
    """A ring with a hole, drawn as one line that goes in and out by the same way."""
    outer, inner = ring(z), ring(z, radius=2.4)[::-1]
    return np.concatenate([outer, outer[:1], inner[-1:], inner, outer[:1]])


def archive(folder, drawn, orientation=made_dicom.AXIAL, **more):
    """Write one patient's series and the structure set that was drawn on it."""
    pixels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    slices = made_dicom.stack(pixels, orientation=orientation)
    made_dicom.save(folder / "P1" / "t2", slices)
    made_dicom.save(folder / "P1" / "plan", [made_dicom.structures(slices, drawn, **more)], "RS.dcm")
    return folder


def read(folder, number=0):
    case = read_source(folder).cases[number]
    volume = case.read_image("RAS", ["MR"])
    label = case.read_label("RAS", volume)
    return volume.source.turn.undo(label.voxels)[0], label.remarks


@pytest.mark.parametrize(
    "axes",
    [made_dicom.AXIAL, made_dicom.SAGITTAL, (0.8, 0.6, 0, -0.6, 0.8, 0)],
    ids=["axial", "sagittal", "oblique"],
)
def test_structures_lie_where_they_were_drawn(tmp_path, axes):
    drawn = {"GTV": [ring(z) for z in (1, 2, 3)], "node [2]": [ring(5, (3.5, 3.5), 2)], "iso": [[(1, 1, 1)]]}
    label, remarks = read(archive(tmp_path, drawn, orientation=axes))
    expected = np.zeros(SHAPE, int)
    labels = read_source(tmp_path).task.labels  # numbers of structures may begin with 0
    expected[1:4, disc()] = labels["GTV"]
    expected[5, disc((3.5, 3.5), 2)] = labels["node [2]"]
    np.testing.assert_array_equal(label, expected)
    assert [remark.split(": ", 1)[1] for remark in remarks] == [
        "1 structure(s) that are points were left out: iso."
    ]


@pytest.mark.parametrize("drawn", [[keyhole(2)], [ring(2), ring(2, radius=2.4)]], ids=["keyhole", "inner"])
def test_holes_are_background(tmp_path, drawn):
    label, _ = read(archive(tmp_path, {"GTV": drawn}))
    np.testing.assert_array_equal(label[2], disc() & ~disc(radius=2.4))


@pytest.mark.parametrize("seed", range(4))
def test_contours_that_touch_share_no_voxel_and_leave_none(seed):
    random = np.random.default_rng(seed)
    corners = random.integers(0, 12, (5, 2)).astype(float)  # centres of pixels: all edges go through some
    hull = np.array([(-1.0, -1.0), (13.0, -1.0), (13.0, 13.0), (-1.0, 13.0)])
    outside = np.concatenate([hull, hull[:1], corners[:1], corners[::-1], hull[:1]])
    inside, rest = fill_contour(corners, (12, 12)), fill_contour(outside, (12, 12))
    assert not (inside & rest).any()
    assert (inside | rest).all()


def shifted(by):
    return [ring(z + by) for z in (1, 2, 3)]


@pytest.mark.parametrize(
    ("drawn", "more", "words"),
    [
        ({"GTV": shifted(0)}, {"kind": "OPEN_PLANAR"}, "kind OPEN_PLANAR, which encloses nothing"),
        ({"GTV": shifted(0.5)}, {}, "lies on no slice of"),
        ({"GTV": shifted(4)}, {}, "lies on no slice of"),
        ({"GTV": [ring(1)[:, [2, 0, 1]]]}, {}, "lies on no slice of"),
        ({"GTV": [ring(z) for z in (1, 3, 5)]}, {}, "one slice in 2 alone. Interpolate"),
        ({"GTV": [ring(1)[:2]]}, {}, "a contour of 2 points"),
        ({"GTV": shifted(0)}, {"frame": "1.2.3"}, "another frame of reference"),
        ({"GTV": shifted(0), "body": [ring(2, radius=7)]}, {}, "'GTV' and 'body' share voxels"),
    ],
)
def test_what_encloses_no_voxels_of_the_series_is_refused(tmp_path, drawn, more, words):
    with pytest.raises(ImageError, match=words):
        read(archive(tmp_path, drawn, **more))


def test_structures_that_overlap_are_columns_of_a_table(tmp_path):
    archive(tmp_path, {"GTV": [ring(2)], "body": [ring(2, radius=7)], "open": [ring(1)[:2]]})
    table = tmp_path / "table.csv"
    table.write_text("case,image_0,label_gtv,label_body\nP,P1/t2,P1/plan/RS.dcm,P1/plan/RS.dcm\n")
    (case,) = read_source(table).cases
    volume = case.read_image("LPS", ["MR"])
    packed = case.read_masks(2, "LPS", volume).voxels[0]
    np.testing.assert_array_equal(packed[2], disc() + 2 * disc(radius=7))


def test_structures_that_no_label_is_called_as_are_left_out_and_said(tmp_path):
    archive(tmp_path, {"Liver": [ring(2)], "couch": [ring(2, radius=7)]})
    table = tmp_path / "table.csv"
    table.write_text("case,image_0,label\nP,P1/t2,P1/plan/RS.dcm\n")
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "liver": 1}}')
    label, remarks = read(table)
    np.testing.assert_array_equal(label[2], disc())
    assert remarks == ("RS.dcm: no label is called as its structures 'couch' are.",)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "spleen": 1}}')
    with pytest.raises(
        ImageError, match="no structure with contours is called as a label is: 'Liver', 'couch'"
    ):
        read(table)
