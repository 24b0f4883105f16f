"""Several stores as one: labels and channels by name, stated shares, patients on one side, faults by name."""

import json
import math
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from partial_labels import anatomy, write_volume
from runs import outcome

import ingradient_pl as ip
from ingradient_pl.commands.inputs import open_store
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.datasets.split_records import check_division
from ingradient_pl.draws.shares import BLOCK, share_slot
from ingradient_pl.geometry import Box
from ingradient_pl.inference import case_pictures
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.further_volumes import open_further
from ingradient_pl.messages import UsageError
from ingradient_pl.metrics.label_translation import LabelTranslation
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore, StoreError
from ingradient_pl.store.case_volumes import write_volume as write_further
from ingradient_pl.store.store_parts import read_shares
from ingradient_pl.store.store_union import open_stores
from ingradient_pl.store.stored_cases import stored_cases
from ingradient_pl.store.unite_tasks import unite_tasks
from ingradient_pl.task import Task


def write_store(folder, labels, cases, change=None, channels=("MR",), **more):
    """Phantoms of :func:`anatomy` whose voxels ``change`` (of organ 1 and lesion 2) numbers as ``labels``."""
    data = folder.parent / f"{folder.name} data"
    for name, seed in cases.items():
        image, label = anatomy(seed)
        for number, channel in enumerate(channels):
            scaled = image if channel == channels[0] else image // 2
            write_volume(data / "imagesTr" / f"{name}_{number:04d}.nii.gz", scaled)
        write_volume(data / "labelsTr" / f"{name}.nii.gz", np.array(change or [0, 1, 2], np.uint8)[label])
    named = {str(number): channel for number, channel in enumerate(channels)}
    described = {"channel_names": named, "labels": labels, "file_ending": ".nii.gz", **more}
    (data / "dataset.json").write_text(json.dumps(described))
    build_store(read_source(data), folder, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def two_stores(tmp_path_factory):
    """One knows the organ, as 1; the other the lesion, as 1, and the organ not."""
    folder = tmp_path_factory.mktemp("two stores")
    organs = write_store(
        folder / "organs", {"background": 0, "organ": 1}, {"a_visit1": 0, "b": 1, "c": 2}, [0, 1, 0]
    )
    lesions = {"a_visit2": 3, "d": 4, "e": 5, "b2": 6}
    return organs, write_store(folder / "lesions (b)", {"background": 0, "lesion": 1}, lesions, [0, 0, 1])


@pytest.fixture(scope="module")
def union(two_stores):
    return open_stores(two_stores)


@pytest.fixture(scope="module")
def union_plan(union):
    from dataclasses import replace

    plan = ip.Planner().plans(ip.Fingerprint.of_store(union))["3d_fullres"]
    cubes = {"widths": (4, 6), "strides": ((1, 1, 1), (2, 2, 2)), "kernels": ((3, 3, 3),) * 2}
    return replace(plan, patch=(8, 8, 8), batch_size=2, blocks=(1, 1), decoder_blocks=(1,), **cubes)


def data_of(stores, plan, **settings):
    draws = ip.TrainingDraws(affine=None, cases_per_batch=2)
    split = settings.pop("split", ip.Fold(0, 3))
    stores = [str(store) for store in stores]
    return SegmentationData(stores, plan, draws, ip.Augment([]), split, workers=0, **settings)


def test_it_reads_what_its_stores_read(union, two_stores):
    assert union.task.labels == {"background": 0, "organ": 1, "lesion": 2}
    assert len(union.cases) == 7
    box = Box((1, 2, 3), (6, 5, 4))
    for name, known, value in (("b@organs", ("organ",), 1), ("d@lesions (b)", ("lesion",), 2)):
        case, store = name.split("@")
        own = CaseStore(two_stores[0].parent / store)
        ours, theirs = union.read(name, box), own.read(case, box)
        assert (ours.image == theirs.image).all()
        assert (ours.label == value * theirs.label).all()
        assert union.cases[name].classes == (value,)
        assert union.cases[name].annotated == known
        assert union.cases[name].voxels == {value: own.cases[case].voxels[1]}
        assert (union.foreground(name, value) == own.foreground(case, 1)).all()
        assert len(union.foreground(name, 3 - value)) == 0
        assert union.statistics(name)[0].whole.mean == own.statistics(case)[0].whole.mean
        assert union.describe(name) == own.describe(case)
    again = pickle.loads(pickle.dumps(union))
    assert again.check_sum() == union.check_sum() != own.check_sum()
    with pytest.raises(StoreError, match="No case 'b' in the stores organs, lesions"):
        union.read("b", box)


def test_fingerprints_are_joined(union, two_stores):
    joined = ip.Fingerprint.of_store(union)
    single = [ip.Fingerprint.of_store(CaseStore(store)) for store in two_stores]
    assert sorted(joined.grids) == sorted((*single[0].grids, *single[1].grids))
    assert joined.task.outputs == 3


def test_channels_go_by_name(tmp_path):
    labels = {"background": 0, "organ": 1, "lesion": 2}
    one = write_store(tmp_path / "one", labels, {"a": 0}, channels=("T1", "T2"))
    other = write_store(tmp_path / "two", labels, {"a": 0}, channels=("t2", "T1"))
    union = open_stores([one, other])
    found = union.read("a@two", Box((0, 0, 0), (4, 4, 4))).image
    own = CaseStore(other).read("a", Box((0, 0, 0), (4, 4, 4))).image
    assert (found == own[::-1]).all()
    means = [[channel.whole.mean for channel in union.statistics(f"a@{name}")] for name in ("one", "two")]
    assert means[0][0] == pytest.approx(2 * means[0][1], rel=0.02)
    assert means[1][1] == pytest.approx(2 * means[1][0], rel=0.02)


# faults


def task_of(labels, channels=("MR",), **more):
    return Task(channels, {"background": 0, **labels}, **more)


PLAIN = task_of({"core": 1})
REGIONS = task_of({"whole": (1, 2), "core": 2}, regions_class_order=(1, 2))


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([task_of({"core": 1}, ("CT",))], ["['MR']", "['CT']"]),
        ([task_of({"core": 1}, ("MR", "CT"))], ["['MR']", "['MR', 'CT']"]),
        (
            [task_of({"core": (1, 2), "whole": (1, 2, 3)}, regions_class_order=(1, 3))],
            ["'core'", "two meanings"],
        ),
        ([REGIONS, task_of({"whole": 1})], ["'whole'", "two meanings", "in store1", "in store2"]),
    ],
)
def test_what_does_not_go_together_is_named(others, told):
    tasks = {f"store{number}": task for number, task in enumerate([PLAIN, *others])}
    with pytest.raises(StoreError) as error:
        unite_tasks(tasks)
    for text in told:
        assert text in str(error.value)


