"""What is wrong with labels that overlap is named with its file and the cure, before anything trains."""

import dataclasses
import re

import numpy as np
import pytest
from oracles import plan as made_plan
from overlapping_labels import (
    CASES,
    CONVENTIONS,
    LIST,
    NAMES,
    Convention,
    Knowing,
    by_label,
    channels,
    files,
    in_order,
    listed,
    masks_of,
    save,
    table,
)

import ingradient_pl as ip
from ingradient_pl.datasets.sources import SourceError, read_source
from ingradient_pl.draws.training import TrainingDraws
from ingradient_pl.inference.checkpoint import CheckpointError, Model
from ingradient_pl.lightning.data_agreement import number_classes
from ingradient_pl.metrics.evaluation import EvaluationError
from ingradient_pl.nnunet.export import ExportError, export_nnunet
from ingradient_pl.store import combinations
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

PATTERN = {**LIST, "label_files": "{case}_{label}.nii.gz"}


def changed(describe, write=None, **more):
    return Convention(write or files(), describe, **more)


REFUSED = {
    "twice": (changed({"labels": ["wt", "tc", "wt"]}), r"'labels' names 'wt' twice"),
    "one file": (
        changed({**LIST, "label_files": "{case}.nii.gz"}),
        r"'wt' and 'tc' are the same file.*{label}",
    ),
    "no case": (changed({**LIST, "label_files": "{label}.nii.gz"}), r"pattern of names with {case}"),
    "other label": (
        changed({**LIST, "label_files": {"x": "{case}_x.nii.gz"}}),
        r"names 'x', which is none of wt",
    ),
    "slash": (changed({"labels": ["left/lung", "tc"]}), r"'left/lung' cannot name a file of masks"),
    "only background": (changed({"labels": ["background"]}), r"no label beside background"),
    "numbers": (changed({"labels": [1, 2]}), r"names of labels that may overlap; got 1"),
    "background": (
        changed({"labels": {"background": {"file": "{case}_bg"}, "wt": 1}}),
        r"'background' is 0: .*got {'file': '{case}_bg'}",
    ),
    "region": (changed({"labels": {"wt": [1, 2]}, "label_files": "{case}_{label}"}), r"'wt'.*got \[1, 2\]"),
    "key": (changed({"labels": {"wt": {"folder": "x"}}}), r"'wt' has 'folder'.*'file', 'channel'"),
    "value": (changed({"labels": {"wt": {"file": "{case}", "value": 0}}}), r"'value' of label 'wt'.*got 0"),
    "channel": (changed({"labels": {"wt": {"channel": -1}}}), r"'channel' of label 'wt'.*got -1"),
    "gap": (
        changed({"labels": {"wt": {"channel": 0}, "tc": {"channel": 2}}}),
        r"numbered from 0.*'channels'",
    ),
    "missing rule": (
        changed({**LIST, "missing_labels": "ignored"}),
        r"'unannotated' or 'empty'; got 'ignored'",
    ),
    "columns": (
        changed({"labels": ["wt"]}, entries=table(in_order, ("label_wt", "label_tc", "label_et"))),
        r"labels wt, tc, et, the description names wt",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_declaration_that_contradicts_itself_is_refused(tmp_path, name):
    convention, message = REFUSED[name]
    with pytest.raises(SourceError, match=message):
        read_source(convention.make(tmp_path / "raw"))


def other_grid(folder, case, masks):
    files()(folder, case, masks)
    if case == "a":
        save(folder / "a" / "tc.nii.gz", masks["tc"][:-1].astype(np.uint8))


def other_than_image(folder, case, masks):
    files()(folder, case, {name: mask[1:] if case == "a" else mask for name, mask in masks.items()})


def not_binary(folder, case, masks):
    files()(folder, case, masks)
    if case == "a":
        save(folder / "a" / "tc.nii.gz", (masks["tc"] * 2 + masks["wt"]).astype(np.uint8))


def too_few(folder, case, masks):
    channels()(folder, case, dict(list(masks.items())[: 2 if case == "a" else 3]))


def one_integer(folder, case, masks):
    if case == "a":
        save(folder / "a.nii.gz", masks["wt"].astype(np.uint8))
    else:
        channels()(folder, case, masks)


FAULTY = {
    "other grid": (changed(LIST, other_grid), r"a/tc.nii.gz: its shape.*must lie on one grid"),
    "other than the image": (
        changed(LIST, other_than_image),
        r"its shape.*its image.*must lie on its image's",
    ),
    "not binary": (changed(LIST, not_binary), r"tc.nii.gz: the mask of 'tc' holds 1, 2, 3.*\"value\": 3"),
    "missing": (changed(LIST, files(leave=[("a", "et")])), r"et.nii.gz.*no file of 'et'.*missing_labels"),
    "missing by pattern": (
        changed(PATTERN, files("{case}_{label}.nii.gz", leave=[("a", "et")])),
        r"a_et.nii.gz: there is no file of 'et'.*annotated",
    ),
    "no file at all": (
        changed({**LIST, "missing_labels": "empty"}, files(leave=[("a", name) for name in NAMES])),
        r"a: .*there is no file of 'wt'",
    ),
    "too few channels": (changed(LIST, too_few), r"3 channels.*a channel each \(wt, tc, et\)"),
    "one integer a voxel": (changed(LIST, one_integer), r"3 channels.*one integer a voxel cannot hold them"),
    "too short a list": (
        changed(LIST, entries=listed("training", lambda case: in_order(case)[: 2 if case == "a" else 3])),
        r"'label' lists 2 files, there are 3 labels",
    ),
    "unknown label": (
        changed(
            LIST, entries=listed("dataset", lambda case: {"tumour" if case == "a" else "wt": "x.nii.gz"})
        ),
        r"'label' names 'tumour', which is no label",
    ),
    "not declared": (
        changed({"labels": {"background": 0, "wt": 1}}, entries=listed("dataset", by_label)),
        r"'label' must be one file.*labels that may overlap",
    ),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_case_whose_masks_are_wrong_is_named(tmp_path, name):
    convention, message = FAULTY[name]
    source = read_source(convention.make(tmp_path / "raw"))
    summary = build_store(source, tmp_path / "store", progress=False)
    faults = [str(fault) for fault in summary.faults]
    assert any(re.search(message, fault) for fault in faults), faults


def test_a_label_that_lies_in_no_case_is_refused(tmp_path):
    def write(folder, case, masks):
        files()(folder, case, {**masks, "et": masks["et"] & False})

    source = read_source(changed(LIST, write).make(tmp_path / "raw"))
    with pytest.raises(SourceError, match=r"'et' lies in no voxel of any case"):
        build_store(source, tmp_path / "store", progress=False)


def test_a_missing_mask_may_be_empty(tmp_path):
    convention = changed({**LIST, "missing_labels": "empty"}, files(leave=[("a", "et")]))
    store = tmp_path / "store"
    build_store(read_source(convention.make(tmp_path / "raw")), store, progress=False)
    case = CaseStore(store).cases["a"]
    assert case.annotated is None
    assert not any(case.voxels.get(value) for value in CaseStore(store).task.foreground["et"])


def test_too_many_combinations_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(combinations, "MOST", 6)
    source = read_source(changed(LIST).make(tmp_path / "raw"))
    with pytest.raises(SourceError, match=r"3 labels occur in 7 combinations.*16 bits, up to 6"):
        build_store(source, tmp_path / "store", progress=False)


def test_a_store_keeps_its_integers_when_cases_join(tmp_path):
    path = changed(LIST).make(tmp_path / "raw")
    masks = masks_of(0)
    files()(
        path / "labelsTr", "a", {**masks, "tc": masks["tc"] & ~masks["wt"], "et": masks["et"] & ~masks["wt"]}
    )
    whole = read_source(path)
    build_store(whole._replace(cases=whole.cases[:1]), tmp_path / "store", progress=False)
    before = CaseStore(tmp_path / "store").task.combinations
    assert before == {1: (1,), 2: (2,), 3: (3,), 4: (2, 3)}
    build_store(whole, tmp_path / "store", progress=False)
    store = CaseStore(tmp_path / "store")
    assert store.task.combinations == {**before, 5: (1, 2), 6: (1, 3), 7: (1, 2, 3)}
    build_store(whole._replace(cases=whole.cases[1:]), tmp_path / "store", progress=False)
    assert CaseStore(tmp_path / "store").task == store.task
    for number, case in enumerate(CASES):
        label = store.read(case, store.cases[case].grid.whole, body=False).label
        for name, values in store.task.foreground.items():
            wanted = masks_of(number)[name] & (number > 0 or name == "wt" or ~masks["wt"])
            np.testing.assert_array_equal(np.isin(label, values), wanted)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A data set, and a model that knows its labels."""
    folder = tmp_path_factory.mktemp("known")
    path = CONVENTIONS["pattern"].make(folder / "raw")
    build_store(read_source(path), folder / "store", progress=False)
    task = CaseStore(folder / "store").task
    changes = {"outputs": 3, "regions": task.regions, "spacing": (1.5, 1.0, 1.0)}
    made = dataclasses.replace(made_plan(), **changes)
    return path, Model([Knowing(3)], made, task, "the model", ())


def test_predictions_of_one_integer_a_voxel_are_refused(tmp_path, known):
    path, _ = known
    for number, case in enumerate(CASES):
        save(tmp_path / "old" / f"{case}.nii.gz", masks_of(number)["wt"].astype(np.uint8))
    with pytest.raises(EvaluationError, match=r"a.nii.gz: 3 channels.*one integer a voxel cannot hold them"):
        ip.evaluate(tmp_path / "old", path)
    for number, case in enumerate(CASES):
        for label, mask in masks_of(number).items():
            save(tmp_path / "turned" / f"{case}_{label}.nii.gz", mask[::-1].astype(np.uint8))
    (told, _) = ip.evaluate(tmp_path / "turned", path).remarks
    assert "1.00 mirrored along z" in told
    (tmp_path / "none").mkdir()
    with pytest.raises(EvaluationError, match=r"none holds no masks of wt, tc, et"):
        ip.evaluate(tmp_path / "none", path)


def test_what_has_one_integer_a_voxel_is_refused(tmp_path, known):
    _, model = known
    with pytest.raises(ExportError, match=r"its labels overlap in ways that one integer a voxel cannot tell"):
        export_nnunet(model, tmp_path / "exported")
    second = model._replace(plan=dataclasses.replace(model.plan, previous_stage="3d_lowres"))
    assert second.after(model).inputs == model.plan.channels + len(NAMES)
    many = {f"l{number}": number for number in range(1, 26)}
    task = dataclasses.replace(model.task, labels=many, overlap={name: {} for name in many})
    with pytest.raises(CheckpointError, match=r"24 at most; the task has 25"):
        second._replace(task=task).after(model)
    with pytest.raises(ValueError, match=r"class_weights names integers, and labels that may overlap"):
        number_classes(TrainingDraws(class_weights={1: 1.0}), model.task)
