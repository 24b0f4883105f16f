"""What a disk does not give is one line with the cure; a pipe is no data set."""

import errno
import os

import pytest

from ingradient_pl.cli.failures import CURES, fail
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.datasets.sources import read_source


@pytest.mark.parametrize("number", sorted(CURES), ids=lambda number: errno.errorcode[number])
def test_the_line_names_the_file_and_what_to_do(capsys, number):
    with pytest.raises(SystemExit):
        fail("ingradient predict", OSError(number, os.strerror(number), "/data/out"))
    (line,) = capsys.readouterr().err.splitlines()
    assert "/data/out" in line
    assert line.endswith(CURES[number])


def test_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(SourceError, match=r"table\.csv: a pipe"):
        read_source(tmp_path / "table.csv")
