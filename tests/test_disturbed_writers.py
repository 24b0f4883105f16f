"""What writes is stopped, or refused by the disk, at each of its files: no half stays, and again is whole."""

import itertools
import os
import shutil
from pathlib import Path

import pytest
import tiny_models
from disturbances import FULL, KINDS, disturb, read_files

import ingradient_pl as ip
from ingradient_pl.cli.cascade_training import _keep_state
from ingradient_pl.commands.compare import compare
from ingradient_pl.commands.postprocess import postprocess
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.splits import Fold
from ingradient_pl.files import replace_file, whole_folder, write_folder
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.postprocess import LargestComponent, Steps, write_steps
from ingradient_pl.store.case_store import CaseStore

FILES = {"a": b"one", "b": b"two"}


@pytest.fixture(scope="module")
def given(tmp_path_factory, raw_phantoms, phantom_store):
    """What the writers read: a model, one of nnU-Net, a data set, a store, steps and scores."""
    folder = tmp_path_factory.mktemp("given")
    networks = [tiny_models.network(0), tiny_models.network(1)]
    checkpoint.write(folder / "model.ckpt", networks, tiny_models.plan(), tiny_models.TASK)
    ip.export_nnunet(folder / "model.ckpt", folder / "nnunet")
    write_steps(folder / "steps.yaml", Steps((LargestComponent((1,)),)))
    ip.evaluate(raw_phantoms / "labelsTr", raw_phantoms, folder / "scores.json")
    shutil.copytree(raw_phantoms, folder / "raw")
    (folder / "store").symlink_to(phantom_store)
    return folder


def _write_pair(folder, given):
    with whole_folder(folder) as place:
        for name, content in FILES.items():
            replace_file(place / "deep" / name, content)


def _begin_cascade(folder, given):
    store = CaseStore(given / "store")
    split = Fold().split(store.cases)
    _keep_state(folder, store, {"first": tiny_models.plan(), "second": tiny_models.plan()}, [], split, 2)


WRITERS = {
    "a folder": _write_pair,
    "a cascade": _begin_cascade,
    "a case of a store": lambda folder, given: write_folder(folder, FILES),
    "phantoms": lambda folder, given: write_phantoms(folder, 2, (8, 10, 12)),
    "export-nnunet": lambda folder, given: ip.export_nnunet(given / "model.ckpt", folder),
    "import-nnunet": lambda folder, given: ip.import_nnunet(given / "nnunet", folder / "model.ckpt"),
    "evaluate": lambda folder, given: ip.evaluate(
        given / "raw" / "labelsTr", given / "raw", folder / "scores.json", csv=folder / "scores.csv"
    ),
    "compare": lambda folder, given: compare(
        given / "scores.json", given / "scores.json", output=folder / "difference.json"
    ),
    "postprocess": lambda folder, given: postprocess(
        given / "raw" / "labelsTr", folder, given / "steps.yaml"
    ),
}
SLOW = {"show": lambda folder, given: ip.show(given / "store", folder, "phantom_000")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*WRITERS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_no_half_of_what_was_disturbed_is_left_and_again_all_is_there(
    tmp_path, given, name, kind, caplog, capsys
):
    write = {**WRITERS, **SLOW}[name]
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / "out", given)
    whole = read_files(tmp_path / "whole")
    assert whole
    for number in itertools.count(1):
        place = tmp_path / str(number)
        place.mkdir()
        told = ""
        with disturb(place, number, KINDS[kind]) as done:
            try:
                write(place / "out", given)
            except (KeyboardInterrupt, OSError) as error:
                told = str(error)
        assert ".unfinished" not in told + caplog.text + "".join(capsys.readouterr())
        left = read_files(place)
        assert {path: whole.get(path) for path in left} == left
        if not done:
            break
        if left != whole:  # to make a folder that is there may well be refused
            write(place / "out", given)
        assert read_files(place) == whole
        assert not [*place.rglob(".*")]
    assert left == whole
    assert number > 2


@pytest.mark.parametrize("there", [False, True], ids=["new", "empty"])
def test_a_folder_appears_whole_or_stays_as_it_was(tmp_path, there):
    folder = tmp_path / "model"
    if there:
        folder.mkdir()
        folder.chmod(0o750)
    before = folder.stat().st_mode if there else None

    def fail():
        with whole_folder(folder) as place:
            (place / "a").write_bytes(b"one")
            raise OSError(FULL.errno, os.strerror(FULL.errno), str(place / "fold_0" / "b"))

    with pytest.raises(OSError, match="No space") as full:
        fail()
    assert Path(full.value.filename) == folder / "fold_0" / "b"
    assert [*tmp_path.iterdir()] == ([folder] if there else [])
    with whole_folder(folder) as place:
        for name, content in FILES.items():
            (place / name).write_bytes(content)
        assert not read_files(folder).keys() & FILES.keys()
    assert read_files(tmp_path) == {f"model/{name}": content for name, content in FILES.items()}
    assert before in (None, folder.stat().st_mode)


@pytest.mark.slow
def test_an_export_over_an_earlier_one_is_not_taken_for_whole_until_it_is(tmp_path, given):
    ip.export(given / "model.ckpt", tmp_path)
    assert (tmp_path / "model.json").is_file()
    with disturb(tmp_path, 3, FULL) as done, pytest.raises(OSError, match="No space"):
        ip.export(given / "model.ckpt", tmp_path)
    assert done
    assert not (tmp_path / "model.json").exists()
