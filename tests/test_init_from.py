"""``init_from``: a new run from trained weights, from the command and from Python, and what it refuses."""

import csv
import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from runs import composed, outcome
from weight_sources import unet

import ingradient_pl as ip
from ingradient_pl.cli import train_config
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.finetuning.mapping import Row, WeightMapping
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.finetuning.trained_on import TrainedOn, check_unseen
from ingradient_pl.inference.checkpoint import Model, write
from ingradient_pl.lightning import module as lightning_module
from ingradient_pl.lightning.callbacks.freeze import Freeze, FreezeShared, find_frozen, make_freeze
from ingradient_pl.lightning.init_weights import tell_frozen
from ingradient_pl.messages import UsageError
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.nnunet.model import import_nnunet
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

STILL = ["module.optimizer.lr=0", "module.optimizer.weight_decay=0"]
"""A run that trains and changes nothing: what it ends with is what it started from."""


def weights_of(run):
    found = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name.removeprefix("network."): value for name, value in found.items()}


def rows(run):
    with (run / "init.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def train(monkeypatch, capsys, tmp_path, quick):
    """Run ``ingradient-train`` into a folder of a name."""

    def call(name, *overrides):
        run = tmp_path / name
        recipe = [] if any(one.startswith("recipe=") for one in overrides) else ["recipe=nnunet"]
        line = [*quick, *recipe, "epochs=1", *overrides, f"hydra.run.dir={run}"]
        return run, *outcome(monkeypatch, capsys, "train", *line)

    return call


@pytest.fixture
def source(phantom_store, phantom_plan, tmp_path):
    """A slim checkpoint for the phantoms, of which nobody knows what it was trained on."""
    plan, task = read_plan(phantom_plan), CaseStore(phantom_store).task
    write(tmp_path / "source.ckpt", unet(plan), plan, task)
    return tmp_path / "source.ckpt"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
def test_a_run_starts_from_the_weights_and_shows_what_it_took(train, source, phantom_plan):
    run, code, out, err = train("run", *STILL, f"init_from={source}")
    assert code == 0, err
    expected = unet(read_plan(phantom_plan)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(run).items())
    assert f"100.0% of the network's parameters come from {source}" in out
    assert re.search(r"^encoder\.0 +4 +4 +0 +0 ", out, re.MULTILINE)
    assert {row["state"] for row in rows(run)} == {"taken"}
    assert json.loads((run / "run.json").read_text())["init"]["path"] == str(source)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
def test_a_model_folder_of_nnunet_is_a_source(train, phantom_store, phantom_plan, tmp_path):
    plan = replace(read_plan(phantom_plan), low_pass_above=None)
    model = Model([unet(plan)], plan, CaseStore(phantom_store).task, "", (0, 1, 2))
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    export_nnunet(model, folder)
    run, code, _, err = train("run", *STILL, f"init_from={folder}")
    assert code == 0, err
    assert torch.equal(weights_of(run)["encoder.1.0.conv.weight"], unet(plan).encoder[1][0].conv.weight)
    names = sorted(CaseStore(phantom_store).cases)
    (folder / "splits_final.json").write_text(json.dumps([{"train": names[1:], "val": names[:1]}]))
    import_nnunet(folder, tmp_path / "imported.ckpt")
    for start in (folder, tmp_path / "imported.ckpt"):
        _, code, _, err = train("leak", *STILL, "data.split.count=3", f"init_from={start}")
        assert code == 1, err
        assert "validation cases, or their patients, trained" in err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
def test_plain_weights_want_a_mapping_where_names_tell_nothing(train, phantom_plan, tmp_path):
    network, odd = unet(read_plan(phantom_plan)), tmp_path / "mine (1), [v=2]"
    odd.mkdir()
    weights = {f"net.body.{name}".replace("encoder", "down"): v for name, v in network.state_dict().items()}
    torch.save({name: v for name, v in weights.items() if "down" in name}, odd / "w eights.pt")
    _, code, _, err = train("run", f"init_from={odd / 'w eights.pt'}")
    assert code == 2
    assert "init_mapping=FILE.yaml" in err
    (odd / "names.yaml").write_text("encoder.*: net.body.down.*\n")
    told = (f"init_from={odd / 'w eights.pt'}", f"init_mapping={odd / 'names.yaml'}")
    _, code, _, err = train("little", *told, "init_at_least=0.9")
    assert code == 2
    assert "init_at_least=0.9 asks for 90%" in err
    run, code, _, err = train("enough", *STILL, *told, "init_at_least=0.3")
    assert code == 0, err
    assert torch.equal(weights_of(run)["encoder.1.0.conv.weight"], network.encoder[1][0].conv.weight)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
def test_a_mapping_that_takes_next_to_nothing_stops_before_anything_trains(train, source):
    wider = "plan.widths=[5,7,9]"
    run, code, _, err = train("run", f"init_from={source}", wider)
    assert code == 2
    assert re.search(r"\d\.\d% of the network's parameters come from .*init_at_least=0\.5 asks for 50%", err)
    assert "another width" in err
    assert rows(run)
    assert not (run / "checkpoints").exists()
    _, code, _, err = train("lower", f"init_from={source}", wider, "init_at_least=0")
    assert code == 0, err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
@pytest.mark.parametrize(
    ("overrides", "code", "said"),
    [
        (["init_at_least=50"], 2, r"share of the weights in \[0, 1\]; got 50"),
        (["init_split=theirs"], 2, "'own' or 'source'; got 'theirs'"),
        (["init_folds=all"], 2, "'first' or 'mean', got 'all'"),
        (["init_split=source"], 2, "does not tell who trained and who validated"),
    ],
)
def test_wrong_settings_are_refused_by_name(train, source, overrides, code, said):
    found = train("run", f"init_from={source}", *overrides)
    assert found[1] == code
    assert re.search(said, found[3])


@pytest.mark.slow
def test_a_file_that_could_run_something_is_refused(train, tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("a program ran",)

    torch.save({"state_dict": {}, "ingradient_pl": Harmful()}, tmp_path / "bad.ckpt")
    run, code, out, err = train("run", f"init_from={tmp_path / 'bad.ckpt'}")
    assert code == 1
    assert "bad.ckpt" in err
    assert "a program ran" not in out + err
    assert not (run / "checkpoints").exists()


@pytest.mark.slow
def test_a_run_that_began_from_weights_goes_on_with_its_own(train, source, monkeypatch, capsys):
    with pytest.warns(UserWarning, match="does not tell which cases it was trained on"):
        run, code, _, err = train("run", "recipe=finetune", f"init_from={source}")
    assert code == 0, err
    source.unlink()  # a run that goes on needs it no more
    code, out, err = outcome(monkeypatch, capsys, "train", f"resume={run}", "epochs=2")
    assert code == 0, err
    assert "of the network's parameters come from" not in out
    assert json.loads((run / "run.json").read_text())["init"]["share"] == 1.0
    code, _, err = outcome(monkeypatch, capsys, "train", f"resume={run}", "epochs=3", "init_from=other.ckpt")
    assert code == 2
    assert "a run keeps its init_from" in err


@pytest.mark.slow
def test_going_on_and_starting_anew_at_once_is_refused(train, source, tmp_path):
    _, code, _, err = train("run", f"init_from={source}", f"resume={source}")
    assert code == 2
    assert "give one of the two" in err


@pytest.mark.slow
def test_cases_that_were_trained_on_do_not_validate(train):
    first, code, _, err = train("first", "data.split.count=3", "data.split.number=0")
    assert code == 0, err
    _, code, _, err = train("leak", "data.split.count=3", "data.split.number=1", f"init_from={first}")
    assert code == 1
    trained = json.loads((first / "run.json").read_text())["split"]["train"]
    assert re.search(r"\d validation cases, or their patients, trained .*last\.ckpt: phantom", err), err
    assert any(name in err for name in trained)
    assert "init_split=source" in err
    kept, code, _, err = train(
        "kept", "data.split.count=3", "data.split.number=1", f"init_from={first}", "init_split=source"
    )
    assert code == 0, err
    record = json.loads((kept / "run.json").read_text())
    assert record["split"]["train"] == trained
    assert record["init"]["trained"][0]["cases"] == trained
    # weights remember all that they were ever trained on
    everybody = read_weights(kept).trained
    assert [set(entry.cases) for entry in everybody] == [set(trained), set(trained)]


@pytest.mark.slow
def test_cases_are_known_by_their_images_under_other_names(train, raw_phantoms, tmp_path):
    first, code, _, err = train("first", "data.split.count=3", "data.split.number=0")
    assert code == 0, err
    raw = tmp_path / "raw"
    shutil.copytree(raw_phantoms, raw)
    for file in [*(raw / "imagesTr").iterdir(), *(raw / "labelsTr").iterdir()]:
        file.rename(file.with_name(f"again_{file.name}"))
    described = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps({**described, "name": "Dataset999_again"}))
    build_store(read_source(raw), tmp_path / "again")
    told = (f"store={tmp_path / 'again'}", f"init_from={first}", "data.split.count=3", "data.split.number=1")
    _, code, _, err = train("leak", *told)
    assert code == 1
    assert re.search(
        r"validation cases, or their patients, trained .*: again_.*again_\S+ was phantom", err
    ), err
    kept, code, _, err = train("kept", *told, "init_split=source")
    assert code == 0, err
    names = json.loads((first / "run.json").read_text())["split"]["train"]
    assert json.loads((kept / "run.json").read_text())["split"]["train"] == [
        f"again_{name}" for name in names
    ]


def test_a_renamed_case_stands_for_its_patient():
    known = TrainedOn(("old",), "one", images=("aa",))
    validation, patients = TrainedOn(("b2", "c1"), "two"), {"b1": "b", "b2": "b", "c1": "c"}
    images = {"b1": "aa", "b2": "bb", "c1": "cc"}
    with pytest.raises(ValueError, match=r"1 validation cases, .*: b2 \(by their images: b1 was old\)"):
        check_unseen("x.ckpt", [known], validation, patients, images)
    assert check_unseen("x.ckpt", [known], validation, patients, {**images, "b1": "dd"}) == []
    named = known._replace(cases=("b2",))  # another image of the same name: not the same case
    assert check_unseen("x.ckpt", [named], validation, patients, {**images, "b1": "dd"}) == []
    (told,) = check_unseen("x.ckpt", [named._replace(images=())], validation, patients, images)
    assert "have names of cases that trained" in told


def test_a_patient_whose_other_case_was_trained_on_does_not_validate():
    trained, validation = TrainedOn(("a1",), "one"), TrainedOn(("a2", "b1"), "one")
    assert check_unseen("x.ckpt", [trained], validation) == []
    with pytest.raises(ValueError, match=r"1 validation cases, .*: a2\."):
        check_unseen("x.ckpt", [trained], validation, {"a1": "a", "a2": "a", "b1": "b"})
    far = trained._replace(data="two")
    assert check_unseen("x.ckpt", [far], validation, {"a1": "a", "a2": "a", "b1": "b"}) == []


def test_names_of_another_data_set_are_told_and_unknown_cases_too():
    validation = TrainedOn(("a", "b"), "Dataset001_one", "/stores/one", "01")
    other = TrainedOn(("b", "c"), "Dataset002_two", "/stores/two", "02")
    (told,) = check_unseen("x.ckpt", [other], validation)
    assert "1 validation cases have names of cases that trained x.ckpt (b)" in told
    (told,) = check_unseen("x.ckpt", [], validation)
    assert "does not tell which cases" in told
    assert check_unseen("x.ckpt", [TrainedOn(("c",), "Dataset001_one")], validation) == []
    for same in ({"data": "Dataset001_one"}, {"path": "/stores/one"}, {"sha256": "01"}):
        with pytest.raises(ValueError, match=r"1 validation cases, .*trained x\.ckpt: b"):
            check_unseen("x.ckpt", [other._replace(**same)], validation)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*does not tell which cases")
def test_python_does_as_the_command(source, phantom_store, phantom_plan, tmp_path):
    quick = {
        "recipe": "nnunet",
        "trainer": "cpu",
        "batches_per_epoch": 2,
        "data__workers": 0,
        "trainer.log_every_n_steps": 1,
    }
    still = {"module.optimizer.lr": 0.0, "module.optimizer.weight_decay": 0.0}
    run = ip.train(
        phantom_store, phantom_plan, tmp_path / "run", epochs=1, init_from=source, **quick, **still
    )
    expected = unet(read_plan(phantom_plan)).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in weights_of(run.folder).items())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_frozen_weights_stay_and_thaw(train, monkeypatch, capsys, phantom_plan, optimizer):
    frozen = ["module.freeze=[encoder.*,heads.0.bias]", f"optimizer@module.optimizer={optimizer}"]
    start, code, _, err = train("start", *STILL)
    assert code == 0, err
    run, code, out, err = train("run", *frozen, "module.freeze_epochs=1")
    assert code == 0, err
    assert "frozen for 1 epochs" in out
    before, after = weights_of(start), weights_of(run)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith("encoder.") or name == "heads.0.bias" for name in changed)
    code, _, err = outcome(monkeypatch, capsys, "train", f"resume={run}", "epochs=2")
    assert code == 0, err
    assert not torch.equal(weights_of(run)["encoder.0.0.conv.weight"], after["encoder.0.0.conv.weight"])


