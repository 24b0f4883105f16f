"""What the commands print, and with which code they end."""

import importlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import preloaded
import processes
import pytest
from omegaconf import OmegaConf
from runs import composed, outcome

from ingradient_pl.cli import main as entry
from ingradient_pl.cli.command_help import paint
from ingradient_pl.cli.main import FIRST


@pytest.mark.parametrize("command", sorted(set(entry.COMMANDS) - set(entry.OWN_MODULES)))
def test_help_tells_what_each_option_is_and_ends_with_an_example(monkeypatch, capsys, command):
    code, out, _ = outcome(monkeypatch, capsys, command, "--help")
    assert code == 0
    options, example = out.split("\nexample:\n  ingradient ")
    assert example.startswith(f"{command} ")
    assert "(type:" not in out
    known, said = (set(re.findall(r"--\w+", part)) for part in (options, example))
    needed = set(re.findall(r"--\w+", options.splitlines()[0]))
    first = {FIRST[command]} if not shlex.split(example)[1].startswith("-") else set()
    assert needed <= said | first <= known, "an example is a line that can be typed"


@pytest.mark.parametrize(
    "command", sorted((set(entry.COMMANDS) - set(entry.OWN_MODULES)) | {*entry.FUNCTIONS})
)
def test_help_is_that_of_the_function_and_imports_none_of_what_it_does(monkeypatch, capsys, command):
    monkeypatch.setattr(entry, "_asks_for_help", lambda arguments: False)
    imported = outcome(monkeypatch, capsys, command, "--help")[1]
    monkeypatch.undo()
    asked, load = [], importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: (asked.append(name), load(name))[1])
    assert outcome(monkeypatch, capsys, command, "--help")[1] == imported
    assert not {
        name for name in asked if name.startswith(("ingradient_pl.commands", "ingradient_pl.cli.lightning"))
    }


def test_help_of_training_is_what_hydra_makes_of_its_config(monkeypatch, capsys):
    ours = outcome(monkeypatch, capsys, "train", "--help")[1]
    hydras = outcome(monkeypatch, capsys, "train", "--help", "seed=1")[1]
    assert ours.split() == hydras.split()


