"""A whole run of the shipped config on phantoms: what it leaves behind, and that it can be resumed."""

import csv
import zipfile

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from runs import composed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint_file import MARK
from ingradient_pl.lightning.callbacks.throughput import MEMORY, PATCHES, WAITING


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


class Kill(pl.Callback):
    """What a power cut is to a run."""

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise RuntimeError("killed")


def weights(file):
    return torch.load(file, weights_only=True)["state_dict"]


@pytest.mark.slow
@pytest.mark.pictures
def test_a_run_leaves_checkpoints_logs_and_pictures(quick, tmp_path):
    score = train(composed([*quick, "recipe=nnunet"], tmp_path))
    assert 0 <= score <= 1
    for name in ("best", "last"):
        model = checkpoint.read(tmp_path / "checkpoints" / f"{name}.ckpt")
        assert zipfile.ZipFile(model.origin).comment.startswith(MARK)  # with check sums
        assert model.plan.patch == (16, 16, 16)
        assert list(model.task.foreground) == ["organ", "lesion"]
        assert model.mirror == (0, 1, 2)
    with next(tmp_path.glob("csv/*/metrics.csv")).open() as file:
        columns = set(next(csv.reader(file)))
    assert {"train/loss", "val/loss", "val/dice", "val/dice/organ", "val/dice/lesion"} <= columns
    stages = {file.name.partition("_epoch")[0] for file in (tmp_path / "images").glob("*.png")}
    assert stages - {"val_2"} == {"train", "val_1", "val_worst"}
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert {PATCHES, WAITING, MEMORY} <= set(events.Tags()["scalars"]) & columns
    assert {"train/levels", "val/levels/1", "val/levels/worst"} <= set(events.Tags()["images"])


@pytest.mark.slow
@pytest.mark.pictures
def test_a_network_without_deep_supervision_is_shown_too(quick, tmp_path):
    train(composed([*quick, "module.network.levels=1", "epochs=1"], tmp_path))
    assert list((tmp_path / "images").glob("*.png"))


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(quick, tmp_path):
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    for folder in (whole, first, second):
        folder.mkdir()
    train(composed(quick, whole))
    killed_after_an_epoch = "+callbacks.kill={_target_: test_training_run.Kill}"
    with pytest.raises(RuntimeError, match="killed"):
        train(composed([*quick, killed_after_an_epoch], first))
    train(composed([*quick, f"resume={first}/checkpoints/last.ckpt"], second))
    expected, found = (weights(folder / "checkpoints" / "last.ckpt") for folder in (whole, second))
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    assert not torch.equal(value, weights(first / "checkpoints" / "last.ckpt")[name])


@pytest.mark.slow
def test_the_same_seed_makes_the_same_run_and_another_makes_another(quick, tmp_path):
    runs = []
    for i, seed in enumerate([3, 3, 4]):
        folder = tmp_path / str(i)
        folder.mkdir()
        train(composed([*quick, f"seed={seed}", "epochs=1", "callbacks=none", "logger=none"], folder))
        runs.append(folder)
    # Lightning's own is written
    files = [next(folder.glob("**/*.ckpt")) for folder in runs]
    one, two, three = (weights(file) for file in files)
    name = next(iter(one))
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], three[name])


def test_without_a_plan_the_cure_is_named(quick, tmp_path):
    with pytest.raises(ValueError, match="ingradient plan --store"):
        train(composed([entry for entry in quick if not entry.startswith("plan=")], tmp_path))


def test_a_plan_for_other_channels_is_refused(quick, tmp_path):
    overrides = [
        *quick,
        "plan.channels=2",
        "plan.normalisation=[{_target_: ingradient_pl.transforms.normalise.ZScore},",
    ]
    overrides[-1] += "{_target_: ingradient_pl.transforms.normalise.ZScore}]"
    with pytest.raises(Exception, match="2 channels"):
        train(composed(overrides, tmp_path))
