"""Headers of NRRD and MetaImage that promise more than there is, or name what is no file, are refused."""

import gzip
import os
import re
import zlib

import numpy as np
import pytest
import SimpleITK

from ingradient_pl.images import bounded_files, itk
from ingradient_pl.images.formats import ImageError, read_volume

VOXELS = np.arange(210, dtype=np.int16).reshape(5, 6, 7)


def saved(path, packed=False):
    image = SimpleITK.GetImageFromArray(VOXELS)
    image.SetSpacing((1.0, 1.5, 3.0))
    SimpleITK.WriteImage(image, str(path), useCompression=packed)
    return path


def promising(path, size):
    """Write a header that promises ``size`` voxels (x, y, z) before a few hundred bytes."""
    content = saved(path).read_bytes()
    words = " ".join(map(str, size)).encode()
    path.write_bytes(content.replace(b"7 6 5", words))
    return path


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nhdr", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_plain_files_are_read(tmp_path, ending, packed):
    path = saved(tmp_path / f"a{ending}", packed)
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nhdr", ".mhd"])
@pytest.mark.parametrize("size", [(20000, 20000, 20000), (2**20, 2**20, 2**20), (700, 600, 500)])
def test_headers_that_promise_more_than_there_is_take_no_memory(tmp_path, monkeypatch, ending, size):
    path = promising(tmp_path / f"a{ending}", size)
    read = SimpleITK.ReadImage
    monkeypatch.setattr(SimpleITK, "ReadImage", lambda *_: pytest.fail("voxels were read"))
    with pytest.raises(ImageError, match=rf"a\{ending}: .*promises .* bytes of voxels"):
        read_volume([path])
    monkeypatch.setattr(SimpleITK, "ReadImage", read)


def test_more_than_memory_is_refused(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.nrrd")
    monkeypatch.setattr(bounded_files, "available_memory", lambda: 100)
    with pytest.raises(ImageError, match=r"a\.nrrd: its header promises.*memory"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("told", ["-1", "0", "11", f"-{10**30}", str(2**63), "3e9", ""])
def test_a_number_of_dimensions_that_ends_the_process_is_refused(tmp_path, ending, told):
    path = saved(tmp_path / f"a{ending}")
    content = path.read_bytes()
    assert b"NDims = 3" in content
    path.write_bytes(content.replace(b"NDims = 3", f"NDims = {told}".encode()))
    with pytest.raises(ImageError, match=rf"a\{ending}: .*dimensions"):
        read_volume([path])


@pytest.mark.parametrize("told", ["1e+308", "-1e308", "1e200", "inf", "2e12"])
@pytest.mark.parametrize(
    ("ending", "field"),
    [
        *[(".mha", field) for field in ("TransformMatrix", "Offset", "CenterOfRotation", "ElementSpacing")],
        *[(".nrrd", field) for field in ("space directions", "space origin")],
    ],
)
def test_numbers_on_which_itk_never_ends_are_refused(tmp_path, ending, field, told):
    path = saved(tmp_path / f"a{ending}")
    content = path.read_bytes()
    begin = content.index(field.encode())
    end = content.index(b"\n", begin)
    line = re.sub(rb"[-\d.e+]+(?=[^-\d.e+]*$)", told.encode(), content[begin:end])
    path.write_bytes(content[:begin] + line + content[end:])
    with pytest.raises(ImageError, match=rf"a\{ending}: its header gives .* among '{field.lower()}'"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".nhdr", ".mhd"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "missing", "empty", "/dev/zero"])
def test_data_that_are_no_file_are_not_waited_for(tmp_path, ending, kind):
    path = saved(tmp_path / f"a{ending}")
    (data,) = itk.data_files(path)
    assert data != path
    data.unlink()
    if kind == "pipe":
        os.mkfifo(data)
    elif kind == "folder":
        data.mkdir()
    elif kind == "empty":
        data.touch()
    elif kind == "/dev/zero":
        path.write_bytes(path.read_bytes().replace(data.name.encode(), b"/dev/zero"))
    with pytest.raises(ImageError, match=r"regular file|no such file|empty"):
        read_volume([path])


def test_lists_of_files_are_looked_at(tmp_path):
    path = saved(tmp_path / "a.mhd")
    for number, plane in enumerate(VOXELS):
        (tmp_path / f"{number}.raw").write_bytes(plane.tobytes())
    text = path.read_text().replace("a.raw", "LIST") + "".join(f"{number}.raw\n" for number in range(5))
    path.write_text(text)
    assert [file.name for file in itk.data_files(path)] == [f"{number}.raw" for number in range(5)]
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)
    (tmp_path / "3.raw").unlink()
    with pytest.raises(ImageError, match=r"3\.raw: no such file"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
@pytest.mark.parametrize("change", ["longer", "shorter", "flipped", "cut", "sum"])
def test_a_packed_metaimage_unpacks_to_what_its_header_says(tmp_path, ending, change):
    path = saved(tmp_path / f"a{ending}", packed=True)
    (data,) = itk.data_files(path)
    content = data.read_bytes()
    mark = b"ElementDataFile = LOCAL\n"
    begin = content.index(mark) + len(mark) if ending == ".mha" else 0
    packed, voxels = content[begin:], VOXELS.tobytes()
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    spoilt = {
        "longer": zlib.compress(voxels + bytes(2**20)),
        "shorter": zlib.compress(voxels[:-2]),
        "flipped": bytes(flipped),
        "cut": packed[:-20],
        "sum": packed[:-4] + b"1234",
    }[change]
    data.write_bytes(content[:begin] + spoilt)
    text = path.read_bytes()
    size = f"CompressedDataSize = {len(packed)}".encode()
    assert size in text
    path.write_bytes(text.replace(size, f"CompressedDataSize = {len(spoilt)}".encode()))
    with pytest.raises(ImageError, match=rf"a\{ending}: its voxels (are damaged|unpack to).*again"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".gipl.gz"])
