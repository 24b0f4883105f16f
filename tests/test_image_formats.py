"""Formats of other packages are read and written by an entry point or by name; their faults are theirs."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.images import known_formats
from ingradient_pl.images.formats import ImageError, read_label, read_volume, write_label
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.known_formats import add_formats, answer_ending, ending, format_of
from ingradient_pl.images.raw_image import RawImage
from ingradient_pl.messages import UsageError

VOXELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
MODULE = """
import numpy as np
from ingradient_pl.images.frame import Frame
from ingradient_pl.images.image_format import ImageFormat
from ingradient_pl.images.raw_image import RawImage

def read(path, channels):
    voxels = np.frombuffer(path.read_bytes(), np.uint8)
    return RawImage(path, voxels.reshape(1, 3, 4, 5), Frame((3.0, 2.0, 1.0)))

def write(path, voxels, frame, block):
    path.write_bytes(voxels.tobytes())

RAW = ImageFormat("raw", (".raw60",), read, write)
NOTHING = 3
"""


def read_raw(path, channels):
    return RawImage(
        path, np.frombuffer(path.read_bytes(), np.uint8).reshape(1, 3, 4, 5), Frame((3.0, 2.0, 1.0))
    )


def write_raw(path, voxels, frame, block):
    path.write_bytes(voxels.tobytes())


@pytest.fixture(autouse=True)
def _formats_as_before(monkeypatch):
    monkeypatch.setattr(known_formats, "_added", [])


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "case.RAW60"
    path.write_bytes(VOXELS.tobytes())
    return path


def test_an_added_format_is_read_and_written(tmp_path, raw):
    assert format_of(raw) is None
    add_formats([ImageFormat("raw", (".raw60",), read_raw, write_raw)])
    assert ending(raw) == answer_ending(raw) == ".raw60"
    volume = read_volume([raw])
    np.testing.assert_array_equal(volume.voxels[0], VOXELS)
    assert volume.frame.spacing == (3.0, 2.0, 1.0)
    write_label(tmp_path / "label.raw60", VOXELS % 3, volume)
    np.testing.assert_array_equal(read_label(tmp_path / "label.raw60").voxels[0], VOXELS % 3)


def test_the_longest_ending_and_the_last_added_win(tmp_path):
    mine = ImageFormat("mine", (".nii.gz",), read_raw)
    add_formats([mine])
    assert format_of(tmp_path / "a.nii.gz") is mine
    assert format_of(tmp_path / "a.nii").name == "NIfTI"
    longer = ImageFormat("longer", (".seg.nii.gz",), read_raw)
    add_formats([longer, mine])
    assert format_of(tmp_path / "a.seg.nii.gz") is longer
    assert answer_ending(tmp_path / "a.seg.nii.gz") == ""
    later = ImageFormat("later", (".nii.gz",), read_raw)
    add_formats([later])
    assert format_of(tmp_path / "a.nii.gz") is later


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path, channels: 1 / 0, "reader of odd fails .ZeroDivisionError.*authors"),
        (lambda path, channels: VOXELS, "reader of odd gives .*RawImage .*authors"),
        (lambda path, channels: RawImage(path, VOXELS, Frame((1.0, 1.0, 1.0))), "gives .3, 4, 5."),
        (
            lambda path, channels: RawImage(path, np.stack([VOXELS] * 2), Frame((1.0, 1.0, 1.0))),
            r"gives \(2, 3, 4, 5\), where .* 1 channel",
        ),
        (
            lambda path, channels: RawImage(path, VOXELS[None] + np.nan, Frame((1.0, 1.0, 1.0))),
            "NaN or infinite",
        ),
    ],
)
def test_a_reader_that_fails_is_a_fault_of_the_file(raw, read, words):
    add_formats([ImageFormat("odd", (".raw60",), read)])
    with pytest.raises(ImageError, match=f"{raw.name}: .*{words}"):
        read_volume([raw])


def test_a_format_without_a_writer_is_not_written(tmp_path, raw):
    add_formats([ImageFormat("raw", (".raw60",), read_raw)])
    with pytest.raises(ImageError, match="no image of this ending is written"):
        write_label(tmp_path / "label.raw60", VOXELS, read_volume([raw]))


@pytest.mark.parametrize("endings", [(), ("raw",), (".RAW",)])
def test_endings_are_checked(endings):
    with pytest.raises(ValueError, match="endings are small letters"):
        add_formats([ImageFormat("odd", endings, read_raw)])


def test_formats_are_named_on_the_command_line(tmp_path, monkeypatch, raw):
    (tmp_path / "my_formats.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    add_image_formats(["my_formats.RAW"])
    np.testing.assert_array_equal(read_volume([raw]).voxels[0], VOXELS)
    for name, words in (
        ("my_formats.NOTHING", "an ImageFormat is wanted, got 3"),
        ("my_formats.LOST", "does not name an image format"),
        ("lost.RAW", "No module named"),
    ):
        with pytest.raises(UsageError, match=words):
            add_image_formats([name])


@pytest.mark.slow
def test_formats_of_installed_packages_are_found_and_broken_ones_are_told(tmp_path, raw):
    site = tmp_path / "site"
    (site / "my_formats-1.0.dist-info").mkdir(parents=True)
    (site / "my_formats.py").write_text(MODULE)
    (site / "my_formats-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: my-formats\nVersion: 1.0\n"
    )
    (site / "my_formats-1.0.dist-info" / "entry_points.txt").write_text(
        "[ingradient_pl.image_formats]\n"
        "raw = my_formats:RAW\nlost = my_formats:LOST\nnumber = my_formats:NOTHING\n"
    )
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(site)!r})
        from pathlib import Path
        from ingradient_pl.images.formats import read_volume
        print(read_volume([Path({str(raw)!r})]).voxels.sum())
        """
    )
    root = Path(known_formats.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stdout.strip() == str(VOXELS.sum()), done.stderr
    assert "The image format 'lost' (my_formats:LOST) is not used" in done.stderr
    assert (
        "The image format 'number' (my_formats:NOTHING) is not used: an ImageFormat is wanted" in done.stderr
    )
