"""A resumed run follows its config, keeps its split, and says when there is nothing to do."""

import csv
import json
import os
import signal

import preloaded
import processes
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed, outcome

from ingradient_pl.cli.train_config import train
from ingradient_pl.lightning.record_file import read_record

SCHEDULES = {
    "poly": [],
    "warmup_poly": ["scheduler@module.scheduler=warmup_poly"],
    "cosine": ["module.scheduler={_target_: torch.optim.lr_scheduler.CosineAnnealingLR, _partial_: true}"],
    "linear": [
        "module.scheduler={_target_: torch.optim.lr_scheduler.LinearLR, _partial_: true, end_factor: 0.1}"
    ],
    "epochs": ["module.interval=epoch"],
}
BATCHES = 2
"""Of an epoch of the fixture ``quick``."""
LIGHT = ["callbacks.images=null", "callbacks.best=null", "logger=csv"]
"""For runs of whose folder only the learning rates and the last checkpoint are looked at."""
LENGTHS = {"cosine": "T_max", "linear": "total_iters"}


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


def rates(folder):
    """The learning rate at each step that the last part of a run logged."""
    with sorted(folder.glob("csv/*/metrics.csv"))[-1].open() as file:
        rows = list(csv.DictReader(file))
    key = next(name for name in rows[0] if name.startswith("lr-"))
    return [float(row[key]) for row in rows if row[key]]


def schedule_of(name):
    told = SCHEDULES[name]
    if name in LENGTHS:
        told = [*("~module.scheduler",), f"+{told[0]}", f"module.length_argument={LENGTHS[name]}"]
    return [*told, *LIGHT, "callbacks.learning_rate.logging_interval=step"]


def run(quick, folder, *more):
    folder.mkdir(exist_ok=True)
    return train(composed([*quick, *more], folder))


