"""A case whose channel files were exchanged is told when it is prepared, and no other case is."""

import re
from itertools import combinations, permutations
from pathlib import Path

import pytest
from opened_files import count_opens

from ingradient_pl.datasets.case_names import check_cases
from ingradient_pl.datasets.exchanged_files import describe_foreign_labels, describe_misplaced
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.records import CaseFiles, Source
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store import case_store, metadata, odd_cases
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.exchanged_channels import ExchangeSearch
from ingradient_pl.task import Task

CHANNELS, CASES = 3, 6


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchanged") / "raw"
    return write_phantoms(folder, CASES, (10, 16, 16), channels=CHANNELS)


@pytest.fixture(scope="module")
def store(raw):
    build_store(read_source(raw), raw.parent / "store", progress=False)
    return CaseStore(raw.parent / "store")


class Exchanged(CaseStore):
    """A store with the channels of one case, or of all, in another order."""

    def __init__(self, store, case, order):
        super().__init__(store.path)
        self.case, self.order = case, order

    def statistics(self, name):
        found = super().statistics(name)
        return tuple(found[number] for number in self.order) if self.case in (name, None) else found


def describe_exchanged(store):
    """What is said of a store, as `prepare` and `plan` do."""
    search = ExchangeSearch(store.task.channels)
    for name in store.cases:
        search.add(name, store.statistics(name))
    return search.describe()


@pytest.mark.parametrize("pair", list(combinations(range(CHANNELS), 2)))
def test_the_case_and_its_channels_are_named_whichever_they_are(store, pair):
    order = list(range(CHANNELS))
    order[pair[0]], order[pair[1]] = pair[1], pair[0]
    for case in store.cases:
        told = describe_exchanged(Exchanged(store, case, order))
        assert [text for text in told if re.match(rf"{case}: its channels {pair[0]} .* and {pair[1]} ", text)]
        assert all(text.startswith(case) for text in told)


def test_channels_as_they_should_be_need_no_word(store):
    assert not describe_exchanged(store)
    for order in permutations(range(CHANNELS)):  # in every case alike: names may be wrong, no case is
        assert not describe_exchanged(Exchanged(store, None, order))


@pytest.mark.parametrize("kept", [1, 256], ids=["more cases than are kept", "fewer"])
def test_the_numbers_of_a_case_are_opened_once_for_all_remarks(store, kept, monkeypatch):
    """Of copies of images and of labels, and of exchanged channels."""
    monkeypatch.setattr(case_store, "KEPT", kept)
    with count_opens(store.path) as opened:
        told = odd_cases.describe_stored(store.path)
    numbers = {name: count for name, count in opened.items() if name.endswith(metadata.NUMBERS)}
    assert numbers == {f"cases/{name}/numbers.npz": 1 for name in store.cases}
    assert told == []


def test_files_that_were_exchanged_are_told_when_a_data_set_is_prepared(raw, tmp_path):
    first, second = (raw / f"imagesTr/phantom_002_000{channel}.nii.gz" for channel in (0, 1))
    contents = first.read_bytes(), second.read_bytes()
    for contents_now, expected in ((contents[::-1], 1), (contents, 0)):
        first.write_bytes(contents_now[0])
        second.write_bytes(contents_now[1])
        summary = build_store(read_source(raw), tmp_path / "store", progress=False)
        told = [text for text in summary.warnings if "look exchanged" in text]
        assert len(told) == expected
        assert all(text.startswith("phantom_002: its channels 0 ('MR') and 1 ('MR1')") for text in told)


NAMED = ("T1", "T1ce", "T2 HASTE")
FORMS = ["{case}_{name}.nii.gz", "{name}", "{case}-{name}-0001.mha", "{case}_000{at}.nii.gz"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize(
    "form", ["{case}_{name}.nii.gz", "{name}", "{case}-{name}-0001.mha", "{case}_000{at}.nii.gz"]
)
def test_files_that_bear_names_of_each_others_channels_are_told(order, form):
    cases = [
        CaseFiles(
            case,
            tuple(
                Path(form.format(case=case, name=NAMED[one].lower().replace(" ", "_"), at=at))
                for at, one in enumerate(order)
            ),
            None,
            case,
        )
        for case in ("p_t1", "p_t2_haste")
    ]
    told = describe_misplaced(NAMED, cases)
    assert len(told) == ("{name}" in form and order != (0, 1, 2))
    assert all("'T1ce' is " in text and "2 cases are so" in text for text in told)
    assert check_cases(Source(Task(NAMED, {"a": 1}), cases)).remarks == tuple(told)


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (
            "a_0000.nii.gz b_0000.nii.gz",
            "b.nii.gz a.nii.gz",
            "p: its image is a_0000.nii.gz and its label b",
        ),
        ("a.mha B.MHA", "b.nrrd b.nrrd", "called as the image of q: are"),
        ("a_0000.nii.gz b_0000.nii.gz", "a.nii.gz b.nii.gz", ""),
        ("1/scan.nii.gz 2/scan.nii.gz", "1/seg.nii.gz 2/scan.nii.gz", ""),
        ("a.nii b.nii", "a-seg.nii b-seg.nii", ""),
    ],
)
def test_labels_that_bear_the_name_of_another_case_are_told(images, labels, told):
    files = zip("pq", images.split(), labels.split(), strict=True)
    cases = [CaseFiles(name, (Path(image),), Path(label), name) for name, image, label in files]
    found = describe_foreign_labels(cases)
    assert len(found) == bool(told)
    assert all(told in text for text in found)


@pytest.mark.real
@pytest.mark.slow
def test_real_channels_give_no_false_alarm_and_most_exchanges_are_told(real_data, tmp_path):
    build_store(read_source(real_data / "Dataset013_BraTS2013"), tmp_path / "store", progress=False)
    brats = CaseStore(tmp_path / "store")
    assert not describe_exchanged(brats)
    told = {case: describe_exchanged(Exchanged(brats, case, (1, 0))) for case in brats.cases}
    assert sum(map(len, told.values())) >= 5
    assert all(text.startswith(case) for case, texts in told.items() for text in texts)
