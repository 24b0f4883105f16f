"""Loggers by key: what cannot start is left out and said once; what starts writes into the run's folder."""

import json
import sys
from types import SimpleNamespace

import pytest
import pytorch_lightning.loggers as known
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from runs import composed, outcome

from ingradient_pl.cli.foreign_config import read_foreign_config
from ingradient_pl.cli.loggers import make_loggers
from ingradient_pl.cli.train_config import train

OUTSIDE = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger", "comet": "CometLogger", "aim": "AimLogger"}
BESIDE = {"TensorBoardLogger", "CSVLogger"}


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture
def aim(monkeypatch):
    """A package 'aim' with the logger that the config names."""

    class AimLogger(known.CSVLogger):
        def __init__(self, repo, **_):
            super().__init__(repo, "aim")

    there = SimpleNamespace(AimLogger=AimLogger)
    monkeypatch.setitem(sys.modules, "aim", SimpleNamespace(__path__=[], pytorch_lightning=there))
    monkeypatch.setitem(sys.modules, "aim.pytorch_lightning", there)


def logger_class(name):
    return getattr(sys.modules["aim.pytorch_lightning"] if name == "aim" else known, OUTSIDE[name])


def missing(*_, **__):
    raise ModuleNotFoundError("No module named 'somewhere'")


def kinds(loggers):
    return {type(logger).__name__ for logger in loggers}


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_a_logger_without_its_package_is_left_out_and_said_once(monkeypatch, capsys, quick, tmp_path, name):
    if name == "aim":
        monkeypatch.setitem(sys.modules, "aim", None)
    else:
        monkeypatch.setattr(logger_class(name), "__init__", missing)
    made = make_loggers(composed([*quick, f"logger={name}"], tmp_path).logger)
    assert kinds(made) == BESIDE
    said = capsys.readouterr().err
    assert said.count(f"logger.{name} is left out") == 1
    assert f"pip install 'ingradient_pl[{name}]'" in said


@pytest.mark.parametrize("name", sorted(OUTSIDE))
@pytest.mark.parametrize("error", [RuntimeError("no API key"), OSError("no route to host")], ids=str)
def test_a_logger_without_an_account_or_a_server_is_left_out(
    monkeypatch, capsys, quick, tmp_path, aim, name, error
):
    def refuse(self):
        raise error

    monkeypatch.setattr(logger_class(name), "__init__", lambda self, **_: None)
    monkeypatch.setattr(logger_class(name), "experiment", property(refuse))
    made = make_loggers(composed([*quick, f"logger={name}"], tmp_path).logger)
    assert kinds(made) == BESIDE
    assert str(error) in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_goes_on_without_the_logger(monkeypatch, capsys, quick, tmp_path):
    monkeypatch.setattr(known.WandbLogger, "__init__", missing)
    assert train(composed([*quick, "logger=wandb", "epochs=1", "callbacks=none"], tmp_path)) is not None
    assert capsys.readouterr().err.count("is left out") == 1
    assert list(tmp_path.glob("csv/*/metrics.csv"))


def test_what_a_logger_does_not_take_is_refused_all_the_same(quick, tmp_path):
    config = composed([*quick, "+logger.csv.colour=red"], tmp_path)
    with pytest.raises(InstantiationException, match="colour"):
        make_loggers(config.logger)


@pytest.mark.parametrize(("name", "kind"), [("csv", "CSVLogger"), ("tensorboard", "TensorBoardLogger")])
def test_one_logger_alone(quick, tmp_path, name, kind):
    assert kinds(make_loggers(composed([*quick, f"logger={name}"], tmp_path).logger)) == {kind}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of their own insides
@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("wandb", "wandb/offline-run-*"),
        ("mlflow", "mlruns/*/artifacts/images/*.png"),
        ("aim", ".aim/meta/chunks/*"),
        ("comet", "comet/*.zip"),
    ],
)
def test_a_run_is_kept_in_its_folder_by_a_logger_of_others(quick, tmp_path, capfd, name, files):
    package = pytest.importorskip({"comet": "comet_ml"}.get(name, name))
    train(composed([*quick, f"logger={name}", "epochs=1"], tmp_path))
    if name == "comet":
        package.get_running_experiment().end()  # as it does where the process ends
    assert list(tmp_path.glob(files)), sorted(tmp_path.glob("**/*"))
    said = capfd.readouterr()
    assert "has no effect" not in said.err  # a setting that no package has any more
    assert "import comet_ml before" not in said.out + said.err


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("mlruns/1/artifacts", True),
        ("file:mlruns/1/artifacts", True),
        ("../mlruns", False),
        ("/etc/mlruns", False),
        ("mlruns/../..", False),
    ],
)
def test_a_database_that_came_with_the_folder_names_no_place_outside(
    monkeypatch, caplog, quick, tmp_path, place, kept
):
    where = f"file://{tmp_path / place[5:]}" if place.startswith("file:") else str(tmp_path / place)
    found = SimpleNamespace(info=SimpleNamespace(artifact_uri=where))

    class Stub:
        run_id = "1"
        experiment = SimpleNamespace(get_run=lambda number: found)

        def __init__(self, **options):
            self.options = options

    monkeypatch.setattr(known, "MLFlowLogger", Stub)
    made = make_loggers(composed([*quick, "logger=mlflow"], tmp_path).logger)
    assert any(isinstance(one, Stub) for one in made) == kept
    assert ("Move that file away" in caplog.text) != kept


