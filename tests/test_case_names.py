"""One check of names: nothing outside the store is written or deleted, whatever a case is called."""

import json
import shutil

import pytest
from hostile_names import ELSEWHERE, HARMLESS, HOSTILE, seen

from ingradient_pl.datasets.case_names import check_cases, describe_name_fault
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.records import CaseFiles, Source, SourceError
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.task import Task

TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("names") / "raw", 2, (6, 7, 8))


@pytest.fixture
def world(tmp_path, phantoms):
    """A source and a victim beside it; the store would lie in a folder of its own."""
    shutil.copytree(phantoms, tmp_path / "raw")
    for victim in (tmp_path / "victim", tmp_path / "out" / "victim"):
        (victim / "x").mkdir(parents=True)
        (victim / "precious.txt").write_text("precious")
        (victim / "x.nii.gz").write_text("precious")
    return tmp_path


def described(world, **changes):
    file = world / "raw" / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def entry():
    return {"images": ["imagesTr/phantom_000_0000.nii.gz"], "label": "labelsTr/phantom_000.nii.gz"}


def mapping(world, name):
    described(world, dataset={name: entry(), "good": entry()})
    return world / "raw"


def broken_mapping(world, name):
    described(world, dataset={name: {}, "good": entry()})
    return world / "raw"


def decathlon(world, name):
    described(world, training=[name, {"image": name}, {"image": f"{name}.nii.gz"}])
    return world / "raw"


def table(world, name):
    rows = [{"case": name, "image_0": entry()["images"][0], "label": entry()["label"]}]
    (world / "raw" / "table.json").write_text(json.dumps(rows))
    return world / "raw" / "table.json"


@pytest.mark.parametrize("layout", [mapping, broken_mapping, decathlon, table])
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_leads_out_of_the_store(world, layout, name):
    source = layout(world, name.replace(ELSEWHERE, str(world / "victim")))
    before = {path: content for path, content in seen(world).items() if "/out/store" not in path}
    for read in (read_source, lambda path: images_only(path, TASK)):
        try:
            found = read(source)
        except SourceError:
            continue
        assert not [case.name for case in found.cases if describe_name_fault(case.name)]
        for _ in range(2 if read is read_source else 1):  # again: nothing there is deleted
            build_store(found, world / "out" / "store", workers=1, progress=False)
    after = {path: content for path, content in seen(world).items() if "/out/store" not in path}
    assert after == before
    if layout is mapping:
        assert list(CaseStore(world / "out" / "store").cases) == ["good"]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_source_made_by_hand_goes_through_the_same_door(world, name):
    name = name.replace(ELSEWHERE, str(world / "victim"))
    case = read_source(world / "raw").cases[0]
    before = seen(world)
    summary = build_store(Source(TASK, [case._replace(name=name)]), world / "out" / "store", progress=False)
    assert [fault.case for fault in summary.faults] == [name]
    assert "Rename it." in str(summary.faults[0])
    after = {path: content for path, content in seen(world).items() if "/out/store" not in path}
    assert after == before


@pytest.mark.parametrize("name", HARMLESS, ids=ascii)
def test_odd_names_that_harm_nobody_are_taken(world, name):
    assert describe_name_fault(name) == ""
    build_store(read_source(mapping(world, name)), world / "store", progress=False)
    assert sorted(CaseStore(world / "store").cases) == sorted([name, "good"])


def test_names_that_are_no_text_are_refused():
    for name in (None, 7, ("a",)):
        assert "cannot name a case" in describe_name_fault(name)


def test_two_cases_of_one_name_are_both_told(tmp_path):
    cases = [CaseFiles("a", (tmp_path / file,), None, "a") for file in ("one.nii", "two.nii")]
    found = check_cases(Source(TASK, [*cases, CaseFiles("b", (tmp_path / "b.nii",), None, "b")]))
    assert [case.name for case in found.cases] == ["b"]
    assert [fault.file.name for fault in found.faults] == ["one.nii", "two.nii"]
    assert "two.nii. Rename one." in str(found.faults[0])


def test_a_link_in_the_place_of_a_case_is_replaced_and_nothing_behind_it_is_touched(world):
    source, store = read_source(world / "raw"), world / "out" / "store"
    build_store(source, store, progress=False)
    name = source.cases[0].name
    shutil.move(store / "cases" / name, world / "victim" / "case")
    (store / "cases" / name).symlink_to(world / "victim" / "case")
    before = seen(world / "victim")
    moved = source._replace(cases=[case._replace(group="other") for case in source.cases])
    build_store(moved, store, progress=False)
    assert seen(world / "victim") == before
    assert not (store / "cases" / name).is_symlink()
    assert sorted(path.name for path in (store / "cases").iterdir()) == [case.name for case in source.cases]