def test_help_is_in_colours_on_a_terminal_alone(monkeypatch, capsys):
    plain = outcome(monkeypatch, capsys, "compare", "--help")[1]
    assert "\033" not in plain
    painted = paint(plain)
    assert re.sub("\033\\[\\d*m", "", painted) == plain
    for part in (
        "\033[1musage:",
        "\033[1moptions:",
        "\033[36m--first FIRST\033[0m",
        "\033[32mingradient compare",
    ):
        assert part in painted
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert outcome(monkeypatch, capsys, "compare", "--help")[1] == painted
    monkeypatch.setenv("NO_COLOR", "1")
    assert outcome(monkeypatch, capsys, "compare", "--help")[1] == plain


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_help_of_lightning_is_short_and_its_example_is_of_keys_that_there_are(monkeypatch, capsys, command):
    code, out, _ = outcome(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert len(out.splitlines()) < 30
    example = shlex.split(out.splitlines()[-1])
    assert example[:2] == ["ingradient", command]
    assert all(
        word in out.split("example:")[0] or ".planner." in word or ".max_epochs" in word
        for word in example
        if word.startswith("--")
    )


def test_help_of_training_is_short_and_names_keys_that_there_are(monkeypatch, capsys, tmp_path, quick):
    code, out, _ = outcome(monkeypatch, capsys, "train", "--help")
    assert code == 0
    assert len(out.splitlines()) < 50
    (said,) = re.findall(r"the most common: (.*?)\. All of them", out, re.DOTALL)
    config = composed(quick, tmp_path)
    for key in said.replace("\n", " ").split(", "):
        assert key.startswith("hydra.") or OmegaConf.select(config, key, default="") != "", key


def test_a_shell_completes_commands_and_options(monkeypatch, capsys, tmp_path):
    script = tmp_path / "ingradient"
    for words, expected in (("prep", "prepare"), ("predict --win", "--window_batch"), ("train sto", "")):
        script.write_text(outcome(monkeypatch, capsys, "--completion", "bash")[1])
        line = f'. "{script}"; COMP_WORDS=(ingradient {words}); COMP_CWORD={len(words.split())}'
        said = subprocess.run(
            ["bash", "-c", f"{line}; _ingradient; echo ${{COMPREPLY[@]}}"], capture_output=True, check=True
        )
        assert said.stdout.decode().strip() == expected
    assert "bashcompinit" in outcome(monkeypatch, capsys, "--completion", "zsh")[1]
    assert (
        "'__fish_seen_subcommand_from plan' -l store"
        in outcome(monkeypatch, capsys, "--completion", "fish")[1]
    )
    for words in ([], ["bsh"]):
        code, _, err = outcome(monkeypatch, capsys, "--completion", *words)
        assert (code, "bash, zsh, fish" in err) == (2, True)


def test_help_lists_the_commands(monkeypatch, capsys):
    code, out, _ = outcome(monkeypatch, capsys, "--help")
    assert code == 0
    assert all(command in out for command in entry.COMMANDS)


def test_an_unknown_command_ends_with_2(monkeypatch, capsys):
    code, _, err = outcome(monkeypatch, capsys, "prepair")
    assert code == 2
    assert "no command 'prepair'. Did you mean prepare?" in err


@pytest.mark.parametrize(
    ("command", "typed", "said"),
    [
        ("plan", ["--store", "x", "--sapcing", "1,1,1"], "Did you mean --spacing?"),
        ("predict", ["--chekpoint=x"], "Did you mean --checkpoint?"),
        ("evaluate", ["--suface"], "Did you mean --surface?"),
        ("predict", ["--save-probabilites"], "Did you mean --save_probabilities?"),
        ("prepare", ["--sauce", "x"], "There is no option --sauce."),
        ("predict", ["a b.ckpt", "--output", "y"], "such as --checkpoint 'a b.ckpt'"),
    ],
)
def test_an_option_that_is_not_there_is_told_with_the_nearest(monkeypatch, capsys, command, typed, said):
    code, _, err = outcome(monkeypatch, capsys, command, *typed)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("folder", ["a b", "[1], (x)", "it's", "ü=ö"])
def test_a_line_that_is_proposed_can_be_pasted(monkeypatch, capsys, tmp_path, phantom_store, folder):
    place = tmp_path / folder
    store, raw = place / "store", place / "raw"
    shutil.copytree(phantom_store, store)
    _, out, _ = outcome(monkeypatch, capsys, "plan", store, "--output", place / "plan.yaml")
    line = shlex.split(out.splitlines()[-1].split("Train: ")[1])
    assert line == ["ingradient-train", f"store={store}", f"plan={place / 'plan.yaml'}"]
    _, out, _ = outcome(monkeypatch, capsys, "phantoms", "--output", raw, "--cases", "1")
    line = shlex.split(out.splitlines()[-1].split("Next: ")[1])
    assert line == ["ingradient", "prepare", "--source", str(raw), "--store", "store"]
    _, out, _ = outcome(monkeypatch, capsys, "info", store)
    assert folder in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ([], "No store was given"),
        (["plan=x.yaml", "epochs=1"], "No plan at x.yaml"),
        (["store=nowhere"], "nowhere is not a case store"),
        (["store=nowhere", "epochs=0"], "nowhere is not a case store"),
    ],
)
def test_a_run_that_cannot_start_is_told_in_one_line(monkeypatch, capsys, tmp_path, line, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *line)
    assert code in (1, 2)
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("prepare", ["--sauce", "x"]),
        ("prepare", []),
        ("plan", ["--planner", "best"]),
        ("predict", ["--step"]),
        ("predict", ["--checkpoint", "no.ckpt", "--source", "x", "--pictures", "y"]),
        ("predict", ["--checkpoint", "no.ckpt", "--source", "x", "--output", "x"]),
        ("train", ["store=nowhere"]),
        ("train", ["store=nowhere", "plan=plan", "epochs=0"]),
    ],
)
def test_bad_usage_ends_with_2(monkeypatch, capsys, command, arguments):
    code, _, err = outcome(monkeypatch, capsys, command, *arguments)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("plan", ["--store", "s", "--preset", "resenc_s"], "--preset takes one of default, resenc_m, "),
        ("plan", ["--store", "s", "--preset", "resenc_s"], "got resenc_s. Did you mean resenc_m?"),
        ("plan", ["--store", "s", "--memory", "much"], "--memory_gb takes a number; got much."),
        ("plan", ["--store", "s", "--spacing", "a,b,c"], "a list [...] of a number each; got a,b,c."),
        ("plan", ["--store", "s", "--like", "r", "--take", "spaceing"], "Did you mean spacing?"),
        ("phantoms", ["--output", "x", "--cases", "2.5"], "--cases takes a whole number; got 2.5."),
        ("predict", ["--checkpoint", "c", "--source", "s", "--mirror", "maybe"], "true or false; got maybe."),
        ("predict", ["--source", "s"], "--checkpoint must be given."),
        ("compare", [], "--first and --second must be given."),
        ("export", ["--checkpoint", "c", "--output", "o", "--format", "onxx"], "Did you mean onnx?"),
        ("lightning-config", ["--store", "s"], "--plan must be given."),
    ],
)
def test_a_value_that_an_option_does_not_take_is_one_line_in_plain_words(
    monkeypatch, capsys, tmp_path, command, arguments, said
):
    monkeypatch.chdir(tmp_path)
    code, out, err = outcome(monkeypatch, capsys, command, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert f"(ingradient {command} --help)" in err
    assert len(err.splitlines()) == 1
    assert "typing" not in err
    assert list(tmp_path.iterdir()) == []


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
        ("train", ["resume=nowhere"], "othing to resume"),
        ("doctor", ["nowhere"], "nowhere: No such file"),
        ("info", ["nowhere"], "nowhere: there is no such file or folder"),
        ("report", ["nowhere"], "nowhere: there is no such file or folder"),
        ("export-nnunet", ["--checkpoint", "nowhere", "--output", "o"], "no checkpoint nowhere"),
        ("import-nnunet", ["--model", "nowhere", "--output", "o.ckpt"], "nowhere"),
    ],
)
def test_a_wrong_path_ends_with_1_and_one_line(monkeypatch, capsys, tmp_path, command, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, command, *arguments)
    assert code == 1
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("info", []),
        ("report", []),
        ("plan", ["--output", "plan.yaml", "--store"]),
        ("prepare", ["--store", "store", "--source"]),
        ("predict", ["--source", "x", "--output", "out", "--checkpoint"]),
        ("evaluate", ["--labels", "empty", "--output", "s.json", "--predictions"]),
        ("export", ["--output", "m", "--checkpoint"]),
        ("export-nnunet", ["--output", "o", "--checkpoint"]),
        ("import-nnunet", ["--output", "o.ckpt", "--model"]),
        ("calibrate", ["--source", "empty", "--output", "c.ckpt", "--checkpoint"]),
        ("compare", ["--first", "empty", "--second"]),
        ("postprocess", ["--output", "o", "--postprocess", "steps.json", "--predictions"]),
        ("show", ["--output", "o", "--store"]),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "yaml"])
