"""A command that is told to stop while it starts, or works: one line, and the exit code of shells."""

import os
import signal
import subprocess
import sys

import command_lines
import pytest

from ingradient_pl.cli import main as entry
from ingradient_pl.cli.failures import INTERRUPTED, STOPPED, TERMINATED, plain_errors, stop_in_one_line
from ingradient_pl.cli.options import RESUMED, explain_stop
from ingradient_pl.workers.stopped import Stopped

CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
HEAVY = ("numpy", "torch", "hydra", "yaml")
"""What commands import first, each of them while it starts."""


def told_within_an_import(number, tmp_path, command):
    """Start a command whose first import of something heavy tells it to stop, and swallows what is raised."""
    text = f"import os\ntry:\n    os.kill(os.getpid(), {int(number)})\nexcept BaseException:\n    pass\n"
    for name in HEAVY:
        (tmp_path / f"{name}.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    module = "train" if command == "train" else "main"
    line = [sys.executable, "-m", f"ingradient_pl.cli.{module}", *([] if module == "train" else [command])]
    return subprocess.run(
        line, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(autouse=True)
def heard_signals():
    """Signals as a terminal's commands have them: what is started in the background ignores the keyboard."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", sorted(entry.COMMANDS))
def test_a_command_told_to_stop_while_it_imports_says_one_line(tmp_path, command):
    number = list(CODES)[len(command) % 2]
    done = told_within_an_import(number, tmp_path, command)
    name = "ingradient-train" if command == "train" else f"ingradient {command}"
    assert done.stderr == f"{name}: {STOPPED}\n"
    assert done.returncode == CODES[number]


@pytest.mark.parametrize("number", list(CODES))
def test_a_signal_that_somebody_asked_for_is_theirs(number):
    heard = []
    before = signal.signal(number, lambda *told: heard.append(told[0]))
    try:
        with stop_in_one_line("x"):
            os.kill(os.getpid(), number)
        assert heard == [number]
    finally:
        signal.signal(number, before)


def test_the_keyboard_stops_work_by_an_exception_and_one_line(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(Stopped) as raised,
        stop_in_one_line("x", starting=False),
    ):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(SystemExit) as left, plain_errors("x"):
        raise raised.value
    assert left.value.code == INTERRUPTED
    assert capsys.readouterr().err == f"x: {STOPPED}\n"
    assert signal.getsignal(signal.SIGTERM) == before


LINES = {
    "prepare": ["prepare", "--source", "a b", "--store", "s"],
    "predict": ["predict", "--checkpoint", "run", "--source", "s", "--output", "o [1]"],
    "a score": ["predict", "--checkpoint", "run", "--source", "s"],
    "evaluate": ["evaluate", "--predictions", "p", "--labels", "l"],
}


@pytest.mark.parametrize("line", LINES)
def test_who_stops_a_command_is_told_how_to_go_on(line):
    told = explain_stop(LINES[line])
    assert told.startswith(STOPPED)
    assert "\n" not in told
    again = {
        "prepare": "ingradient prepare --source 'a b' --store s",
        "predict": "ingradient predict --checkpoint run --source s --output 'o [1]' --resume",
    }
    assert told.endswith(f"go on with it: {again[line]}" if line in again else STOPPED)
    assert explain_stop([*LINES["predict"], "--resume"]) == explain_stop(LINES["predict"])


@pytest.mark.parametrize("command", RESUMED)
def test_what_a_stopped_command_is_told_to_take_is_an_option(command):
    names = [f"--{name}" for name in command_lines.OPTIONS[command]]
    assert {*RESUMED[command]} <= {*names}


WORK = """
import os, signal, sys, time
from pathlib import Path
from ingradient_pl.cli.failures import plain_errors, stop_in_one_line
from ingradient_pl.files import whole_file
from ingradient_pl.unfinished import note_unfinished, unfinished_path
from ingradient_pl.scratch import scratch_folder
os.environ["TMPDIR"] = "."
with plain_errors("x"), stop_in_one_line("x", starting=False, told="stopped. Go on: y"):
    with scratch_folder() as folder, whole_file(Path("out/file")) as temporary:
        temporary.write_text("half")
        case = unfinished_path(Path("out/case"))
        note_unfinished(case)
        case.mkdir()
        case.joinpath("part").touch()
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(30)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", list(CODES))
def test_who_stops_work_finds_no_half_of_it(tmp_path, number):
    """A folder that is begun is removed by its writer at the keyboard's exception, by the handler else."""
    text = (
        WORK
        if number == signal.SIGTERM
        else "".join(one for one in WORK.splitlines(True) if "case" not in one)
    )
    line = [sys.executable, "-c", text, str(int(number))]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == CODES[number]
    assert done.stderr == "x: stopped. Go on: y\n"
    assert [str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")] == ["out"]


WRITERS = """
import os, signal, sys, threading
from pathlib import Path
from ingradient_pl import unfinished
from ingradient_pl.cli.failures import stop_in_one_line
from ingradient_pl.files import whole_file, whole_folder
begun = threading.Barrier(3)

def write(kind):
    with kind(Path("out") / kind.__name__) as temporary:
        begun.wait()
        unfinished._LEAVING.wait()
        temporary.is_dir() or temporary.write_text("whole")
    with whole_file(Path("out/next")) as temporary:
        temporary.write_text("begun too late")

for kind in (whole_file, whole_folder):
    threading.Thread(target=write, args=(kind,)).start()
with stop_in_one_line("x", starting=False):
    begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_other_threads_finish_the_file_that_they_write_and_begin_none(tmp_path):
    line = [sys.executable, "-c", WRITERS]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (TERMINATED, f"x: {STOPPED}\n")
    left = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*"))
    assert left == ["out", "out/whole_file", "out/whole_folder"]
    assert (tmp_path / "out" / "whole_file").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_what_a_parser_makes_of_the_keyboard_is_a_stop(capsys, error):
    """ANTLR's rules tidy up when they are left, fail at that, and the failure is told as a word's."""

    def parse():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            raise error("no rule is open")

    with pytest.raises(SystemExit) as left, plain_errors("x"), stop_in_one_line("x", starting=False):
        parse()
    assert left.value.code == INTERRUPTED
    assert capsys.readouterr().err == f"x: {STOPPED}\n"


TIDYING = """
import atexit, os, signal, sys
from ingradient_pl.cli.failures import plain_errors, stop_in_one_line

def tidy():
    os.kill(os.getpid(), int(sys.argv[1]))
    print("not stopped")

with plain_errors("x"), stop_in_one_line("x", starting=False):
    atexit.register(tidy)
    if sys.argv[2] == "stopped":
        os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", list(CODES))
@pytest.mark.parametrize("before", ["stopped", "done"])
def test_a_signal_while_packages_tidy_up_ends_them_without_a_word(tmp_path, number, before):
    line = [sys.executable, "-c", TIDYING, str(int(number)), before]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    told = f"x: {STOPPED}\n" if before == "stopped" else ""
    assert (done.returncode, done.stdout, done.stderr) == (CODES[number], "", told)
