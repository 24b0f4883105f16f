"""Tensors that are larger than what their file holds are refused, however they are told of."""

import io
import pickle
import re
import zipfile

import pytest
import tiny_models
import torch

from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint_file import CheckpointError, load
from ingradient_pl.inference.storage_sizes import StorageError, check_storages


def pickled(content):
    """Give the pickle of a file of PyTorch, and the bytes of its entries."""
    stream = io.BytesIO()
    torch.save(content, stream)
    with zipfile.ZipFile(stream) as archive:
        sizes = {name.split("/")[-1]: archive.getinfo(name).file_size for name in archive.namelist()}
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl"))), sizes


def with_pickle(path, content, change):
    """Write a file of PyTorch whose pickle is another one; all check sums fit."""
    stream = io.BytesIO()
    torch.save(content, stream)
    writer = torch._C.PyTorchFileWriter(str(path))
    with zipfile.ZipFile(stream) as archive:
        for name in archive.namelist():
            inside = name.split("/", 1)[1]
            if inside in ("version", ".data/serialization_id"):
                continue
            entry = archive.read(name)
            entry = change(entry) if inside == "data.pkl" else entry
            writer.write_record(inside, entry, len(entry))
    writer.write_end_of_file()
    return path


def larger(factor, *, shape):
    """Give what makes the first storage ``factor`` times as large, and the first tensor with it."""

    def change(content):
        found = re.search(rb"cpuq.(K.|M..|J....)", content, re.DOTALL)
        numbers = int.from_bytes(found[1][1:], "little")
        told = b"J" + (numbers * factor).to_bytes(4, "little")
        changed = content[: found.start(1)] + told + content[found.end(1) :]
        if shape:
            first = re.compile(rb"QK\x00\(K\x04K\x01K\x03").search(changed)
            begin = first.start() + len(b"QK\0(")
            changed = changed[:begin] + b"J" + (4 * factor).to_bytes(4, "little") + changed[begin + 2 :]
        return changed

    return change


@pytest.mark.parametrize("shape", [False, True])
@pytest.mark.parametrize("factor", [2, 1000, 10**6])
def test_a_tensor_does_not_go_on_into_its_neighbour(tmp_path, factor, shape):
    path = with_pickle(tmp_path / "last.ckpt", tiny_models.content(), larger(factor, shape=shape))
    for read in (load, lambda file: load(file, mmap=True), checkpoint.read, read_weights):
        with pytest.raises(CheckpointError, match=r"last\.ckpt .*(numbers|larger)"):
            read(path)


def test_whole_files_are_within_their_sizes(tmp_path):
    path = with_pickle(tmp_path / "last.ckpt", tiny_models.content(), lambda content: content)
    assert checkpoint.read(path).plan == tiny_models.plan()
    shared = torch.arange(12.0)
    check_storages(*pickled({"a": shared, "b": shared[3:], "c": shared.view(3, 4).T, "d": torch.Size([2])}))


@pytest.mark.parametrize("entry", ["others", "previous"])
def test_models_within_models_without_end_are_refused(tmp_path, entry):
    alone = content = tiny_models.content()
    for _ in range(300 if entry == "previous" else 40):
        content = {**alone, entry: [content, content] if entry == "others" else content}
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt "):
        checkpoint.read(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(1).expand(10**9), "more than the file holds"),
        ([torch.zeros(1000).expand(1000, 1000)], "more than the file holds"),
        (torch.zeros(3, device="meta"), "another kind"),
        (torch.eye(3).to_sparse(), "another kind"),
    ],
)
def test_tensors_without_numbers_of_their_own_are_refused(content, words):
    with pytest.raises(StorageError, match=words):
        check_storages(*pickled(content))


def test_nothing_behind_a_name_is_run(tmp_path):
    canary = tmp_path / "canary"

    class Harmful:
        def __reduce__(self):
            return open, (str(canary), "w")

    check_storages(pickle.dumps({"a": Harmful()}), {})
    assert not canary.exists()