def test_labels_of_one_name_are_one():
    found = unite_tasks(
        {
            "one": task_of({"left": 1, "right": 2, "ignore": 3}),
            "two": task_of({"right": 1, "middle": 2}),
            "three": task_of({"left": 1, "ignore": 2}),
        }
    )
    assert found.task.labels == {"background": 0, "left": 1, "right": 2, "middle": 3, "ignore": 4}
    assert {name: table.tolist() for name, table in found.integers.items()} == {
        "one": [0, 1, 2, 4],
        "two": [0, 2, 3],
        "three": [0, 1, 4],
    }


def test_regions_are_united_by_what_their_integers_mean():
    other = task_of({"whole": (1, 2, 3), "core": 1, "rim": 3}, regions_class_order=(2, 1, 3))
    found = unite_tasks({"one": REGIONS, "two": other, "three": PLAIN})
    labels, tables = found.task.foreground, found.integers
    assert list(labels) == ["whole", "core", "rim"]
    for store, task in (("one", REGIONS), ("two", other)):
        for name, values in task.foreground.items():
            assert {int(tables[store][value]) for value in values} <= set(labels[name])
            outside = set(task.foreground_values) - set(values)
            assert not {int(tables[store][value]) for value in outside} & set(labels[name])
    assert tables["three"][1] in labels["core"]  # and where the whole is, the third does not know
    found.task.check_meaning()


