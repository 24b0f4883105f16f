"""Archives and pickles that promise or unpack to more than they hold are refused before memory is taken."""

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from ingradient_pl.images import bounded_files, pairs
from ingradient_pl.images.formats import ImageError, read_volume

GOOD = {"spacing": (1.0, 2.0, 3.0), "origin": (4.0, 5.0, 6.0), "direction": tuple(np.eye(3).ravel())}
X = np.ones((1, 2, 3, 4), np.float32)


def header(shape, dtype="<f4"):
    """What stands before the numbers of an npy file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(path, content, packed=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packed) as made:
        made.writestr("x.npy", content)
    return path


def numbers(shape):
    return header(shape) + X.tobytes()


def nested(depth):
    """A list that holds itself ten times over, at each of its levels."""
    entry = [1.0] * 10
    for _ in range(depth):
        entry = [entry] * 10
    return entry


SPOILT = {
    "more than there is": numbers((1, 2, 3, 5)),
    "less than there is": numbers((1, 2, 3, 3)),
    "a terabyte": numbers((10**4, 10**4, 10**4)),
    "beyond counting": numbers((2**62, 2**62, 2**62)),
    "fewer than none": numbers((-1, 2, 3, 4)),
    "no header": b"hello",
    "a header that is not a dictionary": b"\x93NUMPY\x01\x00\x10\x00" + b"[[[[[[[[[[[[[[[[" + X.tobytes(),
    "a header that never ends": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"(" * 5000,
    "a header that nests": b"\x93NUMPY\x01\x00\x00\x40" + b"(" * 0x4000,
}


@pytest.mark.parametrize("name", SPOILT)
def test_an_archive_is_held_against_its_own_header(tmp_path, name):
    path = archive(tmp_path / "a.npz", SPOILT[name])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD))
    tracemalloc.start()
    try:
        for read in (lambda: read_volume([path]), lambda: pairs.keys(path)):
            with pytest.raises(ImageError, match=r"a\.npz: .*(npz|read).*Save"):
                read()
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_zeros_that_were_packed_small_are_bounded_by_memory(tmp_path, monkeypatch):
    content = header((1, 256, 256, 64), "|u1") + bytes(2**22)
    path = archive(tmp_path / "a.npz", content)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD))
    assert path.stat().st_size < 2**14
    assert pairs.keys(path) == {"x": (1, 256, 256, 64)}
    monkeypatch.setattr(bounded_files, "available_memory", lambda: 2**21)
    with pytest.raises(ImageError, match=r"a\.npz: its header promises"):
        read_volume([path])


def test_an_entry_that_says_too_much_of_its_size_is_refused(tmp_path):
    content = bytearray(archive(tmp_path / "a.npz", header((2**30,), "|u1") + bytes(100)).read_bytes())
    claimed = (2**30 + len(header((2**30,), "|u1"))).to_bytes(4, "little")
    directory = content.index(b"PK\x01\x02")
    content[22:26] = content[directory + 24 : directory + 28] = claimed
    (tmp_path / "a.npz").write_bytes(bytes(content))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD))
    with pytest.raises(ImageError, match="more than its packed bytes can hold"):
        read_volume([tmp_path / "a.npz"])


@pytest.mark.parametrize("at", [5, 15, 30, 45, 60, 80])
def test_a_damaged_stream_is_a_fault_of_its_file(tmp_path, at):
    path = archive(tmp_path / "a.npz", header((50, 50, 50)) + os.urandom(500_000))
    content = bytearray(path.read_bytes())
    content[at : at + 3] = b"\xff\xff\xff"
    path.write_bytes(bytes(content))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD))
    with pytest.raises(ImageError, match=r"a\.npz: "):
        read_volume([path])


@pytest.mark.parametrize("key", ["spacing", "origin", "direction"])
@pytest.mark.parametrize(
    "value",
    [nested(30), nested(1), [1.0] * 10**4, np.ones(10**5), "1, 2, 3", {"a": 1}, [None] * 3, [[[1]]], 5],
)
def test_a_place_is_a_few_numbers(tmp_path, key, value):
    path = archive(tmp_path / "a.npz", numbers(X.shape))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({**GOOD, key: value}))
    with pytest.raises(ImageError, match=r"a\.pkl: .*Correct 'spacing'"):
        read_volume([path])


@pytest.mark.parametrize("ending", [".npz", ".pkl"])
def test_pipes_are_not_waited_for(tmp_path, ending):
    archive(tmp_path / "a.npz", numbers(X.shape))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(GOOD))
    (tmp_path / f"a{ending}").unlink()
    os.mkfifo(tmp_path / f"a{ending}")
    with pytest.raises(ImageError, match=rf"a\{ending}: not a regular file \(a pipe\)"):
        read_volume([tmp_path / "a.npz"])
