"""Whatever joins or leaves a data set: nobody who was trained on validates, no patient is on both sides."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from ingradient_pl.datasets.resumed_split import OtherDataError, assume_split, restore_split, resume_split
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.datasets.splits import Fold


def cases(groups):
    return {
        name: SimpleNamespace(labelled=True, group=group, split=None, store="")
        for name, group in groups.items()
    }


@pytest.mark.parametrize("seed", range(40))
def test_nobody_changes_sides(seed):
    random = np.random.default_rng(seed)
    names = [f"case_{i}" for i in range(30)]
    groups = {name: f"patient_{random.integers(0, 12 + seed % 3 * 9)}" for name in names}
    before = dict(sorted({name: groups[name] for name in random.choice(names, 18, replace=False)}.items()))
    fold = Fold(0, count=3)
    old = fold.split(cases(before))
    left = {*random.choice(names, 26, replace=False), old.train[0], old.validation[0]}
    now = cases({name: groups[name] for name in sorted(left)})
    resumed = resume_split(old, fold.split(now), now)
    train, validation = (set(side) for side in resumed.split)
    assert not validation & set(old.train)
    assert not train & set(old.validation)
    assert train | validation == set(now)
    assert not {groups[name] for name in train} & {groups[name] for name in validation}
    assert set(resumed.joined) == set(now) - set(before)
    assert set(resumed.gone) == set(before) - set(now)


def test_what_is_other_is_told():
    now = cases({"a": "a", "b": "b", "c": "c", "d": "d"})
    found = resume_split(Split(("a", "x"), ("b",)), Split(("a", "b", "c"), ("d",)), now)
    assert found.split == Split(("a", "c"), ("b", "d"))
    first, second = found.describe_changes()
    assert "2 cases joined" in first
    assert "1 train, 1 validate" in first
    assert "1 cases of the run are no longer" in second


def test_all_that_train_and_validate_go_on_doing_both():
    now = cases({"a": "a", "b": "b"})
    everybody = Split(("a",), ("a",))
    assert resume_split(everybody, Split(("a", "b"), ("a", "b")), now).split == Split(("a", "b"), ("a", "b"))


def test_another_data_set_is_refused():
    """Before anything is said of how it is divided; with what to do instead."""
    fold = {**asdict(Fold(3)), "count": 7}
    before = {"train": ["x"], "validation": ["y"], "fold": fold}
    with pytest.raises(OtherDataError, match=r"\(x\).*another data set.*init_from=RUN.*hydra\.run\.dir=DIR"):
        restore_split(before, Fold(0), Split(("a",), ("b",)), cases({"a": "a", "b": "b"}))


def test_a_case_that_lost_its_label_is_gone():
    now = cases({"a": "a", "b": "b", "c": "c"})
    now["c"].labelled = False
    assert resume_split(Split(("a", "c"), ("b",)), Split(("a",), ("b",)), now).gone == ("c",)


@pytest.mark.parametrize(
    ("validated", "train", "validation", "words"),
    [
        (("a", "b"), ("c", "d", "e"), ("a", "b"), "does not hold its split"),
        (("a", "gone"), ("b", "c", "d", "e"), ("a",), "its 1 validation cases"),
        ((), ("a", "b", "c", "d"), ("e",), "does not say which cases"),
        (("gone",), ("a", "b", "c", "d"), ("e",), "does not say which cases"),
        (("a", "b", "c", "d", "e"), ("a", "b", "c", "d"), ("e",), "does not say which cases"),
    ],
)
def test_a_checkpoint_without_a_split_is_told_and_its_validation_cases_stay(
    validated, train, validation, words
):
    there = cases({name: name for name in "abcde"})
    split, told = assume_split(validated, Split(("a", "b", "c", "d"), ("e",)), there)
    assert split == Split(train, validation)
    assert words in told
