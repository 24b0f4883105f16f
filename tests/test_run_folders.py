"""Folders of runs: whatever they are called, whoever was there first."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from folder_names import NAMES, TELLING
from hostile_names import seen
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from runs import outcome

from ingradient_pl.cli.overrides import find, quote_paths, read_arguments, read_paths
from ingradient_pl.cli.run_folders import claim, compose_config, hold_folder, take_folder, with_folder
from ingradient_pl.cli.sweep_files import read_sweep, write_sweep
from ingradient_pl.cli.training_command import prepare_arguments
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.lightning.run_files import LAST
from ingradient_pl.messages import UsageError


def there(folder):
    """A run that has left a model."""
    (folder / LAST).parent.mkdir(parents=True)
    (folder / LAST).write_bytes(b"a model")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("epochs: 1\nresume: null\n")
    return folder


def composed(arguments):
    """What Hydra makes of a prepared line."""
    overrides, flags = read_arguments(arguments)
    if "--config-path" in flags:
        return OmegaConf.load(Path(flags[flags.index("--config-path") + 1]) / "config.yaml"), overrides
    with initialize_config_module("ingradient_pl.conf", version_base="1.3"):
        return compose("train", overrides, return_hydra_config=True), overrides


@pytest.mark.parametrize("name", TELLING)
def test_every_key_that_takes_a_path_takes_any_name(name, tmp_path, monkeypatch, phantom_plan):
    place = tmp_path / name
    (place / "store").mkdir(parents=True)
    (place / "splits.json").write_text("[]")
    (place / "plan.yaml").write_text(phantom_plan.read_text())
    (place / "epoch=0.ckpt").write_bytes(b"")
    (tmp_path / "copies").mkdir()
    monkeypatch.chdir(place)
    line = ["store=store", "plan=plan.yaml", "data.split.file=splits.json", "resume=epoch=0.ckpt"]
    prepared = prepare_arguments([*line, "hydra.run.dir=new"], tmp_path / "copies")
    config, overrides = composed(prepared)
    assert Path(config.store) == place / "store"
    assert Path(config.data.split.file) == place / "splits.json"
    assert Path(config.resume) == place / "epoch=0.ckpt"
    assert Path(config.hydra.run.dir) == place / "new"
    assert config.plan.patch == [16, 16, 16]
    monkeypatch.setenv("LOCAL_RANK", "1")  # a further rank is started with the same line
    again = prepare_arguments(overrides, tmp_path / "copies")
    assert {find(again, key) for key in ("store", "resume")} == {
        find(overrides, key) for key in ("store", "resume")
    }


def test_a_sweep_is_one_however_it_is_asked_for(tmp_path, monkeypatch, phantom_plan):
    monkeypatch.chdir(tmp_path)
    line = [f"plan={phantom_plan}", "seed=0,1", "hydra.sweep.dir=sweep"]
    prepared = prepare_arguments([*line, "hydra.mode=MULTIRUN"], tmp_path / "copies")
    assert prepared[-1] == "-m"
    assert read_sweep(tmp_path / "sweep")
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    (tmp_path / "own" / "experiment" / "swept.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n"
    )
    own = [f"hydra.searchpath=[file://{tmp_path / 'own'}]", "experiment=swept", "hydra.run.dir=new"]
    with pytest.raises(UsageError, match="starts a sweep: say -m"):
        prepare_arguments(own, tmp_path / "none")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_resumed_in_a_folder_of_any_name(name, tmp_path, monkeypatch):
    run = there(tmp_path / name / "run")
    monkeypatch.chdir(run.parent)
    for told in ("resume=run", f"resume={run}", f'resume="{run}"' if '"' not in name else "resume=./run"):
        overrides, _ = read_arguments(prepare_arguments([told, "epochs=2"], tmp_path / "copies"))
        assert Path(read_paths(find(overrides, "hydra.run.dir"))[0]) == run
        assert Path(read_paths(find(overrides, "resume"))[0]) == run / LAST


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_path_and_is_read_back_as_it_was(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    for told in (name, str(tmp_path / name)):
        (quoted,) = quote_paths([f"store={told}"])
        assert read_paths(quoted.removeprefix("store=")) == [str(tmp_path / name)]
        assert OverridesParser.create().parse_override(quoted).value() == str(tmp_path / name)


def test_a_name_that_hydra_would_resolve_is_refused(tmp_path, monkeypatch):
    (tmp_path / "${x}").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Rename the folder"):
        quote_paths(["store=${x}"])


def test_commas_divide_in_a_sweep_and_not_where_they_are_part_of_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("Meier, A", "b", "c"):
        (tmp_path / name).mkdir()
    absolute = [str(tmp_path / name) for name in ("Meier, A", "b")]
    (swept,) = quote_paths(["store=Meier, A,b"], swept=True)
    assert read_paths(swept.removeprefix("store="), swept=True) == absolute
    (listed,) = quote_paths(["store=[b,c]"])
    assert listed == f'store=["{tmp_path}/b","{tmp_path}/c"]'
    (above,) = quote_paths([f"store=../{tmp_path.name}/b"])  # resume=SWEEP takes no path with '..'
    assert above == f'store="{tmp_path.resolve()}/b"'
    assert quote_paths(["store=${oc.env:X}", "store=null", "resume=auto"]) == [
        "store=${oc.env:X}",
        "store=null",
        "resume=auto",
    ]


@pytest.mark.parametrize(
    "told",
    ["{run}", '"{run}"', "'{run}'", "../{name}/run", "./run", "run/", "${{oc.env:PLACE}}/run", "run/../run"],
)
def test_a_folder_that_holds_a_model_is_refused_however_it_is_named(told, tmp_path, monkeypatch):
    run = there(tmp_path / "place" / "run")
    monkeypatch.chdir(run.parent)
    monkeypatch.setenv("PLACE", str(run.parent))
    told = told.format(run=run, name="place")
    with pytest.raises(FileExistsError, match="resume=run"):
        prepare_arguments(["store=x", f"hydra.run.dir={told}"], tmp_path / "copies")
    assert (run / LAST).read_bytes() == b"a model"


@pytest.mark.parametrize(
    "file", ["best.ckpt", "checkpoints/best.ckpt", "hpc_ckpt_1.ckpt", "checkpoints/last.ckpt"]
)
def test_any_checkpoint_counts_as_a_model(file, tmp_path):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(FileExistsError):
        take_folder(tmp_path, [], OmegaConf.create({}))
    again = take_folder(tmp_path, ["resume=auto"], OmegaConf.create({})) if file != "best.ckpt" else None
    assert again is None or find(again, "resume") == f'"{tmp_path / file}"'


def test_a_sweep_that_ran_nothing_gives_way_to_the_line_as_it_was_meant(tmp_path):
    write_sweep(tmp_path, ["seeds=0,1"])
    write_sweep(tmp_path, ["seed=0,1"])
    (tmp_path / "0").mkdir()
    with pytest.raises(FileExistsError, match="holds another sweep"):
        write_sweep(tmp_path, ["seeds=0,1"])


@pytest.mark.slow
def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, flags in (("run", []), ("sweep", ["-m"])):
        fixed = f"hydra.{kind}.dir=outputs/${{now:%Y}}"  # a clock that stands still
        folders = [find(with_folder([fixed], flags, tmp_path), f"hydra.{kind}.dir") for _ in range(3)]
        assert len(set(folders)) == 3
    assert claim(tmp_path / "a") == tmp_path / "a"
    assert claim(tmp_path / "a") == tmp_path / "a-1"


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path):
    with hold_folder(tmp_path), pytest.raises(FileExistsError, match="Another process"):
        hold_folder(tmp_path).__enter__()
    with hold_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    "what", ["train.log", "checkpoints", "mlruns", "wandb/latest", ".hydra", "0/csv", "loop"]
)
@pytest.mark.parametrize("begins", ["anew", "goes on", "a sweep"])
def test_nothing_is_written_through_a_link_that_leads_out_of_a_run(tmp_path, monkeypatch, what, begins):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "victim").mkdir()
    (tmp_path / "real" / what).parent.mkdir(parents=True)
    (tmp_path / "real" / what).symlink_to(what if what == "loop" else tmp_path / "victim")
    (tmp_path / "run").symlink_to("real")
    line = {"anew": ["hydra.run.dir=run"], "goes on": ["hydra.run.dir=run", "resume=auto"]}
    flags = ["-m"] if begins == "a sweep" else []
    for write in (
        lambda: with_folder(line.get(begins, ["hydra.sweep.dir=run"]), flags, tmp_path),
        lambda: hold_folder(tmp_path / "run").__enter__(),
    ):
        with nullcontext() if what == "loop" else pytest.raises(ValueError, match="is a link to"):
            write()
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.slow
def test_start_or_go_on(tmp_path, monkeypatch):
    """resume=auto, and SLURM's second start of a job, take what is there; a new folder begins anew."""
    monkeypatch.chdir(tmp_path)
    base = ["store=x", "hydra.run.dir=run"]

    def resumed(*more):
        return find(prepare_arguments([*base, *more], tmp_path / "copies"), "resume")

    assert resumed("resume=auto") is None
    there(tmp_path / "run")
    last = f'"{tmp_path}/run/checkpoints/last.ckpt"'
    assert resumed("resume=auto") == last
    with pytest.raises(FileExistsError):
        resumed()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert resumed() == last
    with pytest.raises(ValueError, match=r"hydra\.run\.dir=DIR"):
        prepare_arguments(["store=x"], tmp_path / "copies")