def planned_rates(quick, folder, *told):
    """The rate of each step of a run of 4 epochs that was so long from the start, by its schedule alone."""
    module = composed([*quick, *told, "epochs=4"], folder).module
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=module.optimizer.lr)
    by_epoch = module.interval == "epoch"
    length = {module.length_argument: 4 if by_epoch else 4 * BATCHES}
    schedule = instantiate(module.scheduler, _convert_="all")(optimizer, **length)
    found = []
    for step in range(1, 4 * BATCHES + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if not by_epoch or step % BATCHES == 0:
            schedule.step()
    return found


@pytest.fixture(scope="module")
def first(quick, tmp_path_factory):
    """Overrides that go on with a run of two epochs as it comes."""
    folder = tmp_path_factory.mktemp("first")
    run(quick, folder, *LIGHT)
    return f"resume={folder}/checkpoints/last.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_longer_run_has_the_rates_of_one_that_was_so_long_from_the_start(name, quick, first, tmp_path):
    """Whatever the schedule: FAULTS was a rate of 0 from the old end on."""
    told = schedule_of(name)
    if SCHEDULES[name]:
        run(quick, tmp_path / "first", *told)
        first = f"resume={tmp_path}/first/checkpoints/last.ckpt"
    run(quick, tmp_path / "rest", *told, "epochs=4", first)
    rest = rates(tmp_path / "rest")
    assert rest == pytest.approx(planned_rates(quick, tmp_path, *told)[-len(rest) :], rel=1e-6)
    assert rest[0] > 0
    assert len(rest) == 2 * BATCHES


@pytest.mark.slow
def test_an_older_checkpoint_without_a_split_says_what_is_assumed(quick, tmp_path):
    run(quick, tmp_path / "first", "epochs=1", "callbacks=none", "logger=none")
    (file,) = tmp_path.glob("first/**/*.ckpt")
    content = torch.load(file, weights_only=True)
    split = content.pop("SegmentationData")["split"]
    torch.save(content, tmp_path / "older.ckpt")
    more = ["callbacks=none", "logger=none", f"resume={tmp_path}/older.ckpt", "data.split.seed=7"]
    with pytest.warns(UserWarning, match="does not hold its split .*2 validation cases: they stay"):
        run(quick, tmp_path / "second", *more)
    (file,) = tmp_path.glob("second/**/*.ckpt")
    kept = torch.load(file, weights_only=True)["SegmentationData"]["split"]
    assert kept["validation"] == split["validation"]
    assert kept["train"] == split["train"]


@pytest.mark.slow
def test_a_run_that_is_resumed_as_it_was_is_not_touched(quick, first, tmp_path, capsys):
    capsys.readouterr()
    run(quick, tmp_path / "rest", *LIGHT, "epochs=3", first)
    assert "followed anew: length" in capsys.readouterr().out
    again = [*LIGHT, "epochs=4", f"resume={tmp_path}/rest/checkpoints/last.ckpt", "seed=0"]
    run(quick, tmp_path / "again", *again)
    assert "scheduler" not in capsys.readouterr().out.split("Training")[0]


@pytest.mark.slow
def test_changed_settings_of_the_optimiser_hold(quick, tmp_path):
    changed = {"momentum": 0.5, "weight_decay": 0.25, "nesterov": False}
    constant = ["scheduler@module.scheduler=constant", "module.length_argument=null", "recipe=nnunet", *LIGHT]
    run(quick, tmp_path / "first", *constant, "epochs=1")
    told = [f"module.optimizer.{key}={str(value).lower()}" for key, value in {**changed, "lr": 1e-3}.items()]
    run(quick, tmp_path / "rest", *constant, *told, f"resume={tmp_path}/first/checkpoints/last.ckpt")
    held = torch.load(tmp_path / "rest" / "checkpoints" / "last.ckpt", weights_only=True)
    group = held["optimizer_states"][0]["param_groups"][0]
    assert {key: group[key] for key in changed} == changed
    assert group["initial_lr"] == 1e-3
    assert held["lr_schedulers"][0]["_last_lr"] == [1e-3]


@pytest.mark.slow
def test_a_changed_schedule_is_followed_from_the_first_step(quick, first, tmp_path):
    told = [*LIGHT, "callbacks.learning_rate.logging_interval=step", "module.scheduler.power=2"]
    run(quick, tmp_path / "rest", *told, "epochs=4", first)
    rest = rates(tmp_path / "rest")
    assert rest == pytest.approx(planned_rates(quick, tmp_path, *told)[-len(rest) :], rel=1e-6)


@pytest.mark.slow
def test_another_optimiser_or_split_is_refused(quick, first, tmp_path):
    with pytest.raises(ValueError, match="keeps its optimiser"):
        run(quick, tmp_path / "other", "optimizer@module.optimizer=adamw", "epochs=3", first)
    for told, said in (
        ("data.split.number=1", "number=0"),
        ("data.split.number=null", "number=0"),
        ("data.split.seed=3", "seed=12345"),
    ):
        with pytest.raises(ValueError, match=rf"data\.split\.{said}.*keeps its split"):
            run(quick, tmp_path / "other", told, "epochs=3", first)


@pytest.mark.slow
def test_arguments_that_callbacks_restore_are_as_configured(quick, tmp_path):
    stopping = ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "epochs=1"]
    run(quick, tmp_path / "first", *stopping)
    config = [*stopping, "epochs=3", "callbacks.early_stopping.patience=40"]
    run(
        quick,
        tmp_path / "rest",
        *config[1:],
        "callbacks=early_stopping",
        f"resume={tmp_path}/first/checkpoints/last.ckpt",
    )
    held = torch.load(tmp_path / "rest" / "checkpoints" / "last.ckpt", weights_only=True)
    state = next(state for name, state in held["callbacks"].items() if name.startswith("EarlyStopping"))
    assert state["patience"] == 40


@pytest.mark.slow
def test_what_cannot_be_trained_from_is_refused(quick, first, tmp_path):
    with pytest.raises(ValueError, match="has trained 2 epochs, and epochs=1"):
        run(quick, tmp_path / "rest", "epochs=1", first)


