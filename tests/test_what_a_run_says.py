"""What a run says and leaves: a line an epoch, a log, curves, a record of itself, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from runs import composed

from ingradient_pl.cli.train_config import train
from ingradient_pl.inference.checkpoint import CheckpointError
from ingradient_pl.lightning import progress_figure
from ingradient_pl.lightning.callbacks.finite import weights_are_finite
from ingradient_pl.lightning.callbacks.throughput import MEMORY, PATCHES, WAITING
from ingradient_pl.lightning.progress_figure import draw_progress
from ingradient_pl.lightning.record_file import RECORD, is_finished, read_record, write_record
from ingradient_pl.lightning.resumable import complete_record
from ingradient_pl.lightning.run_epochs import EPOCHS, read_epochs
from ingradient_pl.pictures.layout import colour_of
from ingradient_pl.unfinished import unfinished_path


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


class Spoil(pl.Callback):
    """Make a weight infinite in an epoch, as a diverging run does."""

    def __init__(self, epoch=1):
        self.epoch = epoch

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.current_epoch == self.epoch:
            next(module.parameters()).data.flatten()[0] = float("nan")


@pytest.fixture(scope="module")
def told(tmp_path_factory, phantom_store, phantom_plan):
    """A run as the command does it without a terminal: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("said")
    quick = [f"store={phantom_store}", f"plan={phantom_plan}", "trainer=cpu", "data.workers=0"]
    line = [sys.executable, "-m", "ingradient_pl.cli.train", *quick, "epochs=2", "batches_per_epoch=2"]
    (folder / "run" / ".hydra").mkdir(parents=True)
    for name in ("progress.png", ".hydra/config.yaml"):
        unfinished = unfinished_path(folder / "run" / name)
        unfinished.with_name(unfinished.name.replace(f"@{os.getpid()}@", f"@{2**22 + 1}@")).touch()
    done = subprocess.run(
        [*line, "hydra.run.dir=run"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run", done.stdout, done.stderr


@pytest.mark.slow
def test_without_a_terminal_there_is_a_line_an_epoch_and_little_else(told):
    _, out, err = told
    lines = out.splitlines()
    epochs = [line for line in lines if line.startswith("Epoch ")]
    assert [line[:9] for line in epochs] == ["Epoch 1/2", "Epoch 2/2"]
    for line in epochs:
        assert re.search(r"loss \d.*validation \d.*Dice \d.*organ \d.*lesion \d.*lr 0\..*, left \d", line)
        speed = re.search(r" s \(([\d.]+) patches/s, (\d+) % waiting for data, ([\d.]+) GB\), left", line)
        assert float(speed[1]) > 0
        assert 0 <= int(speed[2]) <= 100
        assert float(speed[3]) > 0
    assert re.search(r"(?m)^Training .* batches \(\d+ patch(es)? of \d+x\d+x\d+ voxels\); ", out)
    assert len(lines) <= 8, out
    assert err == ""
    assert "\x1b" not in out
    assert "it/s" not in out


@pytest.mark.slow
def test_figures_of_each_epoch_are_kept_in_the_folder_and_by_every_logger(told):
    run = told[0]
    epochs = read_epochs(run)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    keys = {"train", "val", "dice", "labels", "lr", "seconds", "patches", "waiting", "memory"}
    assert all(keys <= epoch.keys() for epoch in epochs)
    logged = (run / "csv" / "version_0" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {PATCHES, WAITING, MEMORY} <= set(logged)
    with (run / EPOCHS).open("a") as file:
        file.write('{"epoch": 3, "tra')  # a kill while it was written
    assert len(read_epochs(run)) == 2
    assert not list(run.rglob(".unfinished@*")), "left by one that was killed"


@pytest.mark.slow
def test_the_log_holds_what_was_said(told):
    run, out, _ = told
    log = (run / "train.log").read_text()
    for line in out.splitlines():
        if line.startswith("Epoch "):
            assert line in log
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", log)


@pytest.mark.slow
def test_the_curves_are_drawn(told):
    run, _, _ = told
    assert (run / "progress.png").read_bytes().startswith(b"\x89PNG")


def epochs_of(labels, *numbers):
    """Records of epochs that measured these labels."""
    scores = {f"label {label}": 0.5 + label / 500 for label in range(labels)}
    shown = {"train": 0.5, "val": 0.4, "dice": 0.6, "lr": 0.01, "seconds": 3.0}
    return [{"epoch": number, "labels": scores, **shown} for number in numbers]


def test_the_curve_of_a_single_epoch_is_seen():
    lowest = draw_progress(epochs_of(0, 1))[760:990]  # the plot of seconds, which has no legend
    assert np.ptp(lowest, axis=-1).max() > 100


@pytest.mark.parametrize("last", [1, 2, 3, 30])
def test_epochs_are_whole_numbers_on_the_axis(last):
    figure = Figure()
    progress_figure._plot(figure, epochs_of(1, *range(1, last + 1)))
    ticks = figure.axes[-1].get_xticks()
    assert len(ticks)
    assert all(float(tick).is_integer() for tick in ticks), ticks


def test_the_names_of_many_labels_leave_room_for_their_curves():
    few, many = (draw_progress(epochs_of(labels, 1, 2)) for labels in (3, 117))
    assert np.ptp(few, axis=-1).any()
    ink = [(picture[260:495].mean(axis=-1) < 200).mean() for picture in (few, many)]  # the plot of Dice
    assert ink[1] < ink[0] + 0.4
    assert np.ptp(many[260:495, 85:600], axis=-1).max() > 50


@pytest.mark.slow
def test_loggers_know_the_settings(told):
    run, _, _ = told
    for file in (run / "tensorboard" / "hparams.yaml", run / "csv" / "version_0" / "hparams.yaml"):
        text = file.read_text()
        assert "seed: 0" in text
        assert "spacing" in text


@pytest.mark.slow
def test_a_run_knows_what_it_is(told):
    run, _, _ = told
    record = read_record(run)
    held = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["ingradient"]["run"]
    for known in (record, held):
        assert sorted(known["split"]["train"] + known["split"]["validation"]) == [
            f"phantom_00{i}" for i in range(6)
        ]
        assert known["plan"]["patch"] == [16, 16, 16]
        assert known["length"] == {"epochs": 2, "batches_per_epoch": 2, "steps": 4}
        assert known["seed"] == 0
        assert known["versions"]["torch"] == str(torch.__version__)
        assert len(known["store"]["sha256"]) == 64
        assert known["device"]["type"] == "cpu"
        assert "package" in known["git"]
        json.dumps(known)
    assert (record["state"], record["epochs_done"], record["steps_done"]) == ("finished", 2, 4)
    assert "val/dice" in record["scores"]
    assert is_finished(run, 2)
    assert not is_finished(run, 3)


@pytest.mark.slow
@pytest.mark.parametrize("left", ["running", "failed", None])
def test_a_run_whose_last_state_has_all_epochs_is_over_whatever_its_record_says(told, tmp_path, left):
    run = shutil.copytree(told[0], tmp_path / "run")
    whole = read_record(run)
    if left is None:
        (run / RECORD).unlink()
    else:
        keep = ("state", "length", "split", "seed")
        write_record(run, {**{key: whole[key] for key in keep}, "state": left})
    record = complete_record(run)
    same = ("state", "epochs_done", "steps_done", "length", "split", "seed")
    assert [record[key] for key in same] == [whole[key] for key in same]
    for name in ("val/dice", "val/loss"):
        assert record["scores"][name] == pytest.approx(whole["scores"][name])
    write_record(run, {**whole, "state": "running", "length": {"epochs": 3}})
    assert complete_record(run)["state"] == "running"
    write_record(run, whole)
    state = run / "checkpoints" / "last.ckpt"
    state.write_bytes(state.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"last\.ckpt.*cp .*best\.ckpt"):
        complete_record(run)


@pytest.mark.slow
def test_a_run_that_diverges_stops_and_keeps_what_was_good(quick, tmp_path):
    spoil = "+callbacks.spoil={_target_: test_what_a_run_says.Spoil}"
    with pytest.raises(ValueError, match=r"diverged in epoch 2.*module\.optimizer\.lr") as stopped:
        train(composed([*quick, "epochs=4", spoil], tmp_path))
    assert "last.ckpt is from before" in str(stopped.value)
    for name in ("last", "best"):
        weights = torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in weights.values())
    assert read_record(tmp_path)["state"] == "failed"
    assert "diverged" in (tmp_path / "train.log").read_text()


@pytest.mark.slow
def test_a_learning_rate_out_of_this_world_stops_the_run(quick, tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        train(composed([*quick, "module.optimizer.lr=1e20", "trainer.gradient_clip_val=null"], tmp_path))
    assert not list(tmp_path.glob("checkpoints/*.ckpt"))


def test_weights_are_looked_at():
    network = torch.nn.Linear(3, 2)
    assert weights_are_finite(network)
    network.bias.data[1] = float("inf")
    assert not weights_are_finite(network)


def test_a_label_has_the_colour_that_it_has_in_pictures():
    figure = Figure()
    epochs = [{"epoch": 1, "dice": 0.5, "labels": {"organ": 0.9, "lesion": 0.1}, "seconds": 1.0}]
    progress_figure._plot(figure, epochs)
    drawn = {line.get_label(): to_rgb(line.get_color()) for line in figure.axes[1].get_lines()}
    for integer, name in enumerate(epochs[0]["labels"], 1):
        assert [round(255 * one) for one in drawn[name]] == list(colour_of(integer))
