"""Nothing that a file says runs, writes or deletes: payloads through every kind of file that is read."""

import copy
import io
import json
import pickle
from pathlib import Path

import numpy as np
import payloads
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from tiny_models import TASK, network, plan

from ingradient_pl.cli.foreign_config import read_foreign_config
from ingradient_pl.cli.plan_overrides import with_plans
from ingradient_pl.cli.resume import with_sweep
from ingradient_pl.commands.named_network import NamedNetwork
from ingradient_pl.images.formats import read_volume
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.planning.plan_yaml import read_plan, write_plan
from ingradient_pl.spec import to_spec

TARGETS = sorted(payloads.targets(Path("folder")))
TEXTS = sorted(payloads.texts(Path("folder")))
ZSCORE = "ingradient_pl.transforms.normalise.ZScore"


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """A folder to harm; afterwards it is as it was."""
    monkeypatch.setenv("SECRET_OF_A_TEST", "the secret")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("kept")
    torch.save(Harmful(str(tmp_path / "canary")), tmp_path / "evil.pt")
    np.save(tmp_path / "evil.npy", np.array([Harmful(str(tmp_path / "canary"))]), allow_pickle=True)
    (tmp_path / "hubconf.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')\ndef evil(): pass\n")
    yield tmp_path
    assert not (tmp_path / "canary").exists()
    assert (tmp_path / "kept" / "file").read_text() == "kept"


class Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


WRITER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same content, in a fraction of the time


def written(path, plain):
    path.write_text(yaml.dump(plain, Dumper=WRITER))
    return path