@pytest.mark.slow
def test_a_job_of_slurm_finds_its_folder_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    first, other = (
        Path(read_paths(find(prepare_arguments([f"seed={seed}"], tmp_path), "hydra.run.dir"))[0])
        for seed in (0, 1)
    )
    assert first != other
    there(first)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = prepare_arguments(["seed=0"], tmp_path)
    assert Path(read_paths(find(again, "hydra.run.dir"))[0]) == first
    assert find(again, "resume") == f'"{first}/checkpoints/last.ckpt"'


def test_a_further_rank_leaves_folders_alone(tmp_path, monkeypatch):
    there(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RANK", "1")
    prepared = prepare_arguments(["store=x", 'hydra.run.dir="run"'], tmp_path / "copies")
    assert find(prepared, "hydra.output_subdir") == "null"
    prepare_arguments(["store=x"], tmp_path / "copies")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_plan_is_copied_to_where_the_run_is(tmp_path, monkeypatch, phantom_plan):
    monkeypatch.chdir(tmp_path)
    for key, flags in (("hydra.run.dir", []), ("hydra.sweep.dir", ["-m"])):
        folder = tmp_path / key
        line = [f"plan={phantom_plan}", "store=x", f"{key}={folder}", *flags]
        prepared = prepare_arguments(line, tmp_path / "copies")
        assert (folder / ".hydra" / "plan" / "plan.yaml").read_text() == phantom_plan.read_text()
        assert f"file://{folder}/.hydra" in find(prepared, "hydra.searchpath")
        assert str(tmp_path / "copies") not in " ".join(prepared)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--cfg", "job"], ["--info", "config"], ["--cfg", "job", "-p", "plan"], ["-m"]]
)
def test_flags_may_stand_anywhere(flags, phantom_plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for line in ([*flags, f"plan={phantom_plan}", "store=x"], [f"plan={phantom_plan}", "store=x", *flags]):
        prepared = prepare_arguments(line, tmp_path / "copies")
        assert prepared[-len(flags) :] == flags
        assert find(read_arguments(prepared)[0], "plan") == "plan"


def test_every_argument_of_the_trainer_is_a_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = compose_config(quote_paths(["trainer.max_time=00:01:00:00", "trainer.max_epochs=3"]))
    assert (config.trainer.max_time, config.trainer.max_epochs) == ("00:01:00:00", 3)


@pytest.mark.parametrize("command", ["train", "crossval", "cascade", "sweep"])
@pytest.mark.parametrize("place", ["store", "store/cases", "store/new/run", "raw", "link"])
def test_nothing_is_trained_in_a_store_or_a_data_set(
    monkeypatch, capsys, tmp_path, phantom_store, phantom_plan, quick, command, place
):
    shutil.copytree(phantom_store, tmp_path / "store")
    write_phantoms(tmp_path / "raw", 1, (8, 8, 8))
    (tmp_path / "link").symlink_to(tmp_path / "store")
    before = seen(tmp_path)
    folder = tmp_path / place
    keys = {
        "train": ["train", f"hydra.run.dir={folder}", *quick],
        "sweep": ["train", "-m", f"hydra.sweep.dir={folder}", "seed=0,1", *quick],
        "crossval": ["crossval", f"store={phantom_store}", f"plan={phantom_plan}", f"output={folder}"],
        "cascade": ["cascade", f"store={phantom_store}", "coarser=2", "folds=2", f"output={folder}"],
    }[command]
    code, _, err = outcome(monkeypatch, capsys, *keys)
    assert code == 2, err
    assert ("a data set" if place == "raw" else "a case store") in err
    assert "Name another folder" in err
    assert seen(tmp_path) == before