@pytest.mark.parametrize(
    ("frozen", "told"), [(["encoder.0.*"], []), (["stem.*", "heads.1.*"], ["heads.1.weight", "heads.1.bias"])]
)
def test_frozen_weights_of_which_the_source_has_nothing_are_told(frozen, told):
    rows = [
        Row("encoder.0.0.conv.weight", (3,), "taken", 3, "encoder.0.0.conv.weight", ""),
        *(Row(f"heads.1.{name}", (3,), "fresh", 0, "", "no head") for name in ("weight", "bias")),
    ]
    found = list(tell_frozen(WeightMapping(tuple(rows), {}, "SOURCE"), frozen))
    assert len(found) == bool(told)
    assert all(name in line for line in found for name in (*told, "SOURCE has nothing", "module.freeze"))


def test_freezing_says_what_it_cannot(phantom_plan):
    network = unet(read_plan(phantom_plan))
    with pytest.raises(UsageError, match=r"'encoders\.\*' is the name of none.*encoder\.0\.0"):
        find_frozen(network, ["encoder.*", "encoders.*"])
    with pytest.raises(UsageError, match="nothing would train"):
        find_frozen(network, ["*"])
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(UsageError, match="freeze_epochs counts epochs"):
            Freeze(["encoder.*"], wrong)