def test_no_byte_of_voxels_packed_by_gzip_reads_as_another(tmp_path, ending):
    path = saved(tmp_path / f"a{ending}", packed=True)
    (data,) = itk.data_files(path)
    whole = data.read_bytes()
    begin = whole.index(b"\x1f\x8b") + 10
    for at in (*range(begin, len(whole), 23), *range(len(whole) - 8, len(whole))):
        data.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(ImageError, match=rf"a\{ending}: it.*(again|Save it as)"):
            read_volume([path])
    data.write_bytes(whole)
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)


def test_gzip_in_several_members_is_read_and_skipped_bytes_are_refused(tmp_path):
    path = saved(tmp_path / "a.nrrd", packed=True)
    text = path.read_bytes().split(b"\n\n")[0]
    voxels = VOXELS.tobytes()
    path.write_bytes(text + b"\n\n" + gzip.compress(voxels[:99]) + gzip.compress(voxels[99:]))
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)
    path.write_bytes(text + b"\nbyte skip: 2\n\n" + gzip.compress(b"ab" + voxels))
    with pytest.raises(ImageError, match=r"a\.nrrd: its voxels are packed behind something"):
        read_volume([path])


META = "ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\n"
PLAIN_NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nendian: little\nencoding: raw\n"
META_FILE, NRRD_FILE = "ElementDataFile", "data file"
ELSEWHERE = {
    "a.mhd": [
        *(f"{before}{META_FILE}{between}pipe" for before in (" ", "\t", "\n") for between in (" = ", "=")),
        *(f"{META_FILE}{between}pipe" for between in ("\t= ", " : ", ": ", " =\t", "\n = ", " = ./", "=")),
        *(f"{META_FILE} = {told}" for told in ("pipe\r", "pip%c 101 101 1", "%s%n 1 1 1", "x%d%s 1 1 1", "")),
        *(f"{META_FILE} = {told}" for told in ("%999999d 1 2 1", "\0pipe", "pipe\0.raw", "LIST\npipe")),
        *(f"{META_FILE} = {told}" for told in ("LISTpipe\npipe", "LIST\npi%pe\n\npipe")),
        *("elementdatafile = pipe", f"x\0\n{META_FILE} = pipe"),
        *(f"Key_{'x' * n} = 1\n" * (2**21 // n) + f"{META_FILE} = pipe" for n in (50, 5000)),
    ],
    "a.nhdr": [
        *(f"{name}: pipe" for name in (NRRD_FILE, "Data File", "DATA FILE", "datafile", "DataFile")),
        *(f"{NRRD_FILE}: {told}" for told in ("LIST\npipe", "LISTx\npipe", "LIST 2\npipe\npipe", "%n")),
        *(f"{NRRD_FILE}: {told}" for told in ("pip%s%d 1 1 1", "x%d", "x%d 1 9999999 1", "")),
        *(f"#c\r{NRRD_FILE}: pipe", f"{NRRD_FILE}: x.raw\ndatafile: pipe"),
        *(f"{NRRD_FILE}: pipe\n{NRRD_FILE}: a.raw", "# x\n" * 2**19 + f"{NRRD_FILE}: pipe"),
    ],
}
"""Ways to name a pipe for the voxels, or to have a name made up by ``sprintf``."""


@pytest.mark.parametrize(
    ("name", "told"), [(name, told) for name, all_ in ELSEWHERE.items() for told in all_]
)
def test_no_spelling_of_a_header_leads_to_what_was_not_looked_at(tmp_path, monkeypatch, name, told):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes())
    (tmp_path / name).write_bytes(((META if name == "a.mhd" else PLAIN_NRRD) + told + "\n").encode())
    monkeypatch.setattr(itk, "_reader", lambda *_: pytest.fail("ITK was asked"))
    monkeypatch.setattr(itk, "_check_start", lambda path: "")
    with pytest.raises(ImageError, match=name):
        itk._check_size(tmp_path / name, itk.read_header(tmp_path / name), None)


LONG = {
    "a.mha": [
        "Name = ",
        "Comment = ",
        "x",
        "ObjectSubType = ",
        "AnatomicalOrientation = ",
        f"{META_FILE} = ",
    ],
    "a.nrrd": ["", "type: ", "kinds: ", "space units: ", f"{NRRD_FILE}: ", "labels: ", "line skip: ", "x: "],
}


@pytest.mark.parametrize(("name", "begin"), [(name, one) for name, all_ in LONG.items() for one in all_])
@pytest.mark.parametrize("text", ["x" * 600, "1 " * 300, "%s%n" * 200, '"' * 5000, "[" * 3000])
def test_lines_longer_than_the_buffers_of_itk_are_refused(tmp_path, name, begin, text):
    path = saved(tmp_path / name)
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    path.write_bytes(content[:first] + (begin + text + "\n").encode() + content[first:])
    with pytest.raises(ImageError, match=rf"{name}: its header .*(bytes|not 'NAME|not 'FIELD|file)"):
        read_volume([path])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.nrrd", "Segment0_Tags:=" + "x: y|" * 2000),
        ("a.nrrd", "# " + "comment: " * 500),
        ("a.nrrd", "content: " + "x" * 3000),
        ("a.mha", "0008|0008 = " + "x" * 3000),
        ("a.mha", "ITK_original_direction = " + "1 " * 400),
        ("a.mha", "Comment : of somebody"),
    ],
)
def test_notes_of_other_programs_are_let_be(tmp_path, name, line):
    path = saved(tmp_path / name)
    content = path.read_bytes()
    first = content.index(b"\n") + 1
    path.write_bytes(content[:first] + f"{line}\n".encode() + content[first:])
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)


