"""A file where a folder is wanted, or above it, is named before anything is read or made."""

from pathlib import Path

import pytest
from runs import outcome

from ingradient_pl.commands.phantoms import phantoms
from ingradient_pl.commands.prepare import prepare
from ingradient_pl.files import check_can_be_folder
from ingradient_pl.inference.answer_files import check_folder
from ingradient_pl.messages import UsageError

PLACES = ("notes", "notes/run", "notes/deep/er", "here/notes")
LINES = {
    "train": ["train", "hydra.run.dir="],
    "sweep": ["train", "-m", "seed=0,1", "hydra.sweep.dir="],
    "crossval": ["crossval", "output="],
}


@pytest.fixture
def place(monkeypatch, tmp_path, request):
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    for file in ("notes", "here/notes"):
        Path(file).write_text("mine")
    return request.param


@pytest.mark.parametrize("place", PLACES, indirect=True)
@pytest.mark.parametrize(
    "make",
    [lambda to: phantoms(to, cases=1), lambda to: prepare("nothing", to), lambda to: check_folder(Path(to))],
)
def test_commands_name_the_file(place, make):
    with pytest.raises((NotADirectoryError, UsageError), match=r"notes is not a folder: .* Name another"):
        make(place)
    assert Path("notes").read_text() == "mine"


@pytest.mark.parametrize("place", ["here", "here/new/er", "new"], indirect=True)
def test_a_folder_that_is_there_or_can_be_made_will_do(place):
    check_can_be_folder(Path(place), "cases")


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES[::2], indirect=True)
@pytest.mark.parametrize("line", LINES)
def test_runs_name_the_file(monkeypatch, capsys, place, line, phantom_store, phantom_plan):
    command, *told, key = LINES[line]
    code, _, said = outcome(
        monkeypatch,
        capsys,
        command,
        f"store={phantom_store}",
        f"plan={phantom_plan}",
        "epochs=1",
        *told,
        f"{key}{place}",
    )
    assert code == 1, said
    assert "notes is not a folder" in said
    assert sorted(entry.name for entry in Path().rglob("*")) == ["here", "notes", "notes"]
