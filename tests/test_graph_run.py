"""Training steps under Lightning as one record: eager ones to the weight; eager, and told, where not."""

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from pytorch_lightning.callbacks import LambdaCallback, TQDMProgressBar
from runs import composed
from step_recorder import StepRecorder
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ingradient_pl.cli.train_config import instantiate_group, train
from ingradient_pl.lightning import graph, module
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.precision import check_precision, fitting_precision
from ingradient_pl.optimizers.step_graph import StepGraph


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture
def recorders(monkeypatch):
    """Lets the CPU stand for a device with graphs; gives the recorders that were made."""
    made = []

    def make(**options):
        made.append(StepRecorder(**options))
        return made[-1]

    monkeypatch.setitem(graph.RECORDERS, "cpu", make)
    return made


def weights(folder):
    held = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return held["state_dict"], held["optimizer_states"], held["lr_schedulers"], held["global_step"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["nnunet", "fast"])
def test_a_run_of_replayed_steps_is_the_eager_run(quick, tmp_path, recorders, recipe):
    folders = {"false": tmp_path / "eager", "auto": tmp_path / "replayed"}
    for value, folder in folders.items():
        folder.mkdir()
        train(composed([*quick, f"recipe={recipe}", f"module.graph={value}"], folder))
    (recorder,) = recorders
    assert recorder.warmed == 3
    assert recorder.replayed == 2 * 2 + 4  # held against eager steps on two batches, then the run's own
    (held, states, schedules, steps), (found, *others) = weights(folders["false"]), weights(folders["auto"])
    torch.testing.assert_close(found, held, atol=1e-4, rtol=1e-3)
    assert others[1:] == [schedules, steps]
    assert others[0][0]["param_groups"] == states[0]["param_groups"]


@pytest.mark.slow
def test_a_step_is_recorded_anew_when_weights_thaw(quick, tmp_path, recorders):
    told = ["recipe=fast", "module.freeze=[encoder.*]", "module.freeze_epochs=1", "module.layer_decay=0.7"]
    folders = {"false": tmp_path / "eager", "true": tmp_path / "replayed"}
    for value, folder in folders.items():
        folder.mkdir()
        train(composed([*quick, *told, f"module.graph={value}"], folder))
    assert len(recorders) == 2
    held, found = (weights(folder)[0] for folder in folders.values())
    torch.testing.assert_close(found, held, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_step_is_recorded_anew_in_an_epoch_that_begins_with_another_loss(quick, tmp_path, recorders):
    """A callback that changes a number of the loss is heard where steps are recorded, too."""
    ends = []
    for value in ("false", "true"):
        folder = tmp_path / value
        folder.mkdir()
        config = composed([*quick, "recipe=fast", f"module.graph={value}"], folder)
        change = LambdaCallback(
            on_train_epoch_start=lambda trainer, module: setattr(
                module.loss.level_loss, "dice", 1.0 - 0.9 * trainer.current_epoch
            )
        )
        run = instantiate(config.trainer, callbacks=[change], logger=[])
        pl.seed_everything(0)
        fitted = instantiate(config.module)
        run.fit(fitted, instantiate(config.data))
        ends.append({name: one.detach().clone() for name, one in fitted.network.named_parameters()})
    assert len(recorders) == 2
    torch.testing.assert_close(ends[1], ends[0], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_record_that_is_off_is_told_of_and_left(quick, tmp_path, monkeypatch, recorders):
    monkeypatch.setitem(graph.RECORDERS, "cpu", lambda: StepRecorder(broken=True))
    plain, broken = tmp_path / "plain", tmp_path / "broken"
    for folder in (plain, broken):
        folder.mkdir()
    train(composed([*quick, "module.graph=false"], plain))
    with pytest.warns(UserWarning, match="not as a CUDA graph: replayed, it does something else"):
        train(composed(quick, broken))
    torch.testing.assert_close(weights(broken)[0], weights(plain)[0], atol=0, rtol=0)


def test_a_graph_that_was_asked_for_and_cannot_be_is_refused(quick, tmp_path):
    with pytest.raises(ValueError, match=r"module\.graph=true.*cpu has no graphs.*module\.graph=auto"):
        train(composed([*quick, "module.graph=true"], tmp_path))


@pytest.mark.parametrize(
    ("override", "any_network", "told"),
    [
        ("+trainer.accumulate_grad_batches=2", True, "gathers 2 batches"),
        ("trainer.precision=64-true", True, "precision 64-true"),
        ("trainer=ddp_cpu", True, "several processes share a step"),
        ("trainer.benchmark=true", False, "Conv3d is not a network of this package"),
    ],
)
def test_what_cannot_be_recorded_says_why(quick, tmp_path, recorders, override, any_network, told):
    made = instantiate(composed([*quick, override], tmp_path).trainer, callbacks=[], logger=[])
    network = nn.Conv3d(1, 2, 1)
    made.strategy._optimizers = [torch.optim.SGD(network.parameters(), 0.1)]
    assert told in graph.graph_problem(made, network, any_network=any_network)


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "64-true"])
def test_a_precision_of_the_patches_themselves_is_refused(quick, tmp_path, precision):
    with pytest.raises(ValueError, match=rf"{precision}(: patches are read| would round).*-mixed"):
        train(composed([*quick, f"trainer.precision={precision}"], tmp_path))
    check_precision("bf16-mixed")


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_a_gpu_computes_in_bf16_where_it_can(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has)
    assert fitting_precision("auto") == fitting_precision("gpu") == expected
    assert fitting_precision("cpu") == fitting_precision("mps") == "32-true"


