"""What C++ readers print stays off the screen, and says in our message what is wrong with a file."""

import os

import numpy as np
import pytest
import SimpleITK

from ingradient_pl.images.formats import ImageError, read_volume
from ingradient_pl.images.reader_messages import hold_back_messages, without_native

NATIVE = [
    b"WARNING: In /tmp/itkX.cxx, line 5\nX (0x1): odd\n\n",
    b"Warning: In /tmp/gdcmY.cxx, line 301, function bool gdcm::f()\nno more\n\n",
    b"** ERROR (nifti_image_read): short header read\n",
    b"MetaImage: M_ReadElementsData: data not read completely\n",
    b"   ideal = 3360 : actual = 1532\n",
    b"DimSize required and not defined.\n",
    b"TIFFReadDirectory: Warning, Unknown field with tag 4.\n",
    b"libpng warning: iCCP: known incorrect sRGB profile\n",
    b"Corrupt JPEG data: 30 extraneous bytes before marker 0xc4\n",
    b"Bogus marker length\n",
    b"Invalid progressive parameters Ss=6 Se=103 Ah=0 Al=2\n",
    b"JPEG datastream contains no image\n",
    b"PackBitsDecode: Warning, Discarding 20 bytes to avoid buffer overrun.\n",
]
OURS = [
    b"ingradient prepare: /data/a.nii.gz: it is truncated.\n",
    b"\rprepare:  50%|#####     | 3/6 [00:00<00:00, 13.50case/s]",
    b'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: MetaImage\n',
]


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("ours", OURS)
def test_lines_of_readers_are_left_out_and_all_others_stay(native, ours):
    whole = ours if ours.endswith(b"\n") else ours + b"\n"
    assert without_native(whole + native + native + whole) == whole + whole


def test_what_others_print_meanwhile_follows(capfd):
    with hold_back_messages() as messages:
        os.write(2, NATIVE[5] + OURS[0])
        assert not capfd.readouterr().err
    assert capfd.readouterr().err == OURS[0].decode()
    assert messages.cause == "DimSize required and not defined."


def test_a_closed_standard_error_is_no_hindrance():
    kept = os.dup(2)
    os.close(2)
    try:
        with hold_back_messages() as messages:
            pass
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert not messages.cause


@pytest.mark.parametrize("place", [0.4, 0.6, 0.8])
def test_a_picture_whose_pixels_its_reader_made_up_is_refused(tmp_path, capfd, place):
    voxels = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
    file = tmp_path / "a.jpg"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(file))
    content = file.read_bytes()
    at = int(len(content) * place)
    file.write_bytes(content[:at] + b"\xff\xd3" + content[at + 2 :])
    with pytest.raises(ImageError, match=r"a\.jpg: it is damaged \(.*JPEG.*Copy it again"):
        read_volume([file])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", ["mha", "mhd", "nrrd", "gipl", "gipl.gz", "tif", "png"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_a_cut_file_is_refused_in_one_line(tmp_path, capfd, ending, kept):
    voxels = np.random.default_rng(0).integers(0, 255, (8, 10, 12)).astype(np.uint8)
    image = SimpleITK.GetImageFromArray(voxels if ending != "png" else voxels[0])
    file = tmp_path / f"a.{ending}"
    SimpleITK.WriteImage(image, str(file))
    cut = tmp_path / ("a.raw" if ending == "mhd" else file.name)
    content = cut.read_bytes()
    cut.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ImageError) as caught:
        read_volume([file])
    assert "No such file" not in str(caught.value)
    printed = capfd.readouterr()
    assert not printed.err
    assert not printed.out
