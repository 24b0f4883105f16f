"""A run that never began leaves nothing that was not there before, and takes away nothing that was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from runs import outcome

from ingradient_pl import train
from ingradient_pl.cli.run_folders import claim, hold_folder
from ingradient_pl.untouched import FolderBefore, keep_noted, note_folder, restore_unbegun

REFUSED = {
    "a count": (["epochs=0"], 2),
    "no such fold": (["data.split.number=99"], 1),
    "an object": (["trainer.accelerator=abacus"], 1),
    "a key": (["epohs=1"], 2),
    "a sweep's key": (["-m", "epohs=1", "seed=0,1"], 2),
    "shown, not trained": (["--cfg", "job"], 0),
}
PLACES = ("new", "somebody's", "deep/new", "by the time")


def listed(folder: Path) -> dict[str, bytes | None]:
    files = sorted(folder.rglob("*"))
    return {str(file.relative_to(folder)): file.read_bytes() if file.is_file() else None for file in files}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "place"), [*zip(REFUSED, PLACES * 2, strict=False)])
def test_a_line_that_is_refused_leaves_the_folder_as_it_was(
    monkeypatch, capsys, tmp_path, phantom_store, phantom_plan, fault, place
):
    told, code = REFUSED[fault]
    monkeypatch.chdir(tmp_path)
    Path("somebody's", ".hydra", "mine").mkdir(parents=True)
    Path("somebody's", "notes.txt").write_text("mine")
    before = listed(tmp_path)
    key = "hydra.sweep.dir" if "-m" in told else "hydra.run.dir"
    folder = [] if place == "by the time" else [f'{key}="{place}"']
    line = [f"store={phantom_store}", f"plan={phantom_plan}", "trainer=cpu", "epochs=1", *folder]
    own = {entry.partition("=")[0] for entry in told}
    line = [entry for entry in line if entry.partition("=")[0] not in own]
    assert outcome(monkeypatch, capsys, "train", *line, *told)[0] == code
    assert listed(tmp_path) == before


@pytest.mark.slow
def test_a_function_that_refuses_leaves_nothing_either(monkeypatch, tmp_path, phantom_store, phantom_plan):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="epochs"):
        train(phantom_store, phantom_plan, "run", epochs=0)
    assert not listed(tmp_path)


@pytest.mark.parametrize("trained", ["run.json", "checkpoints/last.ckpt", "fold_0/error.txt", None])
def test_what_was_trained_stays_whoever_did_it(tmp_path, trained):
    """In this process, whose callback says so, or by a launcher's."""
    folder = tmp_path / "a" / "run"

    def fail():
        with hold_folder(folder):
            (folder / "log").touch()
            if trained is None:
                keep_noted()
            else:
                (folder / trained).parent.mkdir(exist_ok=True)
                (folder / trained).touch()
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        fail()
    assert (folder / "log").is_file()


def test_what_was_there_before_stays_and_links_are_not_followed(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / "checkpoints" / "last.ckpt").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    before = listed(tmp_path)

    @restore_unbegun()
    def refuse():
        note_folder(FolderBefore.of(tmp_path / "run"))
        (tmp_path / "run" / ".hydra" / "new").mkdir()
        (tmp_path / "run" / ".hydra" / "new" / "link").symlink_to(tmp_path / "other")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refuse()
    assert listed(tmp_path) == before


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("others", ["notes.txt", "run7/metrics.csv", "run7/.hydra/config.yaml"])
def test_what_others_put_there_meanwhile_stays(tmp_path, others, there):
    """Another run of theirs may have just begun in a folder of that one."""
    folder, file = tmp_path / "runs", tmp_path / "runs" / others
    if there:
        folder.mkdir()

    @restore_unbegun()
    def refuse():
        note_folder(FolderBefore.of(folder))
        (folder / ".hydra").mkdir(parents=True)
        (folder / ".hydra" / "config.yaml").touch()
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text("theirs")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        refuse()
    assert file.read_text() == "theirs"
    assert not (folder / ".hydra").exists()


def test_the_folder_of_another_process_stays_as_it_is(tmp_path):
    with hold_folder(tmp_path / "run"):
        before = listed(tmp_path)

        @restore_unbegun()
        def refuse():
            note_folder(FolderBefore(tmp_path / "run", frozenset(), (tmp_path / "run",), os.getpid()))
            hold_folder(tmp_path / "run").__enter__()

        with pytest.raises(FileExistsError, match="Another process"):
            refuse()
        assert listed(tmp_path) == before


def test_a_child_leaves_its_parents_folders_alone(tmp_path):
    before = FolderBefore.of(tmp_path / "run")
    (tmp_path / "run").mkdir()
    before._replace(process=os.getpid() + 1).restore()
    assert (tmp_path / "run").is_dir()
    before.restore()
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_refused_takes_its_own_folder_only(tmp_path):

    @restore_unbegun()
    def refuse():
        assert claim(tmp_path / "run") == tmp_path / "run-1"
        raise KeyboardInterrupt

    with restore_unbegun():
        claim(tmp_path / "run")
        with pytest.raises(KeyboardInterrupt):
            refuse()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_a_signal_before_the_first_step_leaves_nothing(tmp_path):
    """SIGTERM ends a command that starts at once: what it made is removed by what hears the signal."""
    text = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from ingradient_pl.cli.failures import stop_in_one_line\n"
        "from ingradient_pl.cli.run_folders import hold_folder\n"
        "with stop_in_one_line('x', starting=False), hold_folder(Path('run')):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
