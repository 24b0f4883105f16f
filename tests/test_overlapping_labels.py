"""Labels that overlap, however they are kept: prepared, predicted by a network that knows, scored 1."""

import dataclasses

import numpy as np
import pytest
from oracles import plan as made_plan
from overlapping_labels import CASES, CONVENTIONS, Knowing, masks_of

from ingradient_pl.datasets.sources import read_source
from ingradient_pl.images.packed_masks import take_mask
from ingradient_pl.inference.answer_files import target_files
from ingradient_pl.inference.answer_folder import AnswerFolder
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.predict_cases import save_cases, score_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.metrics.evaluation import evaluate
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.label_maps import find_answers
from ingradient_pl.workers.threads import Threads


@pytest.fixture(params=list(CONVENTIONS), ids=lambda name: name.replace(" ", "_"))
def prepared(tmp_path, request):
    """A convention, its source and store, and a predictor that knows the answer."""
    convention = CONVENTIONS[request.param]
    path = convention.make(tmp_path / "raw [1] b")
    source = read_source(path)
    summary = build_store(source, tmp_path / "store", progress=False)
    assert not summary.faults, summary
    assert not summary.warnings, summary
    store = CaseStore(tmp_path / "store")
    return convention, path, store, knowing(store.task)


def knowing(task):
    changes = {
        "outputs": task.outputs,
        "ignore": task.ignore,
        "regions": task.regions,
        "spacing": (1.5, 1.0, 1.0),
    }
    made = dataclasses.replace(made_plan(), **changes)
    return Predictor(Model([Knowing(task.outputs)], made, task, "test", ()), step=1.0)


def told_by(convention, case):
    return [name for name in convention.known.get(case, convention.names) if name != "ignore"]


def check_scores(convention, evaluation):
    for case in evaluation.cases:
        for label, scores in case.scores.items():
            known = evaluation.labels[label] in told_by(convention, case.name)
            assert scores["Dice"] == 1.0 if known else np.isnan(scores["Dice"]), (case.name, label)
    assert list(evaluation.labels.values()) == [name for name in convention.names if name != "ignore"]
    assert not evaluation.remarks


@pytest.mark.slow
def test_a_network_that_knows_scores_one(prepared, tmp_path):
    convention, path, store, predictor = prepared
    cases = read_source(path).cases
    folder = AnswerFolder(tmp_path / "answers", store.task)
    targets = target_files(cases, folder.folder, store.task)
    folder.begin(cases, targets, resume=False)
    assert not save_cases(predictor, cases, folder.folder, say=lambda line: None).failures
    folder.finish(targets)
    for labels in (path, store.path):
        rules = {"labels": labels, "task": folder.task, "pool": Threads(1)}
        check_scores(convention, evaluate(folder.folder, **rules))
    check_scores(convention, score_cases(predictor, cases, say=lambda line: None).evaluation)
    answers = find_answers(folder.folder, folder.task)
    assert sorted(answers) == list(CASES)
    for number, case in enumerate(CASES):
        read = answers[case].read("stored").voxels
        for at, (label, mask) in enumerate(masks_of(number, convention.names).items(), 1):
            if label != "ignore":
                np.testing.assert_array_equal(take_mask(read, at), mask)
