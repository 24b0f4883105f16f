"""What a disk does not give is one line with the cure; a pipe is no data set."""

import errno
import os
import threading

import pytest

from ingradient_pl.cli.failures import CURES, fail, plain_errors
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.datasets.sources import read_source


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


def test_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(SourceError, match=r"table\.csv: a pipe"):
        read_source(tmp_path / "table.csv")