def test_a_path_that_is_not_what_is_wanted_ends_with_1(
    monkeypatch, capsys, tmp_path, command, arguments, kind
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("other.yaml").write_text("a: 1\n")
    code, _, err = outcome(
        monkeypatch, capsys, command, *arguments, {"folder": "empty", "yaml": "other.yaml"}[kind]
    )
    assert code == 1, err
    assert "Traceback" not in err


def test_an_unknown_config_key_ends_with_2_and_its_name(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, "trainr.max_steps=3")
    assert code == 2
    assert "trainr" in err


@pytest.mark.slow
def test_a_sweep_of_two_jobs_leaves_two_runs_and_their_table(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    swept = ["epochs=1", "plan.spacing=[1.5,1,1],[2,2,2]", "hydra.sweep.dir=sweep"]
    arguments = [quick[0], "-m", *quick[1:], *swept]
    code, out, err = outcome(monkeypatch, capsys, "train", *arguments)
    assert code == 0, err
    kept = (tmp_path / "sweep" / "runs.csv").read_text().splitlines()
    assert kept[0] == "run,overrides,val/dice"
    scores = [float(line.rsplit(",", 1)[1]) for line in kept[1:]]
    assert scores == sorted(scores, reverse=True)
    for line in kept[1:]:
        number = line[0]
        spacing = ("[1.5,1,1]", "[2,2,2]")[int(number)]
        assert f"plan.spacing={spacing}" in line
        assert "epochs=1" not in line  # both were told it
        score = float(line.rsplit(",", 1)[1])
        assert any(text.startswith(number) and text.endswith(f"{score:.4f}") for text in out.splitlines())
    assert sorted(path.parent.parent.name for path in tmp_path.glob("sweep/*/checkpoints/last.ckpt")) == [
        "0",
        "1",
    ]
    logs = list(tmp_path.glob("sweep/**/*.log"))
    assert {str(log.relative_to(tmp_path / "sweep")) for log in logs} == {"0/train.log", "1/train.log"}
    assert all("Epoch 1/1" in log.read_text() for log in logs)  # the run's own, and no empty one of Hydra's


@pytest.mark.slow
def test_a_run_of_a_sweep_that_fails_leaves_the_others_and_the_table(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    swept = ["epochs=1", "plan.widths=[4,8,12],[4,8]", "hydra.sweep.dir=sweep"]
    code, _, err = outcome(monkeypatch, capsys, "train", quick[0], "-m", *quick[1:], *reversed(swept))
    assert code == 1
    assert "sweep/1 failed; the sweep goes on" in err
    assert "Traceback" not in err
    rows = (tmp_path / "sweep" / "runs.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "0", "1"]
    assert float(rows[1].rsplit(",", 1)[1]) >= 0
    assert rows[2].endswith(",nan")


@pytest.mark.slow
def test_a_run_goes_on_by_one_key(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, "epochs=1", "hydra.run.dir=run")
    assert code == 0, err
    code, _, err = outcome(monkeypatch, capsys, "train", "resume=run", "epochs=2")
    assert code == 0, err
    import torch

    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.slow
def test_a_run_taken_up_wrongly_can_be_taken_up_after_all(monkeypatch, capsys, tmp_path, quick):
    """What failed leaves the run's config as it was; what trained is its config; the folder may change."""
    monkeypatch.chdir(tmp_path)
    relative = [f"store={os.path.relpath(quick[0].removeprefix('store='))}", *quick[1:]]
    code, _, err = outcome(monkeypatch, capsys, "train", *relative, "epochs=1", "hydra.run.dir=run")
    assert code == 0, err
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    for wrong, said in (
        ("store=nope", "nope"),
        ("plan.widths=[3,5,7]", "another network"),
        ("epochs=abc", "abc"),
    ):
        code, _, err = outcome(monkeypatch, capsys, "train", "resume=../run", "epochs=3", wrong)
        assert code == (2 if wrong == "epochs=abc" else 1)
        assert said in err
        assert "Traceback" not in err
    code, _, err = outcome(monkeypatch, capsys, "train", "resume=../run", "epochs=2")
    assert code == 0, err
    config = (tmp_path / "run" / ".hydra" / "config.yaml").read_text()
    assert "epochs: 2" in config
    assert not (tmp_path / "run" / ".hydra" / "resumed").exists()


def test_a_finished_run_is_not_written_over(monkeypatch, capsys, tmp_path, quick):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"a model")
    code, _, err = outcome(monkeypatch, capsys, "train", *quick, "hydra.run.dir=run")
    assert code == 1
    assert "resume=run" in err
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == b"a model"


@pytest.mark.parametrize(("entry", "said"), [("widths", "witdhs"), ("[", "{")], ids=["misspelt", "broken"])
def test_a_plan_that_is_none_is_one_line(monkeypatch, capsys, tmp_path, quick, entry, said):
    monkeypatch.chdir(tmp_path)
    text = Path(quick[1].removeprefix("plan=")).read_text()
    (tmp_path / "plan.yaml").write_text(text.replace(entry, said, 1))
    code, _, err = outcome(monkeypatch, capsys, "train", quick[0], "plan=plan.yaml")
    assert code == 1
    assert "plan.yaml" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_run_told_to_stop_says_how_to_go_on(tmp_path, quick):
    """By Ctrl-C; by SIGTERM, and with readers: test_ending_together.py."""
    run, said = tmp_path / "run", tmp_path / "said"
    line = [*quick, "epochs=1000", f"hydra.run.dir={run}"]
    with said.open("w") as log:
        process = preloaded.Command("ingradient_pl.cli.train", *line, stdout=log, stderr=log)
        last = run / "checkpoints" / "last.ckpt"
        processes.wait_for(lambda: last.exists() or process.poll() is not None, "a checkpoint")
        process.send_signal(signal.SIGINT)
        code = process.wait(processes.LONGEST)
    assert code == 130, said.read_text()
    assert f"resume={run}" in said.read_text()
