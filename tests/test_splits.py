"""Folds keep patients whole, and equal nnU-Net's where every case is a patient."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from ingradient_pl.datasets.groups import GroupError, describe_groups, group_cases
from ingradient_pl.datasets.split_columns import describe_column_faults, describe_tested, from_column
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.datasets.splits import Fold, folds, from_file


def own(count):
    return {f"case_{number:02d}": f"case_{number:02d}" for number in range(count)}


def test_folds_are_those_of_nnunet():
    for split, held in zip(folds(own(12)), reference(12), strict=True):
        assert split.validation == tuple(f"case_{number:02d}" for number in held)


def reference(count, parts=5, seed=12345):
    """What KFold does, written out by hand from its documentation."""
    order = list(range(count))
    np.random.RandomState(seed).shuffle(order)
    sizes = [count // parts + (number < count % parts) for number in range(parts)]
    cut = [order[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(parts)]
    return [sorted(part) for part in cut]


def test_every_patient_validates_once_and_never_beside_itself():
    groups = {f"p{number % 13}_tp{number}": f"p{number % 13}" for number in range(40)}
    splits = folds(groups)
    assert sorted(name for split in splits for name in split.validation) == sorted(groups)
    for split in splits:
        assert not {groups[name] for name in split.train} & {groups[name] for name in split.validation}
        assert sorted(split.train + split.validation) == sorted(groups)
    assert splits == folds(dict(reversed(groups.items())))
    assert splits != folds(groups, seed=1)


def test_each_stores_patients_are_divided_by_themselves():
    """A small store beside a large one trains and validates in as many folds as it can."""
    cases = {
        f"a{n:02d}@large": SimpleNamespace(labelled=True, group=f"a{n}", split=None, store="large")
        for n in range(13)
    }
    cases |= {
        f"b{n}@small": SimpleNamespace(labelled=True, group=f"b{n}", split=None, store="small")
        for n in range(7)
    }
    cases["a3@small"] = SimpleNamespace(labelled=True, group="a3", split=None, store="small")
    splits = Fold(count=5).splits(cases)
    assert sorted(name for split in splits for name in split.validation) == sorted(cases)
    for split in splits:
        assert not {cases[name].group for name in split.train} & {cases[n].group for n in split.validation}
        counts = Counter(cases[name].store for name in split.validation)
        assert counts["large"] in (2, 3)
        assert counts["small"] in (1, 2, 3)
    assert {len({cases[name].group for name in split.validation}) for split in splits} == {4}
    alone = {name: case for name, case in cases.items() if case.store == "large"}
    groups = {name: case.group for name, case in alone.items()}
    assert Fold(count=5).splits(alone) == folds(groups)


def test_fewer_patients_than_folds_is_said():
    with pytest.raises(ValueError, match=r"5 folds.*3 patients \(6 labelled.*data\.split\.count=3"):
        folds({f"p{number % 3}_{number}": f"p{number % 3}" for number in range(6)})
    with pytest.raises(ValueError, match="1 folds cannot be made"):
        folds(own(6), count=1)


def test_a_file_of_splits_is_checked_against_the_cases(tmp_path):
    groups = {"a_1": "a", "a_2": "a", "b": "b", "c": "c"}
    path = tmp_path / "splits_final.json"

    def read(*splits):
        path.write_text(json.dumps(splits))
        return from_file(path, groups)

    assert read({"train": ["b", "a_1", "a_2"], "val": ["c"]}) == [Split(("a_1", "a_2", "b"), ("c",))]
    with pytest.raises(ValueError, match="fold 0: 1 of its cases are not in the data set: z"):
        read({"train": ["a_1"], "val": ["z"]})
    with pytest.raises(ValueError, match=r"fold 1: 1 patients are on both sides.*a\."):
        read({"train": ["b"], "val": ["c"]}, {"train": ["a_1", "b"], "val": ["a_2"]})
    with pytest.raises(ValueError, match="both sides; got 1 to train on, 0"):
        read({"train": ["b"], "val": []})
    for side in ({"train": ["b", "b"], "val": ["c"]}, {"train": ["b"], "val": ["c", "a_1", "c"]}):
        with pytest.raises(ValueError, match=r"fold 0: it names 1 cases twice on one side.*Name each once"):
            read(side)
    with pytest.raises(ValueError, match="no fold"):
        read()
    for side in ('"abc"', '[["a_1"]]', "[1]", "[{}]", "null"):
        path.write_text(f'[{{"train": {side}, "val": ["c"]}}]')
        with pytest.raises(ValueError, match=r"splits_final\.json: not a list of folds"):
            from_file(path, groups)
    for odd in ("{", "3"):
        path.write_text(odd)
        with pytest.raises(ValueError, match=r"splits_final\.json: not a list of folds"):
            from_file(path, groups)
    with pytest.raises(ValueError, match="no such file"):
        from_file(tmp_path / "nowhere.json", groups)


def test_a_column_of_splits_wins():
    groups = own(4)
    names = list(groups)
    assert from_column(dict.fromkeys(names), groups) is None
    said = dict(zip(names, ("train", "Val", "train", "test"), strict=True))
    assert from_column(said, groups) == [Split((names[0], names[2]), (names[1],))]
    numbered = dict(zip(names, "0101", strict=True))
    assert [split.validation for split in from_column(numbered, groups)] == [
        (names[0], names[2]),
        (names[1], names[3]),
    ]
    with pytest.raises(ValueError, match="the split column, fold 0: 1 patients"):
        from_column(said, dict.fromkeys(names, "one"))


def union_of(**stores):
    """Cases ``CASE@STORE`` of stores that are given as what their tables say of each patient."""
    return {
        f"{patient}@{store}": SimpleNamespace(labelled=True, group=patient, split=split, store=store)
        for store, column in stores.items()
        for patient, split in column.items()
    }


@pytest.mark.parametrize("seed", range(8))
def test_stores_with_a_column_keep_it_and_the_others_are_divided_beside(seed):
    """Whichever patients are in several stores: all of a patient's cases stand together."""
    random = np.random.default_rng(seed)
    numbered = bool(seed % 2)
    count = int(random.integers(2, 6))
    patients = [f"p{number}" for number in range(14)]
    words = ["train", "val", "test", "", *(["Train"] * 3)]

    def fold(number):
        return str(number % count) if numbered else words[number % len(words)]

    told = {patient: fold(number) for number, patient in enumerate(patients)}
    one = {patient: told[patient] for patient in patients}
    two = {patient: told[patient] for patient in random.permutation(patients[: 2 * count + 2])}
    free = {f"q{number}": None for number in range(2 * count)}
    rest = dict.fromkeys(random.permutation(patients)[:4]) | free
    cases = union_of(one=one, two=two, rest=rest, more={"q0": "", "r": ""})
    splits = Fold(count=count).splits(cases)
    alone = Fold(count=count).splits(union_of(one=one))
    assert len(splits) == len(alone) == (count if numbered else 1)
    for split, before in zip(splits, alone, strict=True):
        for side, kept in zip(split, before, strict=True):
            assert {name for name in side if name.endswith("@one")} == set(kept)
        groups = [{cases[name].group for name in side} for side in split]
        assert not groups[0] & groups[1]
        assert {"q0@rest", "q0@more", "r@more"} <= {*split.train, *split.validation}
        tested = {patient for patient, entry in told.items() if entry == "test"}
        assert not tested & (groups[0] | groups[1])
        assert all({name[-4:] for name in side} >= {"rest"} for side in split)
    if numbered:
        assert sorted(name for split in splits for name in split.validation) == sorted(cases)


