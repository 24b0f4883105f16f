"""Checkpoints are written whole and on the spot, and no changed byte of one goes unseen."""

import errno
import os
import random
import resource
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from opened_files import count_opens
from tiny_models import content, plan

from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.answer_folder import identify
from ingradient_pl.inference.archive_sums import join_sums, sum_file
from ingradient_pl.inference.checkpoint_file import MARK, check_sums, load, write_content
from ingradient_pl.lightning.checkpoint_io import WholeCheckpointIO
from ingradient_pl.lightning.resumable import check_resumable


@pytest.fixture
def file(tmp_path):
    write_content(tmp_path / "run" / "last.ckpt", content())
    return tmp_path / "run" / "last.ckpt"


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def test_what_was_written_comes_back_and_nothing_lies_beside_it(file):
    assert same(load(file), content() | {"optimizer_states": load(file)["optimizer_states"]})
    assert [entry.name for entry in file.parent.iterdir()] == ["last.ckpt"]
    assert zipfile.ZipFile(file).comment.startswith(MARK)
    assert checkpoint.read(file).plan == plan()


def positions(whole, count):
    """Where to flip: anywhere, at both ends, and around every name in the archive's directory."""
    draws = random.Random(0)
    names = [entry.header_offset for entry in zipfile.ZipFile(whole).infolist()]
    size = whole.stat().st_size
    chosen = [draws.randrange(size) for _ in range(count)]
    chosen += [size - 1 - i for i in range(0, 60, 3)] + list(range(0, 60, 7))
    return chosen + [offset + draws.randrange(80) for offset in draws.sample(names, 20)]


def test_a_flipped_bit_anywhere_is_refused_with_the_name_of_the_file(file, tmp_path):
    whole = file.read_bytes()
    draws = random.Random(1)
    for position in positions(file, 60):
        harmed = bytearray(whole)
        harmed[position] ^= 1 << draws.randrange(8)
        (tmp_path / "harmed.ckpt").write_bytes(harmed)
        for read in (load, checkpoint.read, WholeCheckpointIO().load_checkpoint):
            with pytest.raises(checkpoint.CheckpointError, match=r"harmed\.ckpt"):
                read(tmp_path / "harmed.ckpt")


def test_bytes_that_are_lost_doubled_or_added_are_refused(file, tmp_path):
    whole = file.read_bytes()
    middle = len(whole) // 2
    for changed in (
        whole[:-1],
        whole[:middle],
        whole[:middle] + whole[middle + 1 :],
        whole + b"x",
        b"x" + whole,
    ):
        (tmp_path / "harmed.ckpt").write_bytes(changed)
        with pytest.raises(checkpoint.CheckpointError, match=r"harmed\.ckpt"):
            load(tmp_path / "harmed.ckpt")


def test_weights_of_a_file_that_torch_wrote_are_checked_too(tmp_path):
    torch.save(content(), tmp_path / "plain.ckpt")
    assert checkpoint.read(tmp_path / "plain.ckpt").plan == plan()
    whole = bytearray((tmp_path / "plain.ckpt").read_bytes())
    largest = max(zipfile.ZipFile(tmp_path / "plain.ckpt").infolist(), key=lambda entry: entry.file_size)
    whole[largest.header_offset + largest.file_size // 2 + 100] ^= 4
    (tmp_path / "plain.ckpt").write_bytes(whole)
    with pytest.raises(checkpoint.CheckpointError, match=r"plain\.ckpt is damaged"):
        checkpoint.read(tmp_path / "plain.ckpt")


def test_a_packed_archive_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.ckpt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"0" * 2**20)
    with pytest.raises(checkpoint.CheckpointError, match=r"bomb\.ckpt is damaged.*packed"):
        load(tmp_path / "bomb.ckpt")


