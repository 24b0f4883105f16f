"""What a disk does not give is one line with the cure; a pipe is no data set."""

import errno
import os
import threading
from importlib import import_module
from pathlib import Path

import pytest

from ingradient_pl.cli.failures import CURES, fail, plain_errors
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.files import REFUSED, whole_file
from ingradient_pl.store.case_store import CaseStore

show = import_module("ingradient_pl.commands.show")


@pytest.mark.parametrize("number", sorted(CURES), ids=lambda number: errno.errorcode[number])
def test_the_line_names_the_file_and_what_to_do(capsys, number):
    with pytest.raises(SystemExit):
        fail("ingradient predict", OSError(number, os.strerror(number), "/data/out"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "/data/out" in line
    assert line.endswith(CURES[number])


def _full(file, *_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("mode", ["w", "wb", "ab", "w+b"])
@pytest.mark.parametrize("name", [str, os.fsencode], ids=["text", "bytes"])
@pytest.mark.parametrize("in_thread", [False, True])
def test_a_full_disk_names_the_file_that_was_written_whoever_writes_it(
    tmp_path, capsys, mode, name, in_thread
):
    def write():
        with (tmp_path / "read").open() as _source, open(name(str(tmp_path / "full [1]")), mode) as file:  # noqa: PTH123
            _full(file)

    (tmp_path / "read").touch()
    with plain_errors("ingradient predict") if in_thread else pytest.raises(SystemExit):
        if in_thread:
            thread = threading.Thread(target=write)
            thread.start()
            thread.join()
        else:
            with plain_errors("ingradient predict"):
                write()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ingradient predict: ")
    assert str(tmp_path / "full [1]") in line
    assert line.endswith(CURES[errno.ENOSPC])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("named", [True, False])
def test_a_disk_that_refuses_a_file_names_the_one_that_was_asked_for(tmp_path, number, named):
    def write():
        with whole_file(tmp_path / "plan.yaml") as temporary:
            raise OSError(number, os.strerror(number), *([str(temporary)] if named else []))

    with pytest.raises(OSError, match=os.strerror(number)) as refused:
        write()
    known = named or number in REFUSED
    assert refused.value.filename == (str(tmp_path / "plan.yaml") if known else None)
    assert not list(tmp_path.iterdir())


def test_pictures_that_have_no_place_are_one_line(monkeypatch, capsys, tmp_path, phantom_store):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(show, "open_store", lambda _: CaseStore(phantom_store))
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SystemExit) as left, plain_errors("ingradient show"):
        show.show(phantom_store, tmp_path / "shown")
    assert left.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "shown") in line
    assert line.endswith(CURES[errno.EROFS])


def test_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(SourceError, match=r"table\.csv: a pipe"):
        read_source(tmp_path / "table.csv")