@pytest.mark.parametrize("ending", [".mhd", ".nhdr"])
def test_numbered_files_are_looked_at(tmp_path, ending):
    path = saved(tmp_path / f"a{ending}")
    (data,) = itk.data_files(path)
    for number, plane in enumerate(VOXELS):
        (tmp_path / f"p{number + 1:03d}.raw").write_bytes(plane.tobytes())
    text = path.read_text().replace(data.name, "p%03d.raw 1 5 1" + (" 2" if ending == ".nhdr" else ""))
    path.write_text(text.replace("gzip", "raw"))
    np.testing.assert_array_equal(read_volume([path]).voxels[0], VOXELS)
    (tmp_path / "p003.raw").unlink()
    with pytest.raises(ImageError, match=r"p003\.raw: no such file"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".png", ".bmp", ".jpg", ".tif", ".nrrd", ".gipl", ".vtk", ".h5", ""])
def test_each_ending_is_read_by_its_own_reader(tmp_path, ending):
    other = ".png" if ending == ".bmp" else ".bmp"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS[0].astype(np.uint8)), str(tmp_path / f"a{other}"))
    path = (tmp_path / f"a{other}").rename(tmp_path / f"b{ending}")
    with pytest.raises(ImageError, match=rf"b{ending}: "):
        read_volume([path])
