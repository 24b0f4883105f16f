"""The git state of the folder that a command is started in; a checkout that somebody packed runs nothing."""

import subprocess

import pytest

from ingradient_pl.provenance import git_state

PROGRAM = "touch {0}/canary; cat"
HOSTILE = [
    {"core.fsmonitor": PROGRAM},
    {"core.fsmonitor": PROGRAM, "core.fsmonitorhookversion": "2"},
    {"filter.x.clean": PROGRAM},
    {"filter.x.process": PROGRAM, "filter.x.required": "true"},
    {"include.path": "{0}/more"},
    {"includeIf.gitdir:/.path": "{0}/more"},
    {"core.hooksPath": "{0}"},
    {"diff.x.textconv": PROGRAM},
]


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "data set"
    folder.mkdir()

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)

    git("init")
    (folder / "file").write_text("text")
    (folder / ".gitattributes").write_text("* filter=x diff=x\n")
    git("add", ".")
    git("commit", "-m", "first")
    return folder, git


def test_commit_and_changes_are_told(checkout):
    folder, _ = checkout
    found = git_state(folder)
    assert len(found["commit"]) == 40
    assert found["changed"] is False
    (folder / "file").write_text("other")
    assert git_state(folder)["changed"] is True
    assert git_state(folder.parent) is None


@pytest.mark.parametrize("settings", HOSTILE, ids=lambda settings: next(iter(settings)))
def test_settings_that_come_with_a_checkout_run_nothing(checkout, tmp_path, settings):
    folder, git = checkout
    (tmp_path / "more").write_text(f"[core]\nfsmonitor = {PROGRAM.format(tmp_path)}\n")
    for name, value in settings.items():
        git("config", name, value.format(tmp_path))
    (folder / "file").write_text("nine")
    found = git_state(folder)
    assert len(found["commit"]) == 40
    assert found["changed"] is None
    assert not (tmp_path / "canary").exists()