def test_each_store_that_is_missing_is_named(two_stores, tmp_path):
    with pytest.raises(StoreError) as error:
        open_stores([two_stores[0], tmp_path / "gone", tmp_path / "lost"])
    assert all(f"{name} is not a case store" in str(error.value) for name in ("gone", "lost"))
    with pytest.raises(StoreError, match="named twice"):
        open_stores([two_stores[0], two_stores[0]])
    assert isinstance(open_stores([two_stores[0]]), CaseStore)
    with pytest.raises(StoreError, match="empty"):
        open_stores([])


def test_orientations_that_differ_are_refused(two_stores, tmp_path):
    data = two_stores[0].parent / "organs data"
    build_store(read_source(data), tmp_path / "other", workers=1, progress=False, orientation="RAS")
    with pytest.raises(StoreError, match="organs has LPS, other has RAS"):
        open_stores([two_stores[0], tmp_path / "other"])


def test_a_store_whose_table_divides_it_trains_beside_one_without(two_stores, union_plan, tmp_path):
    data = two_stores[0].parent / "organs data"
    rows = [f"{name},imagesTr/{name}_0000.nii.gz,labelsTr/{name}.nii.gz" for name in ("a_visit1", "b", "c")]
    lines = [
        "case,image,label,split",
        *(f"{row},{side}" for row, side in zip(rows, ("train", "train", "val"), strict=True)),
    ]
    (data / "table.csv").write_text("\n".join(lines))
    build_store(read_source(data / "table.csv"), tmp_path / "divided", workers=1, progress=False)
    split = data_of([tmp_path / "divided", two_stores[1]], union_plan).split
    told = [[name for name in side if name.endswith("@divided")] for side in split]
    assert told == [["a_visit1@divided", "b@divided"], ["c@divided"]]
    assert "a_visit2@lesions (b)" in split.train
    assert len(split.train) + len(split.validation) == 7


def test_a_store_whose_cases_all_stay_out_is_named(union):
    with pytest.raises(ValueError, match="No case of the store lesions"):
        check_division(union.cases, ["a_visit1@organs", "b@organs"])


# draws and batches


@pytest.mark.parametrize("shares", [{"a": 0.5, "b": 0.5}, {"a": 0.7, "b": 0.2, "c": 0.1}, {"a": 1.0}])
def test_shares_are_kept_and_each_slot_of_a_store_comes_once(shares):
    drawn = [share_slot(slot, shares, 7) for slot in range(20 * BLOCK)]
    counts = Counter(store for store, _ in drawn)
    for store, share in shares.items():
        assert abs(counts[store] - share * len(drawn)) <= len(shares)
        assert sorted(place for one, place in drawn if one == store) == list(range(counts[store]))
    even = Counter(store for store, _ in drawn[::2])
    assert all(
        abs(even[store] - share * len(drawn) / 2) < 0.1 * len(drawn) for store, share in shares.items()
    )


@pytest.mark.parametrize("shares", [[3, 1], {"organs": 3, "lesions (b)": 1}])
def test_cases_are_drawn_by_stated_shares(two_stores, union_plan, shares):
    data = data_of(two_stores, union_plan, shares=shares, batches_per_epoch=64)
    drawn = Counter(
        data.draws.draw(number, data.train_dataloader().dataset.patches.candidates).case
        for number in range(128)
    )
    by_store = Counter()
    for case, count in drawn.items():
        by_store[case.split("@")[1]] += count
    assert abs(by_store["organs"] - 96) <= 2
    train = [name for name in data.split.train if name.endswith("@organs")]
    assert max(drawn[name] for name in train) - min(drawn[name] for name in train) <= 1


@pytest.mark.parametrize(
    "shares", [[1], [1, 0], [1, 2, 3], {"organs": 1}, {"a": 1, "b": 1}, [1, -1], [1, math.nan]]
)
def test_shares_that_fit_no_store_are_refused(two_stores, union_plan, shares):
    with pytest.raises(ValueError, match=r"data.shares gives a number above 0 for each store \(organs, les"):
        data_of(two_stores, union_plan, shares=shares)


@pytest.mark.parametrize("shares", [[3], {"organs": 0.5}, None])
def test_one_store_gives_all_whatever_its_share(two_stores, shares):
    assert read_shares(shares, open_stores(two_stores[:1])) is None
    assert read_shares(shares, CaseStore(two_stores[0])) is None


