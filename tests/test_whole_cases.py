"""What Lightning's users expect: test, validate and predict by a trainer, a module from its checkpoint."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.images import read_label, write_label
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import CheckpointError
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.lightning.module_settings import FITS, choose_settings
from ingradient_pl.lightning.step_values import as_pyramid
from ingradient_pl.lightning.whole_cases import Shared, StoredImages, check_strategy
from ingradient_pl.losses import DeepSupervision, DiceCE, ExternalLoss
from ingradient_pl.losses.compatibility import check_loss


@pytest.fixture(scope="module")
def run(tmp_path_factory, phantom_store, phantom_plan):
    """A trained run: its checkpoint, and the data it was trained on."""
    folder = tmp_path_factory.mktemp("run")
    quick = [
        f"store={phantom_store}",
        f"plan={phantom_plan}",
        "trainer=cpu",
        "epochs=1",
        "batches_per_epoch=1",
    ]
    config = composed([*quick, "data.workers=0", "callbacks=none", "logger=none"], folder)
    train(config)
    data = instantiate(config.data)
    HydraConfig.instance().cfg = None
    (file,) = folder.glob("**/*.ckpt")
    return file, data


def trainer(folder, **settings):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        use_distributed_sampler=False,
        **quiet,
        **settings,
    )


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["test", "validate"])
def test_dice_of_each_label_without_a_callback(tmp_path, run, stage):
    file, data = run
    (scores,) = getattr(trainer(tmp_path), stage)(
        SegmentationModule.load_from_checkpoint(file), data, verbose=False
    )
    name = {"test": "test", "validate": "val"}[stage]
    assert set(scores) == {f"{name}/loss", f"{name}/dice", f"{name}/dice/organ", f"{name}/dice/lesion"}
    assert scores[f"{name}/dice"] == pytest.approx(
        np.mean([scores[f"{name}/dice/organ"], scores[f"{name}/dice/lesion"]]), abs=1e-5
    )


def test_cases_marked_as_test_are_those_that_are_tested(run):
    _, data = run
    assert data.test_cases == data.split.validation
    case = data.store.cases[data.split.train[0]]
    marked = {**data.store.cases, case.name: case._replace(split="test")}
    changed = SimpleNamespace(store=SimpleNamespace(cases=marked), split=data.split)
    assert type(data).test_cases.fget(changed) == (case.name,)


@pytest.mark.slow
def test_a_trainer_predicts_what_the_command_does(tmp_path, run):
    file, data = run
    module = SegmentationModule.load_from_checkpoint(file)
    found = trainer(tmp_path).predict(module, data)
    assert module.training
    assert {one.case for one in found} == set(data.store.cases) - set(data.split.train)
    ip.predict(file, data.store.path, tmp_path / "out", only="validation", device="cpu")
    for one in found:
        assert one.label.dtype.kind == "u"
        wanted = read_label(next((tmp_path / "out").glob(f"{one.case}.*"))).voxels[0]
        np.testing.assert_array_equal(one.label, wanted)
        write_label(tmp_path / "own.nii.gz", one.label, one.volume)
        np.testing.assert_array_equal(read_label(tmp_path / "own.nii.gz").voxels[0], wanted)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_processes_share_cases_and_none_is_predicted_twice(run, ranks):
    _, data = run
    images = StoredImages(data.store, list(data.store.cases), "LPS")
    shares = [list(Shared(images, num_replicas=ranks, rank=rank, shuffle=False)) for rank in range(ranks)]
    assert sorted(itertools.chain(*shares)) == list(range(len(images)))


def test_what_did_not_train_is_predicted(run):
    _, data = run
    everybody = Split(tuple(data.store.cases), tuple(data.store.cases))
    changed = SimpleNamespace(store=data.store, split=everybody)
    assert type(data).prediction_cases.fget(changed) == everybody.validation


def test_a_module_comes_from_its_checkpoint_alone(run):
    file, _ = run
    module = SegmentationModule.load_from_checkpoint(str(file))
    weights = torch.load(file, weights_only=True)["state_dict"]
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, weights[f"network.{name}"])
    assert isinstance(module.loss.level_loss, DiceCE)
    other = SegmentationModule.load_from_checkpoint(
        file, map_location="cpu", compile=False, freeze=["encoder.*"]
    )
    assert other.freeze_patterns == ("encoder.*",)
    assert other.hparams["freeze"] == ["encoder.*"]
    assert dict(module.hparams) == torch.load(file, weights_only=True)["hyper_parameters"]
    assert set(module.hparams) == set(FITS)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ({"freeze": ["encoder.*"], "freeze_epochs": 3, "layer_decay": 0.5}, None),
        ({"interval": "epoch", "length_argument": "T_max", "graph": False}, None),
        (
            {"interval": "hour", "graph": "never", "freeze": "all", "freeze_epochs": -1, "layer_decay": 1e9},
            {},
        ),
        ({"network": {"_target_": "os.system"}, "compile": True, "loss": [1]}, {}),
        ([1, 2], {}),
        (None, {}),
    ],
)
def test_settings_of_a_checkpoint_are_read_as_a_strangers(held, wanted):
    assert choose_settings({"hyper_parameters": held}) == (held if wanted is None else wanted)


@pytest.mark.parametrize("stage", ["test", "validate", "predict"])
def test_weights_are_not_used_by_another_plan(tmp_path, run, stage):
    file, data = run
    plan = dataclasses.replace(data.plan, spacing=(3.0, 1.0, 1.0))
    other = ip.SegmentationData(str(data.store.path), plan, ip.TrainingDraws(), ip.Augment(), workers=0)
    module = SegmentationModule.load_from_checkpoint(file)
    words = r"'spacing' is .*, the data's plan says .*ingradient_pl\.load"
    with pytest.raises(ValueError, match=words):
        getattr(trainer(tmp_path), stage)(module, other)
    bare = SegmentationModule(module.network, module.loss)
    with pytest.raises(ValueError, match=words):
        getattr(trainer(tmp_path), stage)(bare, other, ckpt_path=file, weights_only=True)


def test_a_checkpoint_of_several_folds_is_not_a_module(tmp_path, run):
    models = [ip.load(run[0], device="cpu").model for _ in range(2)]
    for weight in models[1].networks[0].parameters():
        weight.data += 1
    networks = [model.networks[0] for model in models]
    checkpoint.write(tmp_path / "two.ckpt", networks, models[0].plan, models[0].task)
    with pytest.raises(CheckpointError, match=r"holds 2 networks.*ingradient_pl\.load"):
        SegmentationModule.load_from_checkpoint(tmp_path / "two.ckpt")
    torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError):
        SegmentationModule.load_from_checkpoint(tmp_path / "evil.ckpt")
    assert not Evil.ran


class Evil:
    ran = False

    def __reduce__(self):
        return exec, ("import test_whole_cases; test_whole_cases.Evil.ran = True",)


@pytest.mark.parametrize("strategy", [FSDPStrategy, ModelParallelStrategy, DeepSpeedStrategy])
def test_weights_are_not_divided_among_processes(strategy):
    with pytest.raises(ValueError, match=rf"{strategy.__name__} divides.*trainer.strategy=ddp"):
        check_strategy(object.__new__(strategy))
    check_strategy(DDPStrategy())


LOSSES = {
    "torch": (torch.nn.CrossEntropyLoss(), False),
    "with a channel": (lambda logits, label: (logits.mean() - label.float().mean()) ** 2, True),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_other_packages_are_taken_at_every_level(name):
    given, channel = LOSSES[name]
    seen = []

    class Looks(torch.nn.Module):
        def forward(self, logits, label):
            seen.append((label.dtype, label.ndim))
            return given(logits, label)

    loss = DeepSupervision(ExternalLoss(Looks(), channel=channel))
    pyramid = [torch.randn(2, 3, size, size, size, requires_grad=True) for size in (8, 4)]
    value = loss(pyramid, torch.randint(0, 3, (2, 8, 8, 8), dtype=torch.uint8))
    value.backward()
    assert all(level.grad is not None for level in pyramid)
    assert seen == [(torch.int64, 4 + channel)] * 2


def test_a_loss_of_another_package_is_held_against_the_labels():
    labels = {"background": 0, "a": 1, "ignore": 2}
    plain = ExternalLoss(torch.nn.CrossEntropyLoss(), channel=False)
    check_loss(plain, ip.Task(("MR",), {"a": 1}))
    with pytest.raises(ValueError, match="ignore: 2"):
        check_loss(plain, ip.Task(("MR",), labels))
    check_loss(
        ExternalLoss(torch.nn.CrossEntropyLoss(ignore_index=2), channel=False), ip.Task(("MR",), labels)
    )
    with pytest.raises(ValueError, match="loss=regions"):
        check_loss(plain, ip.Task(("MR",), {"a": (1, 2), "b": 2}, (1, 2)))


def test_a_loss_that_is_no_scalar_is_named():
    with pytest.raises(ValueError, match=r"CrossEntropyLoss gives .* where a scalar is wanted"):
        ExternalLoss(torch.nn.CrossEntropyLoss(reduction="none"), channel=False)(
            torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
        )


@pytest.mark.parametrize("given", [{"out": torch.zeros(1)}, 3, ["a"]])
def test_what_is_no_pyramid_names_the_adapter(given):
    with pytest.raises(ValueError, match="external_network"):
        as_pyramid(given)
    logits = torch.zeros(1, 2, 2, 2, 2)
    assert as_pyramid(logits) == [logits]
    assert as_pyramid((logits, logits)) == [logits, logits]
