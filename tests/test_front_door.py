"""The names at the top of the package: lazy, documented, and the same as what the commands do."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from runs import composed
from tiny_models import network, plan

import ingradient_pl as ip
from ingradient_pl.cli.main import COMMANDS, OWN_MODULES
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.inference.checkpoint import Model, write
from ingradient_pl.inference.postprocess import LargestComponent, Steps, write_steps
from ingradient_pl.lazy import attach
from ingradient_pl.task import Task

PACKAGE = Path(ip.__file__).parent

WANTED = {"prepare", "plan", "train", "predict", "evaluate", "compare", "export", "load", "CaseStore", "Plan"}
WANTED |= {"Task", "Predictor", "Batch", "unet", "loss", "draws"}


def test_importing_the_package_imports_nothing_heavy():
    line = "import sys, ingradient_pl; dir(ingradient_pl); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout
    heavy = {"torch", "numpy", "scipy", "hydra", "pytorch_lightning", "nibabel", "SimpleITK", "jsonargparse"}
    assert not heavy & set(out.split())


@pytest.mark.parametrize("name", ip.__all__)
def test_each_name_is_there_documented_and_typed(name):
    value = getattr(ip, name)
    assert name in dir(ip)
    assert len(inspect.getdoc(value)) > 30
    assert len(repr(value)) < 200
    call = value.__init__ if inspect.isclass(value) else value
    hints = [hint for key, hint in inspect.get_annotations(call).items() if key != "return"]
    assert hints or not inspect.isfunction(call) or inspect.isclass(value)


def test_every_command_is_a_function_of_its_name_with_its_options():
    for command in set(COMMANDS) - set(OWN_MODULES):
        name = command.replace("-", "_")
        function = getattr(ip, name)
        assert function.__module__ == f"ingradient_pl.commands.{name}"
        assert not [option for option in inspect.signature(function).parameters if option.startswith("_")]


def test_the_promised_names_are_there():
    assert len(ip.__all__) >= 20
    assert not WANTED - set(ip.__all__)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CaseStor", "Did you mean 'CaseStore'"),
        ("Evaluate", "Did you mean 'evaluate'"),
        ("RandomMotion", "now 'RandomAffine'"),
        ("RandomBend", "now 'RandomElasticDeformation'"),
        ("xyzzy", "it has Augment, Batch"),
    ],
)
def test_an_unknown_name_gives_the_nearest_or_the_new_word(name, said):
    with pytest.raises(AttributeError, match=f"no '{name}'.*{said}"):
        getattr(ip, name)


def test_tab_completion_offers_what_there_is_to_use():
    assert [name for name in dir(ip) if not name.startswith("__")] == ip.__all__


def test_a_package_without_such_a_name_says_what_it_has():
    _, get, names = attach("ingradient_pl", {"Net": "UNet"})
    assert get("UNet") is ip.UNet
    assert "UNet" in names()
    with pytest.raises(AttributeError, match="it is now 'UNet'"):
        get("Net")


def test_what_a_plan_becomes_is_what_the_config_makes(quick, tmp_path):
    config = composed([*quick, "recipe=nnunet", "data.draws.cases_per_batch=1"], tmp_path)
    module, data = instantiate(config.module), instantiate(config.data)
    assert ip.unet(data.plan).spec == module.network.spec
    assert ip.draws(data.plan) == data.draws
    loss = ip.loss(data.plan)
    assert vars(loss.level_loss) | {"training": True} == vars(module.loss.level_loss) | {"training": True}
    assert loss.weights == module.loss.weights


def test_draws_is_a_function_and_a_package(phantom_plan):
    import ingradient_pl.draws.training

    plan = ip.read_plan(phantom_plan)
    assert ip.draws(plan, seed=3) == ingradient_pl.draws.training.PlannedDraws(
        plan.patch, plan.spacing, plan.batch_size, seed=3
    )


def test_from_phantoms_to_a_plan_in_python(tmp_path, capsys):
    ip.phantoms(tmp_path / "raw", cases=4)
    store = ip.prepare(tmp_path / "raw", tmp_path / "store", workers=1, progress=False)
    assert len(store.cases) == 4
    capsys.readouterr()
    plan = ip.plan(store)
    assert capsys.readouterr().out == ""
    assert (
        ip.plan(str(tmp_path / "store"), tmp_path / "plan.yaml")
        == plan
        == ip.read_plan(tmp_path / "plan.yaml")
    )
    assert "ingradient-train store=" in capsys.readouterr().out
    labels = tmp_path / "raw" / "labelsTr"
    scores = ip.evaluate(labels, labels)
    assert {case.scores[1]["Dice"] for case in scores.cases} == {1.0}
    assert not (tmp_path / "summary.json").exists()


def prepare_damaged(raw, folder):
    next((raw / "imagesTr").glob("phantom_001*")).write_bytes(b"damaged")
    (raw / "labelsTr" / "phantom_002.nii.gz").unlink()
    assert list(ip.prepare(raw, folder / "store", workers=1, progress=False).cases) == ["phantom_000"]


def predict_damaged(raw, folder):
    next((raw / "imagesTr").glob("phantom_001*")).write_bytes(b"damaged")
    next((raw / "imagesTr").glob("phantom_002*")).write_bytes(b"")
    task = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})
    write(folder / "model.ckpt", network(outputs=3), plan(outputs=3), task)
    ip.predict(folder / "model.ckpt", raw, folder / "out", mirror=False, device="cpu")


def postprocess_damaged(raw, folder):
    for number in (1, 2):
        (raw / "labelsTr" / f"phantom_00{number}.nii.gz").write_bytes(b"damaged")
    write_steps(folder / "steps.yaml", Steps((LargestComponent(),)))
    ip.postprocess(raw / "labelsTr", folder / "out", folder / "steps.yaml")


def show_damaged(raw, folder):
    ip.prepare(raw, folder / "store", workers=1, progress=False)
    for number in (1, 2):
        for file in (folder / "store" / "cases" / f"phantom_00{number}").glob("*.b2nd"):
            file.write_bytes(b"damaged")
    ip.show(folder / "store", folder / "pictures")


@pytest.mark.parametrize("work", [prepare_damaged, predict_damaged, postprocess_damaged, show_damaged])
def test_cases_that_cannot_be_used_are_named_on_standard_error(tmp_path, capsys, work):
    write_phantoms(tmp_path / "raw", 3, (12, 14, 10))
    work(tmp_path / "raw", tmp_path)
    said = capsys.readouterr().err
    assert "phantom_001" in said
    assert "phantom_002" in said


ROOMS = sorted(
    f"ingradient_pl.{'.'.join(file.parent.relative_to(PACKAGE).parts)}".rstrip(".")
    for file in PACKAGE.glob("**/__init__.py")
)


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_lists_what_it_offers_documented_and_as_its_types_say(room):
    module = importlib.import_module(room)
    assert module.__all__
    source = ast.parse(Path(module.__file__).read_text())
    typed = {
        alias.name: node.module
        for block in source.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    assert module.__all__ == sorted(typed) or not typed
    for name in module.__all__:
        modules = not typed and room != "ingradient_pl.geometry"
        value = importlib.import_module(f"{room}.{name}") if modules else getattr(module, name)
        assert modules or name in dir(module)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert len(inspect.getdoc(value)) > 20, name
        if typed and name != "draws":
            assert vars(importlib.import_module(typed[name]))[name] is value, name
            assert not (Path(module.__file__).parent / f"{name}.py").exists(), name


def test_what_is_made_is_represented_on_a_line(quick, tmp_path, raw_phantoms, phantom_store, phantom_plan):
    plan, store = ip.read_plan(phantom_plan), ip.CaseStore(phantom_store)
    config = composed(quick, tmp_path)
    data, module = instantiate(config.data), instantiate(config.module)
    patch = next(iter(data.train_dataloader()))[0]
    batch = data.prepare([patch])
    case = next(iter(store.cases.values()))
    model = Model([module.network], plan, store.task, "last.ckpt", (0, 1, 2), ("phantom_000",) * 100)
    labels = raw_phantoms / "labelsTr"
    scores = ip.evaluate(labels, labels)
    made = [
        plan,
        store,
        store.task,
        data,
        module,
        module.network,
        module.loss,
        data.draws,
        data.augment,
        patch,
    ]
    made += [batch, case, store.read(case.name, ip.Box((0, 0, 0), (2, 2, 2))), model, ip.Predictor(model)]
    made += [scores, *scores.cases, data.split, ip.Fingerprint.of_store(store), ip.Planner(), case.grid]
    for value in made:
        text = repr(value)
        assert len(text) < 200, text
        assert "\n" not in text
        assert " object at 0x" not in text
    assert "Conv3d" in str(module.network)
    assert ": 6 cases, 1 channel, 2 labels, median " in repr(store)
    assert repr(store).endswith(" voxels of 1.5×1×1 mm)")


@pytest.mark.slow
def test_a_machine_without_simpleitk_trains_and_predicts_nifti(raw_phantoms, tmp_path):
    for name in ("SimpleITK", "pydicom"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')", encoding="utf-8")
    code = (
        "import ingradient_pl as ip, sys\n"
        f"store = ip.prepare({str(raw_phantoms)!r}, {str(tmp_path / 'store')!r})\n"
        "plan = ip.plan(store)\n"
        "import ingradient_pl.cli.train, ingradient_pl.commands.predict\n"
        "from ingradient_pl.images.simpleitk import simpleitk\n"
        "try:\n    simpleitk()\n"
        "except ValueError as error:\n    print(error)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'SimpleITK" in done.stdout
