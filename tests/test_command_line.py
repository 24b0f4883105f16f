"""What the commands print, and with which code they end."""

import sys

import pytest

from ingradient_pl.cli import main as entry
from ingradient_pl.cli import train as train_entry


def outcome(monkeypatch, capsys, command, *arguments):
    """Exit code, standard output and standard error of a command run in this process."""
    program, run = (
        ("ingradient-train", train_entry.main) if command == "train" else ("ingradient", entry.main)
    )
    line = [program, *([] if command == "train" else [command]), *map(str, arguments)]
    monkeypatch.setattr(sys, "argv", line)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    code = 0
    try:
        run()
    except SystemExit as stop:
        code = stop.code or 0
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    "command",
    [
        "phantoms",
        "prepare",
        "plan",
        "predict",
        "evaluate",
        "compare",
        "postprocess",
        "export",
        "import-nnunet",
    ],
)
def test_help_tells_what_each_option_is(monkeypatch, capsys, command):
    code, out, _ = outcome(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert "--" in out
    assert len(out) > 200


def test_help_lists_the_commands(monkeypatch, capsys):
    code, out, _ = outcome(monkeypatch, capsys, "--help")
    assert code == 0
    assert all(command in out for command in entry.COMMANDS)


def test_an_unknown_command_ends_with_2(monkeypatch, capsys):
    code, _, err = outcome(monkeypatch, capsys, "prepair")
    assert code == 2
    assert "no command 'prepair'" in err


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("prepare", ["--sauce", "x"]),
        ("prepare", []),
        ("plan", ["--planner", "best"]),
        ("predict", ["--step"]),
    ],
)
def test_bad_usage_ends_with_2(monkeypatch, capsys, command, arguments):
    code, _, err = outcome(monkeypatch, capsys, command, *arguments)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("prepare", ["--source", "nowhere", "--store", "store"], "nowhere"),
        ("plan", ["--store", "nowhere", "--output", "plan.yaml"], "nowhere"),
        ("predict", ["--checkpoint", "no.ckpt", "--source", "x", "--output", "y"], "no.ckpt"),
        ("predict", ["--checkpoint", "no.ckpt", "--source", "x", "--postprocess", "no.yaml"], "no.yaml"),
        ("export", ["--checkpoint", "no.ckpt", "--output", "y"], "no.ckpt"),
        ("compare", ["--first", "no.json", "--second", "x.json"], "no.json"),
        ("postprocess", ["--predictions", "x", "--output", "y", "--postprocess", "no.yaml"], "no.yaml"),
        ("evaluate", ["--predictions", "nowhere", "--labels", "x", "--output", "s.json"], "nowhere"),
        ("train", ["store=nowhere", "plan=no.yaml"], "no.yaml"),
        ("train", ["store=nowhere"], "ingradient plan"),
        ("train", ["resume=nowhere"], "othing to resume"),
    ],
)
def test_a_wrong_path_ends_with_1_and_one_line(monkeypatch, capsys, tmp_path, command, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, command, *arguments)
    assert code == 1
    assert said in err
    assert "Traceback" not in err


def test_an_unknown_config_key_ends_with_2_and_its_name(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, "trainr.max_steps=3")
    assert code == 2
    assert "trainr" in err


def test_a_sweep_of_two_jobs_leaves_two_runs(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    swept = ["epochs=1", "plan.spacing=[1.5,1,1],[2,2,2]", "hydra.sweep.dir=sweep"]
    arguments = [quick[0], "-m", *quick[1:], *swept]
    code, _, err = outcome(monkeypatch, capsys, "train", *arguments)
    assert code == 0, err
    assert sorted(path.parent.parent.name for path in tmp_path.glob("sweep/*/checkpoints/last.ckpt")) == [
        "0",
        "1",
    ]


def test_a_run_goes_on_by_one_key(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, "epochs=1", "hydra.run.dir=run")
    assert code == 0, err
    code, _, err = outcome(monkeypatch, capsys, "train", "resume=run", "epochs=2")
    assert code == 0, err
    import torch

    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