@pytest.mark.parametrize("name", sorted(OUTSIDE))
def test_a_strangers_run_does_not_name_a_server(tmp_path, name):
    file = tmp_path / "config.yaml"
    target = f"{'aim.pytorch_lightning' if name == 'aim' else 'pytorch_lightning.loggers'}.{OUTSIDE[name]}"
    file.write_text(f"logger:\n  {name}:\n    _target_: {target}\n    project: theirs\n")
    with pytest.raises(ValueError, match=f"logger={name}, or go on without: logger=default"):
        read_foreign_config(file, tmp_path, ())
    assert read_foreign_config(file, tmp_path, (), [f"logger={name}"])


@pytest.mark.slow
def test_a_run_with_a_logger_of_others_is_resumed_with_it_said_anew(monkeypatch, capsys, quick, tmp_path):
    monkeypatch.setattr(known.WandbLogger, "__init__", missing)
    run = tmp_path / "run"
    line = [*quick, "logger=wandb", "callbacks.images=null", f"hydra.run.dir={run}"]
    assert outcome(monkeypatch, capsys, "train", *line, "epochs=1")[0] == 0
    code, _, err = outcome(monkeypatch, capsys, "train", f"resume={run}", "epochs=2")
    assert code == 1
    assert "logger=default" in err
    for logger in ("wandb", "default"):
        code, _, err = outcome(monkeypatch, capsys, "train", f"resume={run}", f"logger={logger}", "epochs=3")
        assert code == 0, err
        assert ("is left out" in err) == (logger == "wandb")


@pytest.mark.parametrize("letter", ["?", "#", "%", "%2F", "?uri=true&x"])
@pytest.mark.parametrize("name", ["mlflow", "aim"])
def test_a_folder_that_an_address_leads_away_from_is_said(monkeypatch, caplog, quick, tmp_path, name, letter):
    (tmp_path / "run").mkdir()
    group = composed([*quick, f"logger={name}"], tmp_path / "run").logger
    moved = json.loads(json.dumps(OmegaConf.to_container(group, resolve=True)).replace("run", f"r{letter}un"))
    monkeypatch.setitem(sys.modules, "aim", None)
    assert kinds(make_loggers(OmegaConf.create(moved))) == BESIDE
    assert f"logger.{name} is left out" in caplog.text
    assert "Name the run's folder otherwise" in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("r") and "un" not in path.name]


@pytest.mark.parametrize(
    ("name", "file", "text", "kept"),
    [
        ("wandb", "wandb/settings", "[default]\nentity = us\nproject = x\n", True),
        ("wandb", "wandb/settings", "[default]\nbase_url = http://elsewhere\n", False),
        ("wandb", ".wandb/settings", "[default]\nbase_url: http://elsewhere\n", False),
        ("wandb", "wandb/settings", "[default]\nmode = online\n", False),
        ("wandb", "wandb/settings", "[default]\nhttp_proxy = http://elsewhere\n", True),  # as a variable says
        ("comet", ".comet.config", "[comet]\nworkspace = us\n", True),
        ("comet", ".comet.config", "[comet]\nurl_override = http://elsewhere\n", False),
        ("comet", ".env", "export COMET_URL_OVERRIDE=http://elsewhere\n", False),
        ("comet", ".env", "OTHERS=1\n", True),
    ],
)
def test_settings_of_the_working_directory_send_nothing_elsewhere(
    monkeypatch, caplog, quick, tmp_path, name, file, text, kept
):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)  # Lightning sets it
    monkeypatch.setenv("WANDB_HTTP_PROXY", "http://ours")
    monkeypatch.setattr(logger_class(name), "__init__", lambda self, **_: None)
    monkeypatch.setattr(logger_class(name), "experiment", None)
    made = make_loggers(composed([*quick, f"logger={name}"], tmp_path).logger)
    assert (OUTSIDE[name] in kinds(made)) == kept
    assert (f"{file} in the working directory sets" in caplog.text) != kept