@pytest.mark.parametrize("place", ["normalisation", "notes", "previous_stage", "spacing", "an entry"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_plan_builds_normalisers_and_nothing_else(ground, name, place):
    payload = payloads.targets(ground)[name]
    plain = to_spec(plan())
    plain[place] = {"normalisation": [payload], "notes": {"a": payload}, "spacing": [payload, 1, 1]}.get(
        place, payload
    )
    with pytest.raises(ValueError, match=r"plan\.yaml"):
        with_plans([f"plan={written(ground / 'plan.yaml', plain)}"], ground / "configs")


@pytest.mark.parametrize("place", ["notes", "deep notes", "previous_stage", "orientation"])
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_of_a_plan_is_worked_out(ground, name, place):
    text = payloads.texts(ground)[name]
    plain = to_spec(plan())
    notes = {"notes": {"a": text}, "deep notes": {"a": [{"b": text}]}}.get(place)
    plain.update({place: text} if notes is None else {"notes": notes})
    file = written(ground / "plan.yaml", plain)
    with pytest.raises(ValueError, match=r"plan\.yaml"):
        with_plans([f"plan={file}"], ground / "configs")
    if notes:
        assert read_plan(file).notes == {
            "a": text if place == "notes" else ({"b": text},)
        }  # as data it may be


def test_what_hydra_reads_is_the_checked_plan_and_not_the_file(ground):
    file = ground / "plan.yaml"
    write_plan(file, plan())
    file.write_text(f"# @package hydra\n{file.read_text()}")
    with_plans([f"plan={file}"], ground / "configs")
    copied = (ground / "configs" / "plan" / "plan.yaml").read_text()
    assert "@package" not in copied
    assert yaml.safe_load(copied) == to_spec(plan())


def test_a_normaliser_of_ones_own_is_built_where_its_package_is_trusted(ground):
    plain = {**to_spec(plan()), "normalisation": [{"_target_": "somebodys.Halved"}]}
    file = written(ground / "plan.yaml", plain)
    with pytest.raises(ValueError, match=r"somebodys\.Halved.* not in a trusted package"):
        with_plans([f"plan={file}"], ground / "refused")
    with_plans([f"plan={file}", "trust=[somebodys]"], ground / "configs")
    net = {**plain, "normalisation": [{"_target_": "somebodys.Net", "channels": 1, "outputs": 1}]}
    with pytest.raises(ValueError, match="no Normaliser"):
        with_plans([f"plan={written(ground / 'net.yaml', net)}", "trust=somebodys"], ground / "other")


def with_entry(plain, name, value):
    changed = copy.deepcopy(plain)
    node = changed
    *parts, last = name.split(".")
    for part in parts:
        node = node.setdefault(part, {})
    node[last] = value
    return changed


def read(ground, plain, *told, trusted=()):
    run = ground / "run"
    run.mkdir(exist_ok=True)
    return read_foreign_config(written(run / "config.yaml", plain), run, trusted, told)


def test_the_config_of_a_run_is_read_as_it_was_written(ground):
    plain = payloads.run_config()
    assert OmegaConf.to_container(OmegaConf.create(read(ground, plain))) == plain


@pytest.mark.parametrize("name", ["a$b", "$HOME", "a$b/run", "${x}", "a{b", "(b)", "a, b"])
def test_the_config_of_a_run_is_read_in_any_folder(ground, name):
    run = ground / name
    run.mkdir(parents=True)
    plain = with_entry(
        payloads.run_config(), "callbacks.best.dirpath", "${hydra:runtime.output_dir}/checkpoints"
    )
    read_foreign_config(written(run / "config.yaml", plain), run, (), ())


@pytest.mark.parametrize(
    "place",
    [
        "data",
        "module.network",
        "module.loss",
        "callbacks.mine",
        "logger.mine",
        "trainer.plugins",
        "plan.notes.a",
    ],
)
@pytest.mark.parametrize("name", TARGETS)
def test_a_resumed_run_builds_only_what_training_does(ground, name, place):
    plain = with_entry(payloads.run_config(), place, payloads.targets(ground)[name])
    with pytest.raises(ValueError, match=rf"config.yaml: '{place}"):
        read(ground, plain)


@pytest.mark.parametrize(
    "place", ["seed", "data.store", "callbacks.mine", "plan.notes.a", "module.network.channels"]
)
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_of_a_resumed_run_is_worked_out(ground, name, place):
    plain = with_entry(payloads.run_config(), place, payloads.texts(ground)[name])
    with pytest.raises(ValueError, match=rf"config.yaml: '{place}' is "):
        read(ground, plain)


@pytest.mark.parametrize("name", sorted(payloads.places(Path("folder"), Path("folder"))))
def test_a_resumed_run_writes_in_its_folder_alone(ground, name):
    value = payloads.places(ground / "run", ground / "kept")[name]
    plain = with_entry(payloads.run_config(), name, value)
    with pytest.raises(ValueError, match=rf"config.yaml: '{name}"):
        read(ground, plain)


@pytest.mark.parametrize("entry", ["defaults", "hydra"])
def test_a_resumed_run_pulls_in_no_other_config(ground, entry):
    with pytest.raises(ValueError, match="not the config of a run"):
        read(ground, {**payloads.run_config(), entry: [{"override /callbacks": "evil"}]})


def test_what_the_command_line_says_again_or_trusts_is_the_users_own(ground):
    plain = payloads.run_config()
    elsewhere = with_entry(plain, "callbacks.best.dirpath", str(ground / "kept"))
    assert read(ground, elsewhere, f"callbacks.best.dirpath={ground / 'kept'}", "seed=1")
    mine = with_entry(plain, "callbacks.mine", {"_target_": "somebodys.Net"})
    with pytest.raises(ValueError, match=r"trust=\[somebodys\]"):
        read(ground, mine)
    assert read(ground, mine, trusted=["somebodys"])
    outside = {"_target_": "ingradient_pl.networks.external.external_network", "target": "somebodys.Net"}
    with pytest.raises(ValueError, match=r"trust=\[somebodys\]"):
        read(ground, with_entry(plain, "module.network", outside))
    assert read(ground, with_entry(plain, "module.network", outside), trusted=["somebodys"])


@pytest.mark.parametrize("name", ["popen", "rmtree", "external popen", "a resolved name"])
def test_a_mapping_that_is_said_anew_vouches_for_nothing_beside_it(ground, name):
    plain = with_entry(payloads.run_config(), "module.optimizer.more", payloads.targets(ground)[name])
    with pytest.raises(ValueError, match=r"config.yaml: 'module.optimizer.more"):
        read(ground, plain, "module.optimizer={lr: 0.1}")  # Hydra puts the two together
    assert read(ground, plain, "module.optimizer.more=null")


HARMFUL_LINES = [
    "hydra.searchpath=[file:///tmp]",
    "hydra/launcher=submitit_slurm",
    "+hydra.launcher.setup=[touch x]",
    "hydra.sweep.subdir=../../x",
    "+hydra.callbacks.x={_target_: subprocess.Popen}",
    "trust=[subprocess]",
    "+callbacks.x={_target_: subprocess.Popen, args: [touch, x]}",
    "+callbacks.x={'_target_': subprocess.Popen}",
    "+callbacks.x._target_=subprocess.Popen",
    "module.network._target_=torch.nn.Linear,subprocess.Popen",
    "module.network.target=subprocess.Popen",
    "+module.network={_target_: ingradient_pl.networks.external.external_network, target: evil.Net}",
    "module.network={_target_: torch.nn.Linear},{_target_: os.system}",
    "seed=${oc.env:HOME}",
    'seed="${oc.env:HOME}"',
    "seed=choice(1,${oc.decode:x})",
    "+callbacks.best.dirpath=/somewhere/else",
    "callbacks.best.filename=../../x",
    "experiment=../../../evil",
    "store=../x",
    "+x={a: [{b: {_target_: os.system}}]}",
    "~callbacks={_target_: os.system}",
    "not an override",
]


@pytest.mark.parametrize("override", HARMFUL_LINES)
def test_the_line_of_a_resumed_sweep_sets_what_training_is_told_and_no_more(ground, override):
    sweep = ground / "sweep"
    sweep.mkdir()
    harmless = ["store=/a/store", "plan=plan", "seed=0,1,2", "module.optimizer.lr=0.1,0.01", "trainer=cpu"]
    for line in (harmless, [*harmless, override]):
        (sweep / "sweep.json").write_text(json.dumps({"overrides": line}))
        if line is harmless:
            told, flags = with_sweep([f"resume={sweep}"], [])
            assert told[:-1] == harmless
            assert flags == ["-m"]
        else:
            with pytest.raises(ValueError, match=r"sweep\.json"):
                with_sweep([f"resume={sweep}"], [])


def test_the_plans_of_a_resumed_sweep_are_read_as_plans(ground):
    file = ground / "sweep" / ".hydra" / "plan" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: ${oc.env:HOME}")
    (ground / "sweep" / "sweep.json").write_text(json.dumps({"overrides": ["plan=mine", "seed=0,1"]}))
    told, _ = with_sweep([f"resume={ground / 'sweep'}"], [])
    assert f"plan={file}" in told
    with pytest.raises(ValueError, match=r"mine\.yaml"):
        with_plans(told, ground / "configs")


@pytest.mark.parametrize("place", ["network", "normalisation", "notes", "task"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_checkpoint_builds_networks_and_normalisers_and_nothing_else(ground, name, place):
    payload = payloads.targets(ground)[name]
    own = checkpoint.read_description(network(), plan(), TASK)
    changes = {
        "network": payload,
        "normalisation": [payload],
        "notes": {"a": payload},
        "task": {"a": payload},
    }
    entry = (
        own["ingradient"] if place == "network" else own["ingradient"]["task" if place == "task" else "plan"]
    )
    entry["notes" if place == "task" else place] = changes[place]
    torch.save({"state_dict": {}, **own}, ground / "x.ckpt")
    with pytest.raises(checkpoint.CheckpointError, match=r"x\.ckpt"):
        checkpoint.read(ground / "x.ckpt")


@pytest.mark.parametrize("name", TARGETS)
def test_steps_and_networks_of_a_file_build_no_more(ground, name):
    payload = payloads.targets(ground)[name]
    with pytest.raises(ValueError, match=r"steps\.yaml"):
        read_steps(written(ground / "steps.yaml", [payload]))
    with pytest.raises(Exception, match=r"net\.yaml|is not a network|not a class|cannot be found|trusted"):
        NamedNetwork(str(written(ground / "net.yaml", payload)))(1, 2, (8, 8, 8))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["pkl", "npz"])
def test_arrays_and_their_properties_bring_no_objects(ground, kind, protocol):
    harmful = Harmful(str(ground / "canary"))
    properties = {"spacing": (1.0, 1.0, 1.0), **({"x": harmful} if kind == "pkl" else {})}
    (ground / "a.pkl").write_bytes(pickle.dumps(properties, protocol))
    array = np.array([harmful]) if kind == "npz" else np.zeros((2, 2, 2))
    stream = io.BytesIO()
    np.savez(stream, data=array)
    (ground / "a.npz").write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match=r"a\.(pkl|npz)"):
        read_volume([ground / "a.npz"])
