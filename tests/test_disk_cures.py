"""What a disk does not give is one line with the cure; a pipe is no data set."""

import builtins
import errno
import os
import threading
import types
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf
from oracles import cases_predictor, write_ball

from ingradient_pl.cli.failures import CURES, fail, plain_errors
from ingradient_pl.cli.sweep_table import SweepTable
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.files import REFUSED, whole_file
from ingradient_pl.images import formats
from ingradient_pl.inference.postprocess import Steps
from ingradient_pl.inference.postprocess_folder import process_folder
from ingradient_pl.inference.predict_cases import save_cases
from ingradient_pl.lightning.run_log import close_log, open_log, write_down
from ingradient_pl.messages import say
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


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
OTHERS = (errno.EIO, errno.EACCES, errno.ENAMETOOLONG)


@pytest.mark.parametrize("number", [*FULL, *OTHERS], ids=errno.errorcode.get)
@pytest.mark.parametrize("command", ["predict", "postprocess"])
def test_what_keeps_one_case_from_being_written_keeps_all_and_ends_the_work(
    tmp_path, monkeypatch, command, number, raw_phantoms
):
    asked = []

    def refuse(target, *_):
        asked.append(target)
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(formats, "write_label", refuse)

    def work():
        if command == "postprocess":
            return process_folder(raw_phantoms / "labelsTr", tmp_path / "out", Steps(()), workers=1)[1]
        cases = [write_ball(tmp_path, f"case_{one}") for one in range(3)]
        return save_cases(cases_predictor(), cases, tmp_path / "out").failures

    if number in OTHERS:
        assert len(work()) == len(asked) > 2
        return
    with pytest.raises(OSError, match=os.strerror(number)) as refused:
        work()
    assert refused.value.filename == str(asked[0])
    assert len(asked) <= 2  # what was handed on before that was known


def _refuse():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/events")


def _make_own_error(work):
    try:
        work()
    except OSError as error:
        raise ValueError("you tried to log -1 which is currently not supported") from error


@pytest.mark.parametrize("package", ["somebody.logger", "ingradient_pl.store.build"])
def test_what_another_package_makes_of_a_full_disk_is_told_as_the_disk_says_it(capsys, package):
    theirs = types.FunctionType(_make_own_error.__code__, {"__name__": package, "__builtins__": builtins})
    with pytest.raises(SystemExit) as left, plain_errors("ingradient-train"):
        theirs(_refuse)
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 1
    assert ("/data/events" in line, "you tried" in line) == (
        package == "somebody.logger",
        package != "somebody.logger",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
@pytest.mark.parametrize("failed", [False, True])
def test_a_log_that_the_disk_refuses_is_said_once_and_without_a_traceback(capsys, caplog, failed):
    log = open_log(Path("/dev/full"))
    for text in ("Training", "Epoch 1/2"):
        say(text)
        write_down(log, text)
    close_log(log, failed=failed)
    found = [one.getMessage() for one in caplog.records if "/dev/full" in one.getMessage()]
    assert found == ([] if failed else [f"/dev/full lacks lines: {os.strerror(errno.ENOSPC)}."])
    assert "Traceback" not in capsys.readouterr().err


FAILED = JobReturn(overrides=[], status=JobStatus.FAILED, _return_value=MemoryError("too large"))
JOBS = {
    "done": (JobReturn(overrides=[], status=JobStatus.COMPLETED, _return_value=0.5), "is not kept: "),
    "failed alone": (JobReturn(overrides=[], status=JobStatus.COMPLETED, _return_value=float("nan")), None),
    "failed in a sweep": (FAILED, "the sweep goes on. MemoryError: too large"),
}


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("place", ["sweep_table.replace_file", "sweep_table.keep_table"])
def test_a_score_or_table_that_has_no_room_is_said_where_there_is_a_score(
    tmp_path, capsys, monkeypatch, name, place
):
    """A run that failed tells why itself, and a sweep of it, though there is no room for its reason."""
    job, told = JOBS[name]
    (tmp_path / ".hydra").mkdir()
    monkeypatch.setattr(f"ingradient_pl.cli.{place}", _full)
    monkeypatch.setattr("ingradient_pl.cli.sweep_table.write_reason", lambda *_: None)
    mode = RunMode.MULTIRUN if name != "failed alone" else RunMode.RUN
    hydra = {"runtime": {"output_dir": str(tmp_path)}, "mode": mode, "sweep": {"dir": str(tmp_path)}}
    SweepTable().on_job_end(OmegaConf.create({"maximise": "val/dice", "hydra": hydra}), job)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (0 if told is None else 1)
    assert not lines or told in lines[0]


def test_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / "table.csv")
    with pytest.raises(SourceError, match=r"table\.csv: a pipe"):
        read_source(tmp_path / "table.csv")