def test_a_run_resumed_within_a_later_epoch_thaws(phantom_plan):
    network = unet(read_plan(phantom_plan))
    freeze, module = Freeze(["encoder.*"], 1), SimpleNamespace(network=network)
    freeze.setup(SimpleNamespace(), module, "fit")
    assert not network.encoder[0][0].conv.weight.requires_grad
    freeze.on_train_start(SimpleNamespace(current_epoch=0), module)
    assert not network.encoder[0][0].conv.weight.requires_grad
    freeze.on_train_start(SimpleNamespace(current_epoch=1), module)  # no epoch begins there
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.slow
def test_gradients_that_are_dropped_freeze_as_none_do(train, monkeypatch):
    told = ["module.freeze=[encoder.*]", "module.freeze_epochs=1", "epochs=2", "recipe=fast"]
    alone, code, _, err = train("alone", *told)
    assert code == 0, err
    monkeypatch.setattr(
        lightning_module, "make_freeze", lambda *given, several: make_freeze(*given, several=True)
    )
    shared, code, _, err = train("shared", *told)
    assert code == 0, err
    found = weights_of(shared)
    assert all(torch.equal(value, found[name]) for name, value in weights_of(alone).items())


def test_several_processes_exchange_gradients_of_weights_that_thaw():
    assert make_freeze([], None, several=True) == []
    kinds = [type(*make_freeze(["encoder.*"], epochs, several=True)) for epochs in (None, 1)]
    assert kinds == [Freeze, FreezeShared]


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (["recipe=finetune"], "recipe=finetune"),
        (["optimizer@module.optimizer=sgd_finetune"], "optimizer@module.optimizer=sgd_finetune"),
        (["module.freeze=[encoder.*]"], "module.freeze=['encoder.*']"),
        (["recipe=nnunet"], None),
    ],
    ids=str,
)
def test_what_is_for_trained_weights_and_has_none_is_told(quick, tmp_path, capsys, monkeypatch, told, named):
    """Stopped where the data would be opened: the line comes before anything takes time."""

    def stop(_):
        raise InterruptedError

    monkeypatch.setattr(train_config, "seed_everything", stop)
    with pytest.raises(InterruptedError):
        train_config.train(composed([*quick, *told], tmp_path))
    out = capsys.readouterr().out
    assert ("Give init_from=FILE" in out) == (named is not None)
    assert named is None or re.search(f"Note: {re.escape(named)} (is for|keeps) weights", out)
    with pytest.raises(InterruptedError):
        train_config.train(composed([*quick, *told, "init_from=x.ckpt"], tmp_path))
    assert "Note" not in capsys.readouterr().out
