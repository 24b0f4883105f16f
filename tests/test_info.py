"""``info``: what files hold, as values that a program reads."""

import json

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from runs import composed, outcome
from tiny_models import TASK, network, plan

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint_file import PREVIOUS, read_content, write_content


@pytest.fixture(scope="module")
def run(tmp_path_factory, phantom_store, phantom_plan):
    folder = tmp_path_factory.mktemp("run")
    line = [
        f"store={phantom_store}",
        f"plan={phantom_plan}",
        "trainer=cpu",
        "epochs=1",
        "batches_per_epoch=2",
    ]
    train(composed([*line, "data.workers=0", "trainer.log_every_n_steps=1", "callbacks.images=null"], folder))
    HydraConfig.instance().cfg = None
    return folder


def test_a_store(phantom_store):
    found, store = ip.info(phantom_store), ip.CaseStore(phantom_store)
    assert found["kind"] == "store"
    assert found["cases"] == list(store.cases)
    assert (found["labelled"], found["patients"]) == (6, len({case.group for case in store.cases.values()}))
    assert found["sha256"] == store.check_sum()
    assert found["task"]["labels"] == {"background": 0, "organ": 1, "lesion": 2}
    assert found["median"]["spacing"] == [1.5, 1.0, 1.0]
    assert found["units"]["spacing"] == "mm"
    assert found["voxels_of_labels"]["1"] == sum(case.voxels.get(1, 0) for case in store.cases.values())


def test_a_plan(phantom_plan):
    found, plan = ip.info(phantom_plan), ip.read_plan(phantom_plan)
    assert found["kind"] == "plan"
    assert tuple(found["plan"]["spacing"]) == plan.spacing
    assert tuple(found["plan"]["patch"]) == plan.patch


def test_a_run_and_its_checkpoints(run, phantom_store):
    found = ip.info(run)
    assert (found["kind"], found["state"], found["epochs_done"]) == ("run", "finished", 1)
    assert found["store"]["sha256"] == ip.info(phantom_store)["sha256"]
    assert found["seed"] == 0
    assert found["versions"]["torch"] == torch.__version__
    assert {"git", "split", "plan", "scores", "device"} <= set(found)
    assert set(found["checkpoints"]) == {"best.ckpt", "last.ckpt"}
    model = ip.info(found["checkpoints"]["last.ckpt"]["path"])
    assert (model["kind"], model["epoch"], model["step"], model["resumable"]) == ("checkpoint", 0, 2, True)
    assert model["plan"]["patch"] == found["plan"]["patch"]
    assert model["run"]["store"] == found["store"]
    network = ip.load(run).model.networks[0]
    assert model["weights"] == sum(value.numel() for value in network.state_dict().values())


def test_every_kind_is_json_on_the_command_line_and_silent_in_python(
    monkeypatch, capsys, run, phantom_store, phantom_plan
):
    for path in (phantom_store, phantom_plan, run, run / "checkpoints" / "last.ckpt"):
        capsys.readouterr()
        found = ip.info(path)
        assert capsys.readouterr().out == ""
        code, out, _ = outcome(monkeypatch, capsys, "info", path, "--json", "true")
        assert code == 0
        assert json.loads(out) == found
        code, out, _ = outcome(monkeypatch, capsys, "info", "--path", path)
        assert code == 0
        assert f"kind: {found['kind']}" in out


def test_numbers_that_are_not_finite_are_null(tmp_path):
    (tmp_path / "run.json").write_text('{"state": "failed", "scores": {"val/dice": NaN}}')
    assert ip.info(tmp_path)["scores"] == {"val/dice": None}


def test_a_file_cannot_say_what_it_is(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "store", "path": "/", "units": {}}')
    found = ip.info(tmp_path)
    assert (found["kind"], found["path"]) == ("run", str(tmp_path))
    assert found["units"]


@pytest.mark.parametrize("content", ["[]", "null", "{", '"text"'])
def test_a_damaged_record_is_refused_by_name(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match=r"run\.json"):
        ip.info(tmp_path)


def test_what_is_none_of_these_is_refused(monkeypatch, capsys, tmp_path):
    (tmp_path / "note.yaml").write_text("a: 1\n")
    (tmp_path / "evil.yaml").write_text("!!python/object/apply:os.system [true]\n")
    (tmp_path / "text.ckpt").write_text("no")
    write_content(tmp_path / "empty.ckpt", {"ingradient": {}})
    with pytest.raises(FileNotFoundError, match="no such"):
        ip.info(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="neither"):
        ip.info(tmp_path)
    for name in ("note.yaml", "evil.yaml", "text.ckpt"):
        code, _, err = outcome(monkeypatch, capsys, "info", tmp_path / name)
        assert code in (1, 2)
        assert name in err
        assert len(err.splitlines()) == 1
    assert ip.info(tmp_path / "empty.ckpt")["weights"] == 0


def test_a_plan_of_a_stranger_is_told_and_not_worked_out(tmp_path, phantom_plan):
    text = phantom_plan.read_text() + "\nremark: ${oc.env:HOME}\n"
    (tmp_path / "plan.yaml").write_text(text)
    assert ip.info(tmp_path / "plan.yaml")["plan"]["remark"] == "${oc.env:HOME}"


def test_a_cascade_names_its_first_stage(tmp_path):
    checkpoint.write(tmp_path / "first.ckpt", network(), plan(spacing=(4.0, 2.0, 2.0)), TASK)
    content = dict(read_content(tmp_path / "first.ckpt"))
    write_content(tmp_path / "both.ckpt", {**content, PREVIOUS: content})
    assert ip.info(tmp_path / "both.ckpt")["previous"]["plan"]["spacing"] == [4.0, 2.0, 2.0]
    assert "previous" not in ip.info(tmp_path / "first.ckpt")


@pytest.mark.parametrize(
    ("name", "kind"), [("crossval.json", "cross-validation"), ("cascade.json", "cascade")]
)
def test_several_runs_in_a_folder_are_told_with_their_checkpoints(tmp_path, name, kind):
    (tmp_path / name).write_text('{"summary": {"best": "2d"}, "kind": "a store"}')
    model = (
        tmp_path / "model.ckpt" if kind == "cross-validation" else tmp_path / "second/checkpoints/last.ckpt"
    )
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(b"12")
    found = ip.info(tmp_path)
    assert (found["kind"], found["summary"]["best"]) == (kind, "2d")
    assert found["checkpoints"] == {model.name: {"path": str(model), "size_bytes": 2}}
    for damaged in ("{", "[1]"):
        (tmp_path / name).write_text(damaged)
        with pytest.raises(ValueError, match=f"{name}.*Call the command again"):
            ip.info(tmp_path)