def test_without_a_gpu_it_is_32_bits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fitting_precision("auto") == "32-true"
    assert fitting_precision("cuda") == "16-mixed"  # any GPU that a run is composed for has it


class Bare(nn.Module):
    """Gives logits as they are, in no list."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv3d(1, 3, 3, padding=1)

    def forward(self, image):
        return self.layer(image)


@pytest.mark.slow
@pytest.mark.pictures
@pytest.mark.parametrize("value", ["false", "true"])
def test_a_network_that_gives_bare_logits_trains_and_is_scored(quick, tmp_path, recorders, value):
    config = composed([*quick, f"module.graph={value}", "callbacks.images.every_n_epochs=1"], tmp_path)
    config.module.network = {"_target_": "test_graph_run.Bare"}
    assert 0 <= train(config) <= 1
    stages = {file.name.partition("_epoch")[0] for file in (tmp_path / "images").glob("*.png")}
    assert {"train", "val_1", "val_worst"} <= stages


@pytest.mark.slow
def test_logits_are_kept_for_a_picture_that_is_due_only(quick, tmp_path, monkeypatch):
    kept = []
    real = SegmentationModule.training_step

    def watched(self, batch, batch_idx):
        outputs = real(self, batch, batch_idx)
        kept.append((self.trainer.current_epoch, batch_idx, "pyramid" in outputs))
        return outputs

    monkeypatch.setattr(module.SegmentationModule, "training_step", watched)
    train(composed([*quick, "epochs=3", "callbacks.images.every_n_epochs=2"], tmp_path))
    assert [(epoch, batch) for epoch, batch, held in kept if held] == [(0, 0), (2, 0)]


class Waits(TorchDispatchMode):
    """Notes in which steps a number is fetched, for which a GPU's work has to be over."""

    def __init__(self):
        super().__init__()
        self.step, self.steps = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name == "aten::_local_scalar_dense":
            self.steps.append(self.step)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("bar", "waited"), [(None, set()), (TQDMProgressBar, {2, 3, 4})])
def test_a_step_between_two_that_are_logged_fetches_no_number(
    quick, tmp_path, monkeypatch, recorders, bar, waited
):
    monkeypatch.setitem(graph.RECORDERS, "cpu", lambda: StepRecorder(broken=True))
    monkeypatch.setattr(StepGraph, "_check", lambda *_: None)
    told = ["epochs=1", "batches_per_epoch=6", "trainer.log_every_n_steps=6", "data.resident=true"]
    config = composed([*quick, *told], tmp_path)
    callbacks = instantiate_group(config.callbacks)
    if bar is not None:
        callbacks = [*(one for one in callbacks if not isinstance(one, TQDMProgressBar)), bar(refresh_rate=0)]
    waits = Waits()
    count = LambdaCallback(on_train_batch_start=lambda *given: setattr(waits, "step", given[-1]))
    loggers = instantiate_group(config.logger)
    trainer = instantiate(config.trainer, callbacks=[*callbacks, count], logger=loggers)
    with waits:
        trainer.fit(instantiate(config.module), instantiate(config.data))
    assert trainer.progress_bar_callback is not None
    assert set(waits.steps) & {2, 3, 4} == waited


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("replayed", [False, True])
def test_no_step_waits_for_the_device(replayed):
    from ingradient_pl.losses.deep_supervision import DeepSupervision
    from ingradient_pl.losses.dice_ce import DiceCE
    from ingradient_pl.networks.unet import UNet
    from ingradient_pl.optimizers.muon import Muon
    from ingradient_pl.optimizers.parameters import Parameters

    stages = [[1, 1, 1], [2, 2, 2]], [[3, 3, 3]] * 2
    network = UNet(1, 3, [8, 16], *stages, [1, 1], [1]).cuda()
    loss, optimizer = DeepSupervision(DiceCE()), Muon(Parameters(network))
    image = torch.randn(2, 1, 16, 16, 16, device="cuda")
    label = torch.randint(0, 3, (2, 16, 16, 16), device="cuda", dtype=torch.uint8)
    record = StepGraph(network, loss, optimizer)

    def step():
        if replayed:
            record(image, label)
            return
        optimizer.zero_grad()
        loss(network(image), label).backward()
        optimizer.step()

    record.prepare(image, label)
    record.prepare(image, label)
    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
