"""Pickles of plain values are read; whatever would run is refused, and nothing runs."""

import collections
import os
import pathlib
import pickle

import numpy as np
import pytest

from ingradient_pl.images.formats import ImageError, read_volume
from ingradient_pl.images.plain_pickle import PickleError, read

PLAIN = {
    "spacing": np.array([0.5, 0.75, 3.0]),
    "direction": np.eye(3).ravel(),
    "origin": (1.5, -2.5, np.float64(7)),
    "nested": {"list": [1, 2.5, None, True, -(2**70)], "text": "ä", "bytes": b"\x00\xff"},
    "grid": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    "empty": np.zeros((0, 3), np.float32),
    "flag": np.bool_(True),
}


def same(first, second):
    if isinstance(first, dict):
        assert list(first) == list(second)
        return all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(np.array_equal(first, second)) if isinstance(first, np.ndarray) else first == second


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_arrays_come_back_in_every_protocol(protocol):
    assert same(read(pickle.dumps(PLAIN, protocol=protocol)), PLAIN)


def test_names_of_older_numpy_are_known():
    content = pickle.dumps(PLAIN, protocol=2).replace(b"numpy._core.", b"numpy.core.")
    assert same(read(content), PLAIN)
    assert read(pickle.dumps(collections.OrderedDict(a=1), protocol=2)) in ({"a": 1}, {})


class Runs:
    """What an attacker writes."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


class Stated:
    def __init__(self):
        self.inside = 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_runs(tmp_path, protocol):
    spoor = tmp_path / "it_ran"
    attacks = [
        Runs(os.system, f"touch {spoor}"),
        Runs(eval, f"open({str(spoor)!r}, 'w')"),
        Runs(getattr, "text", "upper"),
        Runs(bytes, 2**40),
        Runs(np.memmap, str(spoor), "u1", "w+", 0, (1,)),
        Runs(np.fromfile, str(spoor)),
        Runs(bytearray, 2**40),
        pathlib.PurePosixPath("a"),
        Stated(),
        np.array([Runs(os.system, f"touch {spoor}")], dtype=object),
        np.zeros(2, dtype=[("a", "f4")]),
        {1, 2} if protocol < 4 else frozenset({1}),
        np.load,
        1j,
    ]
    for attack in attacks:
        with pytest.raises(PickleError):
            read(pickle.dumps({"spacing": attack}, protocol=protocol))
    assert not spoor.exists()


def test_hand_made_pickles_end_in_a_clear_error():
    dump = pickle.dumps
    spoilt = [
        b"",
        b".",
        b"garbage",
        dump(PLAIN)[:-30],
        b"cos\nsystem\n(S'true'\ntR.",
        b"cnumpy\nndarray\n.",
        b"cnumpy\nndarray\n)R.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n)R(I1\nI1\nI1\nI1\nI1\ntb.",
        b"(lp0\ng0\na.",  # a list in itself
        b"N" * 10 + b"(ttttttt.",
        b"g7\n.",
        b"Phello\n.",
        b"\x82\x01.",
    ]
    for content in spoilt:
        with pytest.raises(PickleError):
            read(content)


def test_a_small_pickle_cannot_grow_large():
    nested, deep = [1], [1]
    for _ in range(44):
        nested = [nested, nested]
    assert len(read(pickle.dumps(nested))) == 2  # and that at once: 2 ** 44 entries, were they made
    for _ in range(80):
        deep = [deep]
    with pytest.raises(PickleError, match="deep"):
        read(pickle.dumps(deep))


def pair(folder, name="case_000", properties=None, **arrays):
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    content = properties if isinstance(properties, bytes) else pickle.dumps(properties)
    (folder / f"{name}.pkl").write_bytes(content)
    return [folder / f"{name}.npz", folder / f"{name}.pkl"]


GOOD = {"spacing": np.array([1.0, 2.0, 3.0]), "direction": np.eye(3).ravel(), "origin": np.array([4.0, 5, 6])}


def test_a_pair_lies_where_its_pickle_says(tmp_path):
    x = np.arange(24, dtype=np.int16).reshape(1, 2, 3, 4)
    volume = read_volume(pair(tmp_path, properties=GOOD, x=x, y=x[0]))
    np.testing.assert_array_equal(volume.voxels, x)
    assert volume.frame.spacing == (3.0, 2.0, 1.0)
    assert volume.frame.origin == (4.0, 5.0, 6.0)
    turned = read_volume(
        pair(tmp_path, properties=GOOD | {"direction": (-1, 0, 0, 0, -1, 0, 0, 0, 1)}, x=x[0])
    )
    np.testing.assert_array_equal(turned.voxels, x[:, :, ::-1, ::-1])
    assert turned.frame.origin == (4.0 - 3 * 1, 5.0 - 2 * 2, 6.0)


def test_a_faulty_pair_is_named_with_its_cure(tmp_path):
    x = np.ones((1, 2, 3, 4), np.float32)
    faulty = [
        ({"properties": pickle.dumps(Runs(os.system, "true")), "x": x}, r"case_000\.pkl.*system.*plain"),
        ({"properties": [1], "x": x}, r"case_000\.pkl.*dictionary with 'spacing'"),
        ({"properties": GOOD | {"spacing": [1, 1, -1]}, "x": x}, "positive"),
        ({"properties": GOOD | {"spacing": "thin"}, "x": x}, "Correct 'spacing'"),
        ({"properties": GOOD, "y": x}, "no 'x' in it"),
        ({"properties": GOOD, "x": np.array([[None]], dtype=object)}, "array of numbers"),
        ({"properties": GOOD, "x": np.ones((3, 4))}, "must be .modalities, z, y, x"),
        ({"properties": GOOD, "x": np.full_like(x, np.nan)}, "NaN"),
    ]
    for arguments, words in faulty:
        with pytest.raises(ImageError, match=words):
            read_volume(pair(tmp_path, **arguments))
    npz, pkl = pair(tmp_path, properties=GOOD, x=x)
    npz.write_bytes(npz.read_bytes()[:-40])
    with pytest.raises(ImageError, match=r"case_000\.npz.*not a readable npz"):
        read_volume([npz, pkl])
    pkl.unlink()
    pair(tmp_path, "other", properties=GOOD, x=x)
    (tmp_path / "other.pkl").unlink()
    with pytest.raises(ImageError, match=r"other\.pkl.*no such file"):
        read_volume([tmp_path / "other.npz"])