def test_a_limit_of_time_needs_a_schedule_that_knows_it(quick, tmp_path):
    with pytest.raises(ValueError, match="recipe=open"):
        run(quick, tmp_path / "timed", "+trainer.max_time=00:00:00:05")


@pytest.mark.slow
def test_the_folder_of_a_run_is_resumed_with_groups_and_says_when_it_is_done(
    quick, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert outcome(monkeypatch, capsys, "train", *quick, "epochs=1", "hydra.run.dir=run")[0] == 0
    code, out, err = outcome(monkeypatch, capsys, "train", "resume=run")
    assert (code, err) == (0, "")
    assert "is finished: it has trained 1 epoch" in out
    assert not (tmp_path / "run" / ".hydra" / "resumed").exists()
    for told in ("recipe=fast", "plan=other.yaml", "optimizer@module.optimizer=adamw", "experiment=smoke"):
        code, _, err = outcome(monkeypatch, capsys, "train", "resume=run", "epochs=2", told)
        assert code == 2
        assert f"{told.split('=')[0]}=... cannot be given with resume=RUN" in err
    code, _, err = outcome(
        monkeypatch, capsys, "train", "resume=run", "epochs=2", "logger=none", "trainer=cpu"
    )
    assert code == 0, err
    record = read_record(tmp_path / "run")
    assert record["length"]["epochs"] == 2
    assert [entry["length"]["epochs"] for entry in record["before"]] == [1]
    told = (tmp_path / "run" / ".hydra" / "overrides.yaml").read_text()
    assert "batches_per_epoch=2" in told
    assert "epochs=2" in told


def test_a_run_without_a_checkpoint_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text("epochs: 1\n")
    monkeypatch.chdir(tmp_path)
    code, _, err = outcome(monkeypatch, capsys, "train", "resume=run")
    assert code == 1
    assert "nothing to go on with" in err


@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was(quick, tmp_path, monkeypatch, capsys):
    """Repeated or resumed: what is done is skipped, a failure is told at once, other settings are refused."""
    monkeypatch.chdir(tmp_path)
    line = [*quick, "-m", "epochs=1", "hydra.sweep.dir=sweep"]
    code, _, err = outcome(monkeypatch, capsys, "train", *line, "plan.widths=[4,6,8],[4,8]")
    assert code == 1
    assert "sweep/1 failed; the sweep goes on. " in err
    assert (tmp_path / "sweep" / "1" / "error.txt").read_text().count("Traceback") >= 1
    first = (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").read_bytes()
    code, out, err = outcome(monkeypatch, capsys, "train", "resume=sweep")
    assert code == 1
    assert "0 is finished" in out
    assert (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").read_bytes() == first
    code, _, err = outcome(monkeypatch, capsys, "train", *line, "plan.widths=[8,6,8],[4,8]")
    assert code == 1
    assert "holds another sweep" in err
    code, out, err = outcome(monkeypatch, capsys, "train", "resume=sweep/0", "epochs=2")
    assert code == 0, err
    table = (tmp_path / "sweep" / "runs.csv").read_text()
    score = json.loads((tmp_path / "sweep" / "0" / ".hydra" / "score.json").read_text())
    assert str(score["val/dice"])[:8] in table
    assert any("widths=[4,6,8]" in entry for entry in score["overrides"])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=str)
def test_a_sweep_told_to_stop_starts_no_further_job(tmp_path, quick, number, code):
    sweep, said = tmp_path / "sweep", tmp_path / "said"
    line = ["-m", *quick, "epochs=1000", "seed=0,1", f"hydra.sweep.dir={sweep}"]
    with said.open("w") as log:
        process = preloaded.Command("ingradient_pl.cli.train", *line, stdout=log, stderr=log)
        last = sweep / "0" / "checkpoints" / "last.ckpt"
        processes.wait_for(lambda: last.exists() or process.poll() is not None, "a checkpoint")
        process.send_signal(number)
        ended = process.wait(processes.LONGEST)
    assert ended == code, said.read_text()
    assert f"Go on with it: resume={sweep}" in said.read_text()
    assert not (sweep / "1").exists()
