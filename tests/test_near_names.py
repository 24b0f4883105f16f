"""A case without its label or image says which file may be meant; endings that are none are refused."""

import unicodedata

import pytest
from made_raw import raw_data

from ingradient_pl.datasets.sources import SourceError, read_source

LABELS = {
    "Case1.nii.gz": "Case1.nii.gz",
    "case1_seg.nii.gz": "case1_seg.nii.gz",
    "case1-label.nii.gz": "case1-label.nii.gz",
    "case1_0000_mask.nii.gz": "case1_0000_mask.nii.gz",
    "case1.nrrd": "case1.nrrd",
    "case1.seg.nrrd": "case1.seg.nrrd",
    "case1.nii": "case1.nii",
}


@pytest.mark.parametrize("name", LABELS)
def test_a_label_under_another_name_is_named(tmp_path, name):
    raw = raw_data(tmp_path)
    (raw / "labelsTr/case1.nii.gz").rename(raw / "labelsTr" / name)
    faults = {fault.case: fault.reason for fault in read_source(raw).faults}
    assert f"There is {name!r}: is it that one" in faults["case1"]
    assert len(read_source(raw).cases) == 2


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_written_in_two_ways_are_one_name(tmp_path, forms):
    raw = raw_data(tmp_path)
    image, label = (unicodedata.normalize(form, "müller") for form in forms)
    (raw / "imagesTr/case1_0000.nii.gz").rename(raw / f"imagesTr/{image}_0000.nii.gz")
    (raw / "labelsTr/case1.nii.gz").rename(raw / f"labelsTr/{label}.nii.gz")
    faults = read_source(raw).faults
    assert len(faults) == 2
    assert all("There is 'm" in fault.reason for fault in faults)


def test_what_is_a_folder_or_no_file_is_said_to_be_one(tmp_path):
    raw = raw_data(tmp_path)
    file = raw / "imagesTr/case1_0000.nii.gz"
    file.unlink()
    file.mkdir()
    (fault,) = read_source(raw).faults
    assert "There is a folder 'case1_0000.nii.gz'" in fault.reason


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[31mb"])
def test_a_name_of_control_characters_is_refused_in_one_line(tmp_path, name):
    raw = raw_data(tmp_path)
    (raw / "imagesTr/case1_0000.nii.gz").rename(raw / f"imagesTr/{name}_0000.nii.gz")
    (raw / "labelsTr/case1.nii.gz").rename(raw / f"labelsTr/{name}.nii.gz")
    (fault,) = read_source(raw).faults
    assert "which no file name should" in str(fault)
    assert str(fault).isprintable()


@pytest.mark.parametrize("ending", ["nii.gz", "NII.GZ", "", None])
def test_an_ending_without_its_dot_is_understood(tmp_path, ending):
    assert len(read_source(raw_data(tmp_path, file_ending=ending)).cases) == 3


@pytest.mark.parametrize("ending", [".gz", ".tar", 5, [".nii.gz"], ".nii.gz "])
def test_an_ending_of_no_format_is_refused_with_what_is_there(tmp_path, ending):
    with pytest.raises(SourceError, match=r"3 files in .*imagesTr end in '\.nii\.gz'"):
        read_source(raw_data(tmp_path, file_ending=ending))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("case,image_0\na,b.nii\n".encode("utf-16"), "not text in UTF-8"),
        ("case,image_0\nä,b.nii\n".encode("latin1"), r"not text in UTF-8 \(byte 13 is 0xe4\)"),
        (b"case,image_0,label\n", "no row in it below its heading"),
    ],
)
def test_a_table_that_is_none_says_why(tmp_path, content, words):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(SourceError, match=words):
        read_source(tmp_path / "table.csv")
