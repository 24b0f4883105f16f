"""A file of another known kind in the place of a checkpoint: what it is, and what is wanted."""

import pytest
from runs import outcome

from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.inference.checkpoint_file import CheckpointError, check_sums, read_content

OTHERS = {
    "plan.yaml": "a YAML file, as plans are",
    "summary.json": "a JSON file",
    "scan.nii.gz": "an image",
    "notes.txt": "a text file",
}


@pytest.mark.parametrize(("name", "kind"), OTHERS.items())
@pytest.mark.parametrize("opened", [read_content, check_sums, read_weights])
def test_a_file_of_another_kind_is_no_checkpoint_and_named(tmp_path, name, kind, opened):
    if opened is read_weights and name.endswith(".json"):
        pytest.skip("an encoder's plan")
    (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{name} is not a checkpoint but {kind}. Name a file"):
        opened(tmp_path / name)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match="is not a checkpoint but a folder"):
        read_content(tmp_path)
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_content(tmp_path / "plan.yaml")


@pytest.mark.parametrize("name", ["summary.json", "scan.nii.gz", "notes.txt"])
def test_info_says_what_a_file_is_and_what_is_wanted(monkeypatch, capsys, tmp_path, name):
    (tmp_path / name).write_text("{}")
    code, out, err = outcome(monkeypatch, capsys, "info", tmp_path / name)
    assert (code, out) == (1, "")
    assert f"{name} is {OTHERS[name]}, which is neither a plan nor a checkpoint. Name the folder" in err