def test_patients_stay_on_one_side_over_all_stores(two_stores, union_plan):
    for number in range(3):
        split = data_of(two_stores, union_plan, split=ip.Fold(number, 3)).split
        sides = [name in split.train for name in ("a_visit1@organs", "a_visit2@lesions (b)")]
        assert sides[0] == sides[1]
        assert not set(split.train) & set(split.validation)
        assert len(split.train) + len(split.validation) == 7


@pytest.mark.parametrize("resident", [False, True])
def test_a_batch_knows_what_its_store_knows(two_stores, union_plan, resident):
    data = data_of(two_stores, union_plan, shares=[1, 1], resident=resident)
    for packed, _ in zip(data.train_dataloader(), range(3), strict=False):
        batch = data.prepare(packed)
        for name, known, label in zip(batch.cases, batch.known.tolist(), batch.label, strict=True):
            organs = name.endswith("@organs")
            assert known == [True, organs, not organs]
            assert set(torch.unique(label).tolist()) <= {0, 1 if organs else 2}


# a run


@pytest.fixture(scope="module")
def union_run(two_stores, union_plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("union run") / "run"
    settings = {"trainer": "cpu", "logger": "none", "data__workers": 0, "data__split__count": 3}
    return ip.train(
        *([str(store) for store in two_stores], union_plan, folder),
        **settings,
        data__shares=[2, 1],
        epochs=1,
        batches_per_epoch=2,
    )


@pytest.mark.slow
def test_the_checkpoint_holds_all_and_its_record_names_the_stores(union_run, two_stores, union):
    model = union_run.load().model
    assert model.task.labels == union.task.labels
    record = json.loads((union_run.folder / "run.json").read_text())
    assert [part["path"] for part in record["store"]["parts"]] == [str(store) for store in two_stores]
    assert record["store"]["sha256"] == union.check_sum()
    assert sum(len(names) for names in (record["split"]["train"], record["split"]["validation"])) == 7


@pytest.mark.slow
def test_a_report_of_its_run_is_written(union_run, tmp_path):
    ip.report(union_run.folder, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_what_takes_one_store_says_so(two_stores):
    with pytest.raises(UsageError, match="One store is wanted here"):
        open_store([str(store) for store in two_stores])


@pytest.mark.slow
def test_a_run_is_resumed_on_all_stores(union_run, capsys):
    again = ip.train(resume=str(union_run.folder), epochs=2)
    state = torch.load(again.checkpoint, weights_only=True)
    assert state["global_step"] == 4


@pytest.mark.slow
def test_cases_of_a_store_that_trained_do_not_validate(union_run, two_stores, union_plan, tmp_path):
    settings = {"trainer": "cpu", "logger": "none", "data__workers": 0, "epochs": 1, "batches_per_epoch": 1}
    with pytest.raises(ValueError, match="validation cases, or their patients, trained"):
        ip.train(
            *([str(store) for store in two_stores], union_plan, tmp_path / "run"),
            **settings,
            **{"data.split.count": 3, "data.split.number": 1},
            init_from=str(union_run.checkpoint),
        )


@pytest.mark.slow
def test_commands_take_several_stores(two_stores, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, out, err = outcome(
        *(monkeypatch, capsys, "plan", "--store", *two_stores, "--output", "plan.yaml", "--spacing", "2,2,2")
    )
    assert code == 0, err
    assert f"store=[{two_stores[0]},{two_stores[1]}]" in out
    line = [f"store=[{two_stores[0]},{two_stores[1]}]", "plan=plan.yaml", "trainer=cpu", "epochs=0"]
    code, out, err = outcome(monkeypatch, capsys, "train", *line[:2], "data.shares=[1]", "hydra.run.dir=run")
    assert code != 0
    assert "data.shares" in err
    code, out, err = outcome(monkeypatch, capsys, "train", f"store=[{two_stores[0]},gone]", "plan=plan.yaml")
    assert code != 0
    assert "gone" in err


# scores of a source that numbers labels otherwise


def test_references_are_read_by_the_names_of_labels(two_stores, union, tmp_path):
    """Predictions of the united task against each data set, whose labels are both 1."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset.json").write_text(json.dumps(union.task.described))
    for name, seed in {"a_visit1": 0, "b": 1, "c": 2, "a_visit2": 3, "d": 4, "e": 5, "b2": 6}.items():
        write_volume(tmp_path / "out" / f"{name}.nii.gz", anatomy(seed)[1])
    for store, label, other in zip(two_stores, (1, 2), (2, 1), strict=True):
        some = tmp_path / store.name
        some.mkdir()
        (some / "dataset.json").write_text(json.dumps(union.task.described))
        for name in CaseStore(store).cases:
            (some / f"{name}.nii.gz").write_bytes((tmp_path / "out" / f"{name}.nii.gz").read_bytes())
        for labels in (store, store.parent / f"{store.name} data"):
            for case in ip.evaluate(some, labels).cases:
                assert case.scores[label]["Dice"] == 1
                assert math.isnan(case.scores[other]["Dice"])


@pytest.mark.parametrize(
    ("source", "task", "table", "known"),
    [
        (None, {"a": 1}, None, None),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, None, None),
        ({"x": 1}, {"a": 1}, None, None),  # no name in common: integers as they are
        ({"a": 1}, {"a": 1, "b": 2}, None, ("a",)),
        ({"b": 1}, {"a": 1, "b": 2}, [0, 2], ("b",)),
        ({"b": 1, "c": 2, "a": 5}, {"a": 1, "b": 2}, [0, 2, 0, 3, 4, 1], None),
        ({"core": 1}, {"whole": (1, 2), "core": 2}, [0, 2], ("core",)),
        ({"whole": (1, 2), "core": 1}, {"whole": (1, 2), "core": 2}, [0, 2, 1], None),
    ],
)
def test_a_translation_goes_by_names(source, task, table, known):
    order = {"regions_class_order": (1, 2)}
    made = LabelTranslation.between(
        None if source is None else task_of(source, **order), task_of(task, **order)
    )
    assert (None if made.table is None else made.table.tolist()) == table
    assert made.known == known
    assert made.translate_annotated(None) == known


def test_a_translation_without_a_counterpart_is_refused():
    with pytest.raises(ValueError, match="their integer 1 lies in a, b"):
        LabelTranslation.between(task_of({"a": (1, 2), "b": (1, 3)}), task_of({"a": (1, 2), "b": 3}))


@pytest.mark.slow
def test_a_model_of_several_stores_scores_each(union_run, two_stores, union):
    validated = union_run.load().model.validation
    for store in two_stores:
        own = {name.split("@")[0] for name in validated if name.endswith(f"@{store.name}")}
        if own:
            done = ip.predict(union_run.checkpoint, store, only="validation")
            assert {case.name for case in done.evaluation.cases} == own
            known = 1 if store.name == "organs" else 2
            for case in done.evaluation.cases:
                assert math.isnan(case.scores[3 - known]["Dice"])
                assert not math.isnan(case.scores[known]["Dice"])


def test_a_further_volume_goes_by_the_name_of_case_and_store(two_stores, union, union_plan, tmp_path):
    for number, (name, case) in enumerate(union.cases.items()):
        write_further(tmp_path, union, name, np.full(case.grid.shape, number, np.uint8))
    opened = open_further(str(tmp_path), None, None, 0, union, union_plan, union.cases)
    read_box = opened.reader(training=True)
    for number, name in enumerate(union.cases):
        assert (read_box(name, Box((0, 0, 0), (2, 3, 4)), 0) == number).all()
    alone = open_stores(two_stores[0])
    with pytest.raises(StoreError, match="holds no volume for 3 of 3 cases"):
        open_further(str(tmp_path), None, None, 0, alone, union_plan, alone.cases)


def test_pictures_show_the_labels_of_each_store_by_their_names(two_stores, union, tmp_path, monkeypatch):
    drawn = {}

    def draw(channels, shown, *_, **__):
        drawn.update(shown)
        return torch.zeros(3, 4, 4, dtype=torch.uint8)

    monkeypatch.setattr(case_pictures, "case_picture", draw)
    lesions = two_stores[1]
    raw = images_only(lesions.parent / "lesions (b) data", union.task).cases[0]
    for case in (raw, stored_cases(lesions, union.task).cases[0]):
        case_pictures.write_picture(case, None, union.task, tmp_path)
        assert np.unique(drawn["truth"]).tolist() == [0, union.task.labels["lesion"]]
