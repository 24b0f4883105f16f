"""``ingradient show``: labelled cases in three planes, before anything is trained."""

import errno
import shutil

import pytest
from PIL import Image
from runs import outcome

import ingradient_pl as ip


@pytest.mark.slow
def test_every_labelled_case_is_drawn(monkeypatch, capsys, phantom_store, tmp_path):
    folder = tmp_path / "pictures [of] cases"
    code, said, err = outcome(monkeypatch, capsys, "show", phantom_store, "--output", folder)
    assert code == 0, err
    assert "6 pictures in" in said
    pictures = sorted(folder.glob("*.png"))
    assert [file.stem for file in pictures] == list(ip.CaseStore(phantom_store).cases)
    with Image.open(pictures[0]) as picture:
        assert picture.width > 300


def test_cases_are_chosen_by_name_and_a_damaged_one_holds_up_no_other(
    monkeypatch, capsys, phantom_store, tmp_path
):
    store = tmp_path / "store"
    shutil.copytree(phantom_store, store)
    (store / "cases" / "phantom_001" / "image.b2nd").write_bytes(b"nothing")
    names = "phantom_001,phantom_002"
    line = ("show", store, "--cases", names, "--output", tmp_path / "out")
    code, _, err = outcome(monkeypatch, capsys, *line)
    assert code == 1
    assert "phantom_001: " in err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["phantom_002.png"]


def test_a_folder_that_takes_no_picture_is_one_line_with_a_cure(monkeypatch, capsys, phantom_store, tmp_path):
    def refuse(case, prediction, task, folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / f"{case.name}.png"))

    monkeypatch.setattr("ingradient_pl.commands.show.write_picture", refuse)
    code, _, err = outcome(monkeypatch, capsys, "show", phantom_store, "--output", tmp_path / "out")
    assert code == 1
    (line,) = err.splitlines()
    assert "phantom_000.png" in line
    assert "name another folder" in line


@pytest.mark.parametrize(
    ("store", "more", "told"),
    [
        ("nowhere", [], "not a case store"),
        (None, ["--cases", "a,b"], "no case 'a', 'b'"),
        (None, ["--cases", ""], "no case"),
    ],
)
def test_what_is_not_there_is_one_line(monkeypatch, capsys, phantom_store, tmp_path, store, more, told):
    where = phantom_store if store is None else tmp_path / store
    code, _, err = outcome(monkeypatch, capsys, "show", where, "--output", tmp_path / "out", *more)
    assert code != 0
    assert told in err
    assert len(err.strip().splitlines()) == 1


def test_nothing_is_written_into_a_store(monkeypatch, capsys, phantom_store):
    for folder in (phantom_store, phantom_store / "cases" / "phantom_000"):
        code, _, err = outcome(monkeypatch, capsys, "show", phantom_store, "--output", folder)
        assert code == 2
        assert "Name another folder" in err


def test_a_picture_of_ours_is_drawn_anew_and_no_other(monkeypatch, capsys, phantom_store, tmp_path):
    line = ["show", phantom_store, "--output", tmp_path, "--cases", "phantom_000"]
    assert [outcome(monkeypatch, capsys, *line)[0] for _ in range(2)] == [0, 0]
    Image.new("RGB", (4, 4)).save(tmp_path / "phantom_000.png")
    theirs = (tmp_path / "phantom_000.png").read_bytes()
    code, _, err = outcome(monkeypatch, capsys, *line)
    assert (code, "phantom_000.png is there and is something else" in err) == (2, True)
    assert (tmp_path / "phantom_000.png").read_bytes() == theirs