def test_stores_that_cannot_be_divided_alike_are_refused():
    ways = {
        "three": dict(zip("abcdef", "012012", strict=True)),
        "two": dict(zip("ghij", "0101", strict=True)),
        "later": dict(zip("klm", "123", strict=True)),
        "words": {"n": "train", "o": "val"},
    }
    for other, listed in (("two", "0, 1"), ("later", "1, 2, 3"), ("words", "train and val")):
        with pytest.raises(ValueError, match=rf"different folds.*{other}: {listed}\b.*data\.split\.file"):
            Fold(count=3).splits(union_of(three=ways["three"], **{other: ways[other]}))
    rest = {"x": None, "y": None, "z": None}
    with pytest.raises(
        ValueError, match=r"numbers 3 folds.*split\.count=5 .*\(rest\).*\(data\.split\.count=3\)"
    ):
        Fold().splits(union_of(three=ways["three"], rest=rest))
    with pytest.raises(ValueError, match="5 folds cannot be made of 4 patients"):
        Fold().splits(union_of(words=ways["words"], rest={"x": None, "y": None}))
    with pytest.raises(ValueError, match=r"fold 1: 2 patients are on both sides.* b, c\."):
        Fold(count=3).splits(union_of(three=ways["three"], other={"a": "0", "b": "2", "c": "1"}))
    moved = union_of(words=ways["words"] | {"t": "Test"}, rest={"t": "train", **rest})
    splits, groups, stores = (
        {name: getattr(case, key) for name, case in moved.items()} for key in ("split", "group", "store")
    )
    (fault, left_out) = describe_column_faults(splits, groups, stores)
    assert describe_tested(splits, groups, ["t@rest"]) == [fault]
    assert fault.startswith("1 patients are in the test cases")
    assert left_out.startswith("3 cases have no split")
    splits["t@rest"] = None
    assert describe_column_faults(splits, groups, stores) == []


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("patient004_frame01", "patient004"),
        ("sub-01_ses-02", "sub-01"),
        ("sub-01_ses-02_run-1_T1w", "sub-01"),
        ("sub-01_T1w", "sub-01"),
        ("p7_visit2", "p7"),
        ("p7-tp1", "p7"),
        ("p7_timepoint_3", "p7"),
        ("p7_phase10", "p7"),
        ("p7_scan_2", "p7"),
        ("p7_t0", "p7"),
        ("P01_post", "P01"),
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005"),
        ("hippocampus_001", "hippocampus_001"),
        ("BRATS_001", "BRATS_001"),
        ("la_003", "la_003"),
        ("brats_2013_pat0001_1", "brats_2013_pat0001_1"),
        ("BraTS20_Training_001", "BraTS20_Training_001"),
        ("frame01", "frame01"),
        ("scan_12", "scan_12"),
    ],
)
def test_names_tell_the_patient(name, patient):
    assert group_cases([name, "another"])[name] == patient


def test_a_word_that_all_names_share_is_no_patient():
    names = ["ct_scan_1", "ct_scan_2", "ct_scan_3"]
    assert group_cases(names) == {name: name for name in names}


def test_a_pattern_of_ones_own(tmp_path):
    assert group_cases(["brats_pat1_1", "brats_pat1_2", "x"], r"^(.+)_\d$") == {
        "brats_pat1_1": "brats_pat1",
        "brats_pat1_2": "brats_pat1",
        "x": "x",
    }
    with pytest.raises(GroupError, match="not a regular expression"):
        group_cases(["a"], "(")
    with pytest.raises(GroupError, match="brackets"):
        group_cases(["a"], "^a")
    assert "each taken for a patient" in describe_groups({"a": "a", "b": "b"})


@pytest.mark.real
def test_folds_of_the_hippocampus_are_those_nnunet_trained_with(hippocampus, reference_model):
    from ingradient_pl.datasets.sources import read_source

    groups = {case.name: case.group for case in read_source(hippocampus).cases}
    path = next(reference_model.rglob("splits_final.json"))
    assert folds(groups) == from_file(path, groups)
