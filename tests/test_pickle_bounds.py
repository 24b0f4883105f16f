"""Small pickles that would take years or all memory are refused before one of their operations is done."""

import io
import pickle
import zipfile

import pytest
import torch
from tiny_models import content

from ingradient_pl import pickle_bounds
from ingradient_pl.images import plain_pickle
from ingradient_pl.inference.checkpoint_file import CheckpointError, load
from ingradient_pl.nnunet.checkpoint import read_checkpoint
from ingradient_pl.pickle_bounds import PickleError, check_work

TEXT = b"X" + (2**20).to_bytes(4, "little") + b"a" * 2**20
ENCODED = (
    b"c_codecs\nencode\nq\x00" + TEXT + b"q\x01X\x06\x00\x00\x00latin1q\x02" + b"h\x00h\x01h\x02\x86R" * 400
)
DOUBLED = b"K\x01\x85q\x00" + b"h\x00h\x00\x86q\x00" * 44


def pickled(body):
    return b"\x80\x02" + body + b"."


BOMBS = {
    "a key of 2 ** 44 entries": pickled(b"}" + DOUBLED + b"K\x01s"),
    "pairs with such a key": pickled(b"ccollections\nOrderedDict\n]]" + DOUBLED + b"aK\x01aa\x85R"),
    "a memo of four billion places": pickled(b"Nr\xff\xff\xff\xff"),
    "a memo before the first place": pickled(b"Np-1\n"),
    "a text copied four hundred times": pickled(b"(" + ENCODED + b"l"),
    "more operations than there are weights": pickled(b"N0" * 15_000 + b"N"),
    "a stack that is empty": pickled(b"000"),
    "a mark as a value": pickled(b"(\x85"),
    "cut short": pickled(b"X\xff\xff\xff\x7fabc"),
}


def test_no_reader_is_busy_for_longer_than_a_few_seconds():
    assert pickle_bounds.MOST_OPERATIONS <= 2_000_000


@pytest.mark.parametrize("name", BOMBS)
def test_no_reader_begins_with_it(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle_bounds, "MOST_OPERATIONS", 20_000)  # to count to more takes a second
    with pytest.raises(PickleError, match="pickle"):
        check_work(BOMBS[name])
    with pytest.raises(PickleError):
        plain_pickle.read(BOMBS[name])
    file = tmp_path / "a.ckpt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", BOMBS[name])
        archive.writestr("a/byteorder", "little")
        archive.writestr("a/version", "3\n")
    for read in (load, read_checkpoint):
        with pytest.raises(CheckpointError, match=r"a\.ckpt"):
            read(file)


@pytest.mark.parametrize("protocol", range(6))
def test_what_honest_programs_write_is_let_through(protocol):
    plain = {"a": (1, 2.5, ("b", None)), (1, 2): [{"c": {1, 2}}] * 3, "d": b"\0" * 1000, "e": -(2**70)}
    check_work(pickle.dumps(plain, protocol))
    file = io.BytesIO()
    torch.save({"layers": [torch.nn.Linear(2, 2)], **content()}, file)
    with zipfile.ZipFile(file) as archive:
        check_work(archive.read("archive/data.pkl"))


def test_larger_than_any_description_is_refused_unread():
    with pytest.raises(PickleError, match="at most 10"):
        check_work(b"N" * 11, largest=10)