def save_arrays(path, save):
    with path.open("wb") as file:
        save(file, numbers=np.arange(1000))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_content(path, content()),
        lambda path: torch.save(content(), path),
        lambda path: save_arrays(path, np.savez),
        lambda path: save_arrays(path, np.savez_compressed),
        lambda path: path.write_bytes(random.Random(3).randbytes(3000)),
        lambda path: path.write_bytes(b""),
    ],
    ids=["ours", "torch's", "stored", "packed", "no archive", "empty"],
)
def test_the_sum_of_a_file_is_the_same_whether_its_entries_are_read(write, tmp_path):
    write(tmp_path / "file")
    assert sum_file(tmp_path / "file") == zlib.crc32((tmp_path / "file").read_bytes())


@pytest.mark.parametrize("size", [0, 1, 2, 7, 2**20 + 3, 2**33 + 5])
def test_sums_of_parts_are_joined(size):
    """Also of parts that are too large to be made here: what follows counts the same in one step or two."""
    first, half = zlib.crc32(b"first"), size // 2
    assert join_sums(join_sums(first, 0, half), 0, size - half) == join_sums(first, 0, size)
    if size < 2**30:
        rest = random.Random(size).randbytes(size)
        assert join_sums(first, zlib.crc32(rest), size) == zlib.crc32(rest, first)


def bytes_read():
    """What this process has asked the system for so far; pages that are mapped do not count."""
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(told["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").is_file(), reason="only Linux counts what is read")
def test_a_checkpoint_is_read_once_beside_its_weights(tmp_path):
    """To check it, to open it and to name the model that answers are of: as `predict` does."""
    file = tmp_path / "large.ckpt"
    write_content(file, {**content(), "more": torch.arange(2**21)})
    for _ in range(2):  # the first time modules are read, too
        before = bytes_read()
        with count_opens(tmp_path) as opened:
            checkpoint.read(file)
            identify([file])
        found = bytes_read() - before
    assert file.stat().st_size < found < 1.2 * file.stat().st_size
    assert opened["large.ckpt"] <= 4  # to check, twice by torch, to name


def test_a_full_disk_leaves_the_old_checkpoint_and_names_the_file(file):
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt") as caught:
            WholeCheckpointIO().save_checkpoint(content(), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert file.read_bytes() == before
    assert [entry.name for entry in file.parent.iterdir()] == ["last.ckpt"]


def test_a_save_needs_no_other_disk_and_removes_what_a_killed_one_left(file, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.setenv("TMPDIR", "/nowhere")
    left = file.parent / f".unfinished@{os.uname().nodename}@{2**22 + 1}@last.ckpt"
    left.write_bytes(b"half")
    WholeCheckpointIO().save_checkpoint(content(), str(file))
    assert [entry.name for entry in file.parent.iterdir()] == ["last.ckpt"]
    WholeCheckpointIO().remove_checkpoint(file)
    assert not file.exists()


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:9/x.ckpt",
        "s3://bucket/x.ckpt",
        "file:///tmp/x.ckpt",
        "simplecache::/x",
        "registry:x",
    ],
)
def test_no_checkpoint_comes_over_a_network(address):
    for read in (check_sums, load, WholeCheckpointIO().load_checkpoint):
        with pytest.raises(checkpoint.CheckpointError, match="address"):
            read(address)


def test_where_the_last_state_is_damaged_the_best_one_is_offered(tmp_path):
    for name in ("last", "best"):
        write_content(tmp_path / f"{name}.ckpt", content())
    last = tmp_path / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.ckpt.*whole.*cp .*best\.ckpt .*last\.ckpt"):
        check_resumable(last, 5)
    (tmp_path / "best.ckpt").write_bytes(b"PK")
    with pytest.raises(checkpoint.CheckpointError, match=r"last\.ckpt") as caught:
        check_resumable(last, 5)
    assert "best.ckpt" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_checkpoint_that_the_disk_does_not_give_is_not_called_damaged(file, monkeypatch, number):
    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(type(file), "open", refuse)
    with pytest.raises(checkpoint.CheckpointError, match=rf"cannot be read \({os.strerror(number)}\)"):
        load(file)
