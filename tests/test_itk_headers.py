"""NRRD and MetaImage: what ITK passes over of a header is taken or told, never lost without a word."""

import nibabel
import numpy as np
import pytest

from ingradient_pl.images.formats import ImageError, read_label, read_volume

VOXELS = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
NRRD = "NRRD0005\ntype: short\ndimension: 3\nsizes: 5 4 3\nencoding: raw\nendian: little\n"
DIRECTIONS = "space directions: (50,0,0) (0,70,0) (0,0,200)\nspace origin: (10,20,30)\n"
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "DimSize = 5 4 3\nElementType = MET_SHORT\n"
)
UNITS = {
    "um": 1e-3,
    "µm": 1e-3,
    "microns": 1e-3,
    "micrometers": 1e-3,
    "cm": 10,
    "m": 1e3,
    "nm": 1e-6,
    "Millimeter": 1,
    "mm": 1,
}


def nrrd(folder, *lines, ending=".nrrd", voxels=VOXELS):
    path = folder / f"a{ending}"
    header = (NRRD + "".join(lines)).encode()
    if ending == ".nhdr":
        (folder / "a.raw").write_bytes(voxels.tobytes())
        path.write_bytes(header + b"data file: a.raw\n")
    else:
        path.write_bytes(header + b"\n" + voxels.tobytes())
    return path


def meta(folder, *lines, ending=".mha"):
    path = folder / f"a{ending}"
    (folder / "a.raw").write_bytes(VOXELS.tobytes())
    local = ending == ".mha"
    text = META + "".join(lines) + f"ElementDataFile = {'LOCAL' if local else 'a.raw'}\n"
    path.write_bytes(text.encode() + (VOXELS.tobytes() if local else b""))
    return path


@pytest.mark.parametrize(("unit", "factor"), UNITS.items())
@pytest.mark.parametrize("kind", ["space units", "units", "detached", "metaimage"])
def test_a_unit_of_length_is_converted_with_a_remark(tmp_path, unit, factor, kind):
    if kind == "metaimage":
        path = meta(tmp_path, "ElementSpacing = 50 70 200\nOffset = 10 20 30\n", f"DistanceUnits = {unit}\n")
    elif kind == "units":
        path = nrrd(tmp_path, "spacings: 50 70 200\n", f'units: "{unit}" "{unit}" "{unit}"\n')
    else:
        ending = ".nhdr" if kind == "detached" else ".nrrd"
        told = f'space units: "{unit}" "{unit}" "{unit}"\n'
        path = nrrd(tmp_path, "space: LPS\n", told, DIRECTIONS, ending=ending)
    volume = read_volume([path])
    np.testing.assert_allclose(volume.frame.spacing, np.array([200, 70, 50]) * factor)
    if kind != "units":
        np.testing.assert_allclose(volume.frame.origin, np.array([10, 20, 30]) * factor)
    assert len(volume.remarks) == (factor != 1)
    assert all("converted to millimetres" in remark for remark in volume.remarks)
    assert read_label(path).frame.spacing == volume.frame.spacing


TOLD = {
    "no spacing": ((), "gives no spacing; voxels were taken to be 1 mm"),
    "thickness alone": (("thicknesses: nan nan 2\n",), "gives no spacing"),
    "ends alone": (("axis mins: 0 0 0\n", "axis maxs: 1 1 1\n"), "gives no spacing"),
    "one spacing lost": (("spacings: 1 nan 2\n",), "no spacing along axis 2"),
    "an odd unit": (
        ("spacings: 1 1 2\n", 'units: "pixel" "pixel" "slice"\n'),
        "'pixel' is not one of length",
    ),
    **{
        space: ((f"space: {space}\n", DIRECTIONS), f"'{space}' does not tell where left and right")
        for space in ("scanner-xyz", "3D-right-handed", "3D-left-handed")
    },
    "a space without name": (("space dimension: 3\n", DIRECTIONS), "does not tell where left"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_a_nrrd_leaves_open_is_told(tmp_path, name):
    lines, words = TOLD[name]
    path = nrrd(tmp_path, *lines)
    (remark,) = read_volume([path]).remarks
    assert remark.startswith(f"{path}: ")
    assert words in remark


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "gives no spacing"),
        ("ElementSpacing = 1 1 2\nAnatomicalOrientation = RAS\n", "AnatomicalOrientation is RAS"),
        ("ElementSpacing = 1 1 2\nElementToIntensityFunctionSlope = 2\n", "Slope was passed over"),
        ("ElementSpacing = 1 1 2\nDistanceUnits = furlong\n", "'furlong' is not one of length"),
    ],
)
@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_what_a_metaimage_leaves_open_is_told(tmp_path, line, words, ending):
    (remark,) = read_volume([meta(tmp_path, line, ending=ending)]).remarks
    assert words in remark


PLAIN = [
    *(
        f"space: {name}\n{DIRECTIONS}"
        for name in ("LPS", "RAS", "LAS", "left-posterior-superior", "Right-Anterior-Superior")
    ),
    "spacings: 1 1 2\n",
    'spacings: 1 1 2\nkinds: domain domain domain\nlabels: "x" "y" "z"\n',
]


@pytest.mark.parametrize("lines", PLAIN)
def test_a_nrrd_that_tells_all_needs_no_remark(tmp_path, lines):
    assert not read_volume([nrrd(tmp_path, lines)]).remarks


@pytest.mark.parametrize("turn", ["1 0 0 0 1 0 0 0 1", "-1 0 0 0 -1 0 0 0 1"])
def test_a_metaimage_that_tells_all_needs_no_remark(tmp_path, turn):
    lines = f"ElementSpacing = 1 1 2\nTransformMatrix = {turn}\nAnatomicalOrientation = LPS\n"
    assert not read_volume([meta(tmp_path, lines)]).remarks


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("spacings: 1 1 1\nkinds: domain domain time\n", "axis 3 is time"),
        (f'space: LPS\nspace units: "mm" "mm" "um"\n{DIRECTIONS}', "several units: mm, um"),
    ],
)
def test_axes_that_are_not_one_space_are_refused(tmp_path, lines, words):
    path = nrrd(tmp_path, lines)
    with pytest.raises(ImageError, match=words) as told:
        read_volume([path])
    assert str(told.value).startswith(f"{path}: ")


def test_an_analyze_image_does_not_tell_its_sides(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VOXELS.T, np.eye(4)), tmp_path / "a.img")
    (remark,) = read_volume([tmp_path / "a.hdr"]).remarks
    assert "does not tell where left and right" in remark
