"""Cases that annotate some labels only: told by each source, kept by the store, counted for nothing else."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from partial_labels import LABELS, SAID, anatomy, write_partial, write_volume
from step_recorder import StepRecorder
from torch import nn

import ingradient_pl as ip
from ingradient_pl.datasets.records import SourceError
from ingradient_pl.datasets.sources import images_only, read_source
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.loading.patches import CasePatches
from ingradient_pl.losses.compatibility import check_loss
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.losses.focal import Focal
from ingradient_pl.losses.regions import RegionDiceCE
from ingradient_pl.losses.topk import TopKCE
from ingradient_pl.losses.tversky import Tversky
from ingradient_pl.losses.weighted_sum import WeightedSum
from ingradient_pl.metrics.dice import PooledDice
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.step_graph import StepGraph
from ingradient_pl.reports.data_set import describe_data_set
from ingradient_pl.reports.parts import Table
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.task import Task
from ingradient_pl.transforms.pack_batch import Packing
from ingradient_pl.transforms.prepare_batch import Prepare

TASK = Task(("MR",), LABELS)
REGIONS = [(1, 2, 3), (2, 3), (3,), (1,)]
SOFTMAX = {
    "dice_ce": DiceCE(),
    "pooled": DiceCE(batch_dice=True, class_weights=[1.0, 2.0, 0.5, 1.0]),
    "with background": DiceCE(background=True),
    "ignoring": DiceCE(ignore=4),
    "tversky": Tversky(power=0.75),
    "focal": Focal(),
    "topk": TopKCE(),
    "sum": WeightedSum([DiceCE(cross_entropy=0.0), TopKCE()]),
    "levels": DeepSupervision(DiceCE()),
}
LOSSES = {
    **SOFTMAX,
    "regions": RegionDiceCE(REGIONS),
    "regions pooled": RegionDiceCE(REGIONS, batch_dice=True),
    "regions ignoring": RegionDiceCE(REGIONS, ignore=4),
}


def batch_of(seed=0, most=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 3, 5, 4, generator=generator)
    return logits.requires_grad_(), torch.randint(0, most, (2, 3, 5, 4), generator=generator)


def slope(loss, logits, label, known=None):
    value = loss(logits, label) if known is None else loss(logits, label, known)
    return value.detach(), torch.autograd.grad(value, logits)[0]


# what sources say


@pytest.fixture(scope="module")
def partial_folder(tmp_path_factory):
    return write_partial(tmp_path_factory.mktemp("some (few) labels") / "a [b]")


@pytest.fixture(scope="module")
def partial_store(partial_folder):
    folder = partial_folder.parent / "store"
    build_store(read_source(partial_folder), folder, workers=1, progress=False)
    return CaseStore(folder)


@pytest.mark.parametrize("layout", ["annotated", "mapped", "datalist", "table", "records"])
def test_each_source_says_what_was_annotated(tmp_path, layout):
    source = read_source(write_partial(tmp_path, layout))
    told = {case.name[:1]: case.annotated for case in source.cases}
    assert not source.faults
    assert told == {name: said and tuple(said) for name, said in SAID.items()}
    assert "annotated" not in source.task.notes


@pytest.mark.parametrize("layout", ["annotated", "mapped", "datalist", "table", "records"])
def test_scores_of_predictions_know_what_was_annotated(tmp_path, layout):
    source = images_only(write_partial(tmp_path, layout), TASK)
    assert {case.name[:1]: case.annotated for case in source.cases} == {
        name: said and tuple(said) for name, said in SAID.items()
    }


def test_a_case_that_cannot_be_read_may_say_what_was_annotated(tmp_path):
    path = write_partial(tmp_path)
    image = next((path / "imagesTr").glob("a_*"))
    image.unlink()
    image.mkdir()
    for source in (read_source(path), images_only(path, TASK)):
        assert sorted({case.name[:1] for case in source.cases} - {"a"}) == sorted(set(SAID) - {"a"})


@pytest.mark.parametrize("layout", ["annotated", "mapped", "datalist", "table", "records"])
@pytest.mark.parametrize("wrong", [["spleen"], ["organ", "background"], ["Organ"]])
def test_a_label_that_a_case_cannot_have_is_named(tmp_path, layout, wrong):
    source = read_source(write_partial(tmp_path, layout, {"a": ["organ"], "b": wrong}))
    (fault,) = source.faults
    assert fault.case[:1] == "b"
    assert f"'{wrong[-1]}'" in str(fault)
    assert "organ, lesion" in str(fault)
    assert "b" not in {case.name[:1] for case in source.cases}


@pytest.mark.parametrize("layout", ["annotated", "mapped", "datalist", "records"])
def test_no_label_at_all_is_named(tmp_path, layout):
    (fault,) = read_source(write_partial(tmp_path, layout, {"a": ["organ"], "b": []})).faults
    assert "no label was annotated" in str(fault)


@pytest.mark.parametrize("told", [7, {"organ": 1}, [1]])
@pytest.mark.parametrize("layout", ["annotated", "mapped", "datalist", "records"])
def test_what_is_no_list_of_names_is_refused(tmp_path, layout, told):
    path = write_partial(tmp_path, layout, {"a": ["organ"], "b": told})
    try:
        said = str(*read_source(path).faults)
    except SourceError as error:
        said = str(error)
    assert "'annotated' must be a list of labels' names" in said
    assert repr(told) in said


@pytest.mark.parametrize(
    ("told", "what"), [({"z": ["organ"]}, "1 case not there: z"), (["organ"], "must be like")]
)
def test_a_description_that_names_no_case_is_refused(tmp_path, told, what):
    path = write_partial(tmp_path)
    described = json.loads((path / "dataset.json").read_text())
    (path / "dataset.json").write_text(json.dumps({**described, "annotated": told}))
    with pytest.raises(SourceError, match=what):
        read_source(path)


# the store


def test_the_store_keeps_it_and_leaves_the_rest_out(partial_store):
    assert {name: case.annotated for name, case in partial_store.cases.items()} == {
        name: said and tuple(said) for name, said in SAID.items()
    }
    assert [case.classes for case in partial_store.cases.values()] == [(1, 2), (1,), (2,), (1,)]
    case = partial_store.cases["b"]
    label = partial_store.read("b", case.grid.whole).label
    assert (label == np.where(anatomy(1)[1] == 1, 1, 0)).all()
    (warning,) = partial_store.describe("b")["warnings"]
    assert "'lesion', which it does not name as annotated" in warning


def test_what_was_annotated_may_change(tmp_path):
    folder = write_partial(tmp_path / "data")
    build_store(read_source(folder), tmp_path / "store", workers=1, progress=False)
    write_partial(tmp_path / "data", said={**SAID, "b": ["organ", "lesion"]})
    for case in read_source(folder).cases:  # files rewritten are prepared again anyway: only what was said
        assert case.annotated == (None if case.name in "ab" else tuple(SAID[case.name]))
    summary = build_store(read_source(folder), tmp_path / "store", workers=1, progress=False)
    assert "2 of 4 labelled cases annotate some labels only: organ 1, lesion 1" in str(summary)
    assert CaseStore(tmp_path / "store").cases["b"].classes == (1, 2)


def test_regions_keep_their_integers(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    folder = write_partial(tmp_path / "data", said={"a": None, "b": ["whole"]}, labels=labels)
    build_store(read_source(folder), tmp_path / "store", workers=1, progress=False)
    store = CaseStore(tmp_path / "store")
    assert store.cases["b"].classes == (1, 2)
    assert store.task.known_outputs(store.cases["b"].annotated) == (True, False)


REGION_LABELS = {"background": 0, "whole": [1, 2], "core": 2}


@pytest.mark.parametrize(
    ("labels", "first", "second"), [(None, "organ", "lesion"), (REGION_LABELS, "whole", "core")]
)
def test_tables_count_a_label_in_cases_that_annotate_it(tmp_path, labels, first, second):
    said = {"a": None, "b": [first], "c": [second], "d": [first], "e": [first]}
    folder = write_partial(tmp_path / "data", said=said, labels=labels)
    summary = build_store(read_source(folder), tmp_path / "store", workers=1, progress=False)
    assert [summary.classes[name][1] for name in (first, second)] == [4, 2]
    store = CaseStore(tmp_path / "store")
    assert summary.classes[second][2] == sum(store.cases[name].voxels[2] for name in "ac")
    tables = (
        part for section in describe_data_set(store) for part in section.parts if isinstance(part, Table)
    )
    parts = {table.title: table for table in tables}
    assert [row[2:4] for row in parts["Labels"].rows] == [[4, 0], [2, 0]]
    cells = [[cell is not None for cell in row[-2:]] for row in parts["Cases"].rows]
    assert cells == [[True, True], [True, False], [False, True], [True, False], [True, False]]


def test_a_region_that_nobody_annotates_is_told(tmp_path):
    folder = write_partial(tmp_path / "data", said={"a": ["whole"], "b": ["whole"]}, labels=REGION_LABELS)
    summary = build_store(read_source(folder), tmp_path / "store", workers=1, progress=False)
    assert any("no case has the label 'core'" in warning for warning in summary.warnings)


# the losses


@pytest.mark.parametrize("name", LOSSES)
def test_where_all_is_known_nothing_changes(name):
    logits, label = batch_of()
    plain = slope(LOSSES[name], logits, label)
    told = slope(LOSSES[name], logits, label, torch.ones(2, 4, dtype=torch.bool))
    assert torch.equal(plain[0], told[0])
    assert torch.equal(plain[1], told[1])


@pytest.mark.parametrize("name", SOFTMAX)
def test_the_background_of_a_case_is_all_that_was_not_annotated(name):
    """Shares may move freely between the background and what nobody annotated."""
    logits, label = batch_of()
    known = torch.tensor([[True, True, False, False], [True] * 4])
    label[0][label[0] > 1] = 0
    moved = logits.detach().clone()
    rest = [0, 2, 3]
    moved[0, rest] = moved[0, rest].logsumexp(0) + torch.tensor([0.2, 0.5, 0.3]).log()[:, None, None, None]
    one, other = LOSSES[name](logits, label, known), LOSSES[name](moved, label, known)
    torch.testing.assert_close(one, other)
    assert not torch.isclose(one, LOSSES[name](logits, label))


@pytest.mark.parametrize("ignore", [None, 3])
@pytest.mark.parametrize("absent", [0.0, 0.3, 1.0])
def test_shares_of_what_was_not_annotated_have_a_price(absent, ignore):
    logits, label = batch_of(2)
    known = torch.tensor([[True, True, False, False], [True] * 4])
    label[0][label[0] > 1] = 0
    counted = torch.ones_like(label, dtype=torch.bool) if ignore is None else label != ignore
    share = (logits.softmax(1)[:1, 2:].sum(1) * counted[:1]).sum() / counted.sum()
    loss, plain = DiceCE(absent=absent, ignore=ignore), DiceCE(ignore=ignore)
    torch.testing.assert_close(loss(logits, label, known), plain(logits, label, known) + absent * share)
    assert loss(logits, label) == plain(logits, label)


def test_a_label_that_few_cases_annotate_is_found_in_all():
    """One case of three annotates it; a cross entropy that takes the others at their word stops at 0.71."""
    logits = torch.zeros(1, 2, 1, 1, 1, requires_grad=True)
    label = torch.tensor([1, 0, 0])[:, None, None, None]
    known = torch.tensor([[True, True], [True, False], [True, False]])
    optimizer = torch.optim.SGD([logits], lr=5.0)
    for _ in range(500):
        optimizer.zero_grad()
        DiceCE(dice=0.0, absent=0.2)(logits.expand(3, -1, -1, -1, -1), label, known).backward()
        optimizer.step()
    assert logits.softmax(1)[0, 1].item() > 0.99


def test_absent_is_a_share():
    with pytest.raises(ValueError, match="Divide by 100"):
        DiceCE(absent=20)


def test_it_is_the_marginal_likelihood_and_dice_of_what_is_known():
    logits, label = batch_of(1, 3)
    label[0][label[0] == 2] = 0
    known = torch.tensor([[True, True, False, True], [True, True, True, False]])
    shares = logits.softmax(1).detach()
    entropy, dice = [], []
    for image, (share, truth, told) in enumerate(zip(shares, label, known, strict=True)):
        merged = torch.stack([share[0] + share[~told].sum(0), *share[1:]])
        entropy.append(-merged.gather(0, truth[None]).log().mean())
        for c in (1, 2, 3):
            if known[image, c]:
                both = (merged[c] * (truth == c)).sum()
                dice.append((2 * both + 1e-5) / (merged[c].sum() + (truth == c).sum() + 1e-5))
    expected = torch.stack(entropy).mean() - torch.stack(dice).mean()
    torch.testing.assert_close(DiceCE()(logits, label, known).detach(), expected)


@pytest.mark.parametrize("name", ["regions", "regions pooled", "regions ignoring"])
def test_a_region_that_is_not_known_has_no_gradient(name):
    logits, label = batch_of(most=5 if "ignoring" in name else 4)
    known = torch.tensor([[True, False, True, True], [False, True, True, True]])
    _, gradient = slope(LOSSES[name], logits, label, known)
    silent = gradient.flatten(2).abs().sum(2) == 0
    assert torch.equal(silent, ~known)


def test_a_region_alone_scores_as_it_would_alone():
    logits, label = batch_of()
    known = torch.zeros(2, 4, dtype=torch.bool)
    known[:, 1] = True
    alone = RegionDiceCE([REGIONS[1]])(logits[:, 1:2], label)
    torch.testing.assert_close(RegionDiceCE(REGIONS)(logits, label, known), alone)


class OfSomebody(nn.Module):
    """A loss that knows of logits and label alone."""

    def forward(self, logits, label):
        return nn.functional.cross_entropy(logits, label.long())


@pytest.mark.parametrize(
    "wrap", [lambda one: one, DeepSupervision, lambda one: DeepSupervision(WeightedSum([DiceCE(), one]))]
)
def test_a_loss_that_would_take_the_rest_for_background_is_refused(wrap):
    check_loss(wrap(OfSomebody()), TASK)
    with pytest.raises(ValueError, match="OfSomebody would take what they leave out for background"):
        check_loss(wrap(OfSomebody()), TASK, partly=True)
    for loss in LOSSES.values():
        assert "known" in loss.forward.__annotations__


# draws, batches, scores


def patches_of(store, plan, **settings):
    draws = ip.TrainingDraws(affine=None, **settings).of(plan)
    return CasePatches(store, plan, draws, list(store.cases))


@pytest.fixture(scope="module")
def partial_plan(partial_store):
    from dataclasses import replace

    plan = ip.Planner().plans(ip.Fingerprint.of_store(partial_store))["3d_fullres"]
    cubes = {"widths": (4, 6), "strides": ((1, 1, 1), (2, 2, 2)), "kernels": ((3, 3, 3),) * 2}
    return replace(plan, patch=(8, 8, 8), batch_size=4, blocks=(1, 1), decoder_blocks=(1,), **cubes)


def test_only_what_is_annotated_is_a_centre(partial_store, partial_plan):
    told = {one.name: one.classes for one in patches_of(partial_store, partial_plan).candidates}
    assert told == {"a": (1, 2), "b": (1,), "c": (2,), "d": (1,)}


@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_knows_it(partial_store, partial_plan, packed):
    patches = patches_of(partial_store, partial_plan, cases_per_batch=4)
    some = [patches[number] for number in range(4)]
    batch = Prepare(partial_plan.patch)(Packing(partial_plan.patch)(some) if packed else some)
    expected = [TASK.known_outputs(SAID[name]) for name in batch.cases]
    assert sorted(batch.cases) == list(SAID)
    assert batch.known.tolist() == [list(one) for one in expected]


def test_where_every_case_annotates_all_no_batch_speaks_of_it(phantom_store, phantom_plan):
    store, plan = CaseStore(phantom_store), ip.read_plan(phantom_plan)
    some = [patches_of(store, plan)[number] for number in range(2)]
    packed = Packing(plan.patch)(some)
    assert some[0].known is None
    assert "known" not in packed.fields
    assert Prepare(plan.patch)(packed).known is None


def test_patches_that_disagree_whether_they_know_are_refused(partial_store, partial_plan):
    patches = patches_of(partial_store, partial_plan)
    some = [patches[0], patches[1]._replace(known=None)]
    with pytest.raises(ValueError, match="1 of the batch's 2 patches"):
        Prepare(partial_plan.patch)(some)


@pytest.mark.parametrize("regions", [False, True])
def test_validation_dice_counts_what_is_known(regions):
    labels = {"organ": 1, "lesion": 2}
    logits, label = batch_of(most=3)
    logits = logits[:, : 2 if regions else 3]
    known = torch.tensor([TASK.known_outputs(["organ"]), TASK.known_outputs(None)])
    known = known[:, 1:] if regions else known
    told, first, second = (PooledDice(labels, regions=regions) for _ in range(3))
    told.update(logits, label, known)
    first.update(logits, label)
    second.update(logits[1:], label[1:])
    assert told.compute()["organ"] == first.compute()["organ"]
    assert told.compute()["lesion"] == second.compute()["lesion"]


@pytest.mark.slow
def test_a_recorded_step_takes_what_is_known():
    torch.manual_seed(0)
    network = UNet(1, 3, [4, 6], [[1, 1, 1], [2, 2, 2]], [[3, 3, 3]] * 2, [1] * 2, [1])
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    graph = StepGraph(network, DeepSupervision(DiceCE()), optimizer, recorder=StepRecorder(optimizer))
    image, label = torch.randn(2, 1, 8, 8, 8), torch.zeros(2, 8, 8, 8, dtype=torch.uint8)
    label[:, 2:5] = 1
    losses = {}
    for known in itertools.product((True, False), repeat=2):
        told = torch.tensor([[True, True, known[0]], [True, True, known[1]]])
        assert graph.takes(image, label, told)
        graph.prepare(image, label, told)
        losses[known] = float(graph(image, label, told).loss)
    assert len(set(losses.values())) == 4
    assert not graph.takes(image, label)


def test_scores_are_over_the_cases_that_annotate_a_label(partial_folder, partial_store, tmp_path):
    for number, name in enumerate(SAID):  # right but for the lesion of case b, which nobody annotated
        label = anatomy(number)[1]
        write_volume(
            tmp_path / "out" / f"{name}.nii.gz", np.where(label == 2, 0, label) if name == "b" else label
        )
    (tmp_path / "out" / "dataset.json").write_text(json.dumps(TASK.described))
    for labels, dataset in (
        (partial_folder, None),
        (partial_store.path, None),
        (partial_folder / "labelsTr", partial_folder),
        (partial_folder / "labelsTr", partial_folder / "dataset.json"),
        (partial_folder / "labelsTr", partial_store),
    ):
        found = ip.evaluate(tmp_path / "out", labels, dataset=dataset, output=tmp_path / "summary.json")
        dice = {case.name: {label: one["Dice"] for label, one in case.scores.items()} for case in found.cases}
        assert {name for name, one in dice.items() if math.isnan(one[2])} == {"b", "d"}
        assert {name for name, one in dice.items() if math.isnan(one[1])} == {"c"}
        mean = json.loads((tmp_path / "summary.json").read_text())["mean"]
        assert (mean["1"]["Dice"], mean["2"]["Dice"]) == (1.0, 1.0)


@pytest.mark.slow
def test_a_run_trains_on_it(partial_store, partial_plan, tmp_path):
    settings = {"trainer": "cpu", "logger": "none", "data__workers": 0, "data__split__number": None}
    run = ip.train(
        *(partial_store, partial_plan, tmp_path / "run"),
        **settings,
        epochs=1,
        batches_per_epoch=2,
    )
    assert 0 <= run.score <= 1


def test_the_data_module_hands_out_what_is_known(partial_store, partial_plan):
    data = SegmentationData(
        str(partial_store.path),
        partial_plan,
        ip.TrainingDraws(cases_per_batch=4),
        ip.Augment([]),
        ip.Fold(None),
        workers=0,
        resident=True,
    )
    batch = data.prepare(next(iter(data.train_dataloader())))
    assert batch.known.tolist() == [list(TASK.known_outputs(SAID[name])) for name in batch.cases]
