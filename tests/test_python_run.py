"""Training called from Python: the same run as the command's, the same refusals, and nothing left behind."""

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.cli.python_run import write_value
from ingradient_pl.messages import UsageError

QUICK = {"trainer": "cpu", "batches_per_epoch": 2, "data__workers": 0, "trainer.log_every_n_steps": 1}


def weights(file):
    return torch.load(file, weights_only=True)["state_dict"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_a_run_from_python_is_the_commands_to_the_weight(
    monkeypatch, capsys, tmp_path, quick, phantom_store, phantom_plan
):
    code, _, err = outcome(
        monkeypatch, capsys, "train", *quick, "recipe=fast", f"hydra.run.dir={tmp_path / 'a'}"
    )
    assert code == 0, err
    store, plan = ip.CaseStore(phantom_store), ip.read_plan(phantom_plan)
    run = ip.train(store, plan, tmp_path / "b", recipe="fast", epochs=2, **QUICK)
    assert same(weights(tmp_path / "a" / "checkpoints" / "last.ckpt"), weights(run.checkpoint))
    assert run.folder == tmp_path / "b"
    assert (run.folder / ".hydra" / "config.yaml").is_file()
    assert len(repr(run)) < 200
    image = np.random.default_rng(0).normal(size=(1, 20, 20, 20)).astype(np.float32)
    assert run.load(device="cpu").predict(image, (1.5, 1.0, 1.0)).shape == (20, 20, 20)
    # a run and a store stand for their folders wherever a path is taken
    assert ip.load(run, device="cpu").model.plan == run.load(device="cpu").model.plan
    assert [ip.info(one)["kind"] for one in (run, store)] == ["run", "store"]
    ip.predict(run, store, tmp_path / "found", only=next(iter(store.cases)), mirror=False, device="cpu")
    assert len(ip.evaluate(tmp_path / "found", store).cases) == 1
    assert (
        ip.SegmentationData(store, plan, workers=0).split == ip.SegmentationData(str(store.path), plan).split
    )


@pytest.mark.slow
def test_a_run_goes_on_from_python_and_leaves_no_hydra_behind(tmp_path, phantom_store, phantom_plan):
    whole = ip.train(phantom_store, phantom_plan, tmp_path / "whole", epochs=2, **QUICK)
    begun = ip.train(phantom_store, phantom_plan, tmp_path / "begun", epochs=1, **QUICK)
    assert begun.score != whole.score
    assert ip.train(resume=begun.folder, epochs=2).folder == begun.folder
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"optimiser": 3}, "optimiser"),
        ({"recipe": "slow"}, "slow"),
        ({"module__optimizer__learning": 3}, "learning"),
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"epochs": object()}, "numbers, texts"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(tmp_path, phantom_store, phantom_plan, overrides, said):
    with pytest.raises(UsageError, match=said):
        ip.train(phantom_store, phantom_plan, tmp_path / "run", **overrides)
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.slow
def test_a_store_or_plan_that_does_not_fit_is_refused(tmp_path, capsys, phantom_store, phantom_plan):
    with pytest.raises(FileNotFoundError, match="No plan at"):
        ip.train(phantom_store, tmp_path / "no.yaml")
    with pytest.raises(ValueError, match="case store"):
        ip.train(tmp_path, phantom_plan, tmp_path / "run")
    with pytest.raises(ValueError, match="channels"):
        ip.train(phantom_store, phantom_plan, tmp_path / "run", plan__outputs=7)


@pytest.mark.parametrize(
    "value", [0.1, 1e-05, [1, None], {"a": [True]}, "a, b", "", "x=1", "null", "1", "true"]
)
def test_values_reach_the_config_as_they_are(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(f"key={write_value(value)}")
    assert parsed.value() == value
