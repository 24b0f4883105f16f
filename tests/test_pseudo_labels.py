"""Pseudo-labels: made at shares of a run, of what nobody annotated alone, and the same where it goes on."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from partial_labels import LABELS, anatomy, write_partial
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.inference.forward import WithoutOutputs
from ingradient_pl.inference.one_object import keep_one_object
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.lightning.callbacks.pseudo_labels import PseudoLabels, suggest_pseudo_labels
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.module import SegmentationModule
from ingradient_pl.loading.pseudo_labels import PseudoLabelReader, place_of
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.case_volumes import CaseVolumes, list_volumes, write_volume

SAID = {"a": None, **{name: [("organ", "lesion")[number % 2]] for number, name in enumerate("bcdefgh")}}


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pseudo labels [1]")
    build_store(read_source(write_partial(folder / "raw", said=SAID)), folder / "store", workers=1)
    return CaseStore(folder / "store")


@pytest.fixture(scope="module")
def quick(store, tmp_path_factory):
    """Overrides of a run of five epochs, with pseudo-labels from epochs 2 and 4 on."""
    plan = ip.Planner().plans(ip.Fingerprint.of_store(store))["3d_fullres"]
    cubes = {"widths": (4, 6), "strides": ((1, 1, 1), (2, 2, 2)), "kernels": ((3, 3, 3),) * 2}
    small = replace(plan, patch=(8, 8, 8), batch_size=4, blocks=(1, 1), decoder_blocks=(1,), **cubes)
    file = tmp_path_factory.mktemp("plan") / "plan.yaml"
    write_plan(file, small)
    return [
        *(f'store="{store.path}"', f"plan={file}", "trainer=cpu", "data.workers=0", "logger=none"),
        *("callbacks=pseudo_labels", "callbacks.images=null", "epochs=5", "batches_per_epoch=2"),
        "callbacks.pseudo_labels.at=[0.4,0.8]",
    ]


class Witness(pl.Callback):
    """Remembers what each batch tells, by epoch, and stops a run."""

    seen: dict = {}  # noqa: RUF012

    def __init__(self, kill=None):
        self.kill = kill
        self.seen.clear()

    def on_train_batch_end(self, trainer, module, outputs, batch, *_):
        self.seen.setdefault(trainer.current_epoch, []).append(batch)
        if trainer.current_epoch == self.kill:
            raise RuntimeError("killed")


def run(quick, folder, *more, kill="null"):
    folder.mkdir(parents=True, exist_ok=True)
    witness = f"+callbacks.witness={{_target_: test_pseudo_labels.Witness, kill: {kill}}}"
    train(composed([*quick, witness, *more], folder))
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def label_of(store, name, pseudo, number):
    box = store.cases[name].grid.whole
    label = store.read(name, box, body=False).label
    known = torch.tensor(store.task.known_outputs(store.cases[name].annotated))
    return pseudo.complete(name, box, number, label, known)


def test_what_holds_follows_from_the_number_of_a_patch(store, tmp_path):
    for epoch, value in ((1, 2), (3, 0)):
        shape = store.cases["b"].grid.shape
        write_volume(place_of(tmp_path, epoch), store, "b", np.full(shape, value, np.uint8))
    pseudo = PseudoLabelReader(store, tmp_path, (1, 3), per_epoch=10)
    organ, known = label_of(store, "b", pseudo, 9)
    assert known.tolist() == [True, True, False]
    for number in (10, 29):
        label, known = label_of(store, "b", pseudo, number)
        assert known.all()
        assert np.array_equal(label, np.where(organ == 0, 2, organ))
    label, known = label_of(store, "b", pseudo, 30)
    assert known.all()
    assert np.array_equal(label, organ)
    assert label_of(store, "a", pseudo, 30)[1].all()


def test_a_network_is_asked_for_the_rest():
    network = torch.nn.Conv3d(1, 4, 1)
    image = torch.randn(2, 1, 3, 4, 5)
    asked, logits = WithoutOutputs(network, [1, 3])(image), network(image)
    assert torch.equal(asked[:, [0, 2]], logits[:, [0, 2]])
    assert (asked[:, [1, 3]] < logits.min() - 100).all()


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [((5, 9), 5), ((2, 9), 9), ((5,), 5), ((0, 9), 9)],
    ids=["connected", "far smaller", "alone", "none connected"],
)
def test_of_one_object_the_connected_piece_is_kept_unless_another_is_far_larger(sizes, kept):
    label, found = (np.zeros((4, 4, 40), np.uint8) for _ in range(2))
    label[1, 1, :4] = 1
    found[1, 1, 4 : 4 + sizes[0]] = 2
    for size in sizes[1:]:
        found[3, 3, 30 : 30 + size] = 2
    found[3, 3, 20] = 3
    found[0, 3, 20] = 3
    one = keep_one_object(found, label, [2])
    assert (one == 2).sum() == kept
    assert (one == 3).sum() == 2
    assert (keep_one_object(found, label, [2, 3]) == 3).sum() == 1


@pytest.mark.slow
@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 2, 0)])
def test_what_is_found_lies_where_it_was_and_is_one_object(store, quick, tmp_path, monkeypatch, transpose):
    def predict(self, image, spacing, *_):
        """What is asked for, as the image shows it, with a stray piece of each label."""
        label = np.select([image[0] > 150, image[0] < 70], [1, 2])  # 8 bits: the lesion is dark
        label[-1, -1, :2] = 1, 2
        return np.where(np.isin(label, self.model.networks[0].outputs), 0, label).astype(np.uint8)

    monkeypatch.setattr(Predictor, "predict", predict)
    run(quick, tmp_path, "epochs=2", f"plan.transpose=[{','.join(map(str, transpose))}]")
    turned = CaseStore(store.path, transpose)
    volumes = CaseVolumes(tmp_path / "pseudo_labels" / "epoch_1", turned)
    assert 0 < len(volumes.names) < len(SAID)
    for name in volumes.names:
        (other,) = {"organ", "lesion"} - set(SAID[name])
        truth = anatomy(list(SAID).index(name))[1].transpose(transpose)
        expected = np.where(truth == LABELS[other], LABELS[other], 0)
        assert np.array_equal(volumes.read(name, turned.cases[name].grid.whole), expected)


@pytest.mark.slow
def test_a_run_learns_from_them_and_goes_on_as_if_it_had_not_stopped(store, quick, tmp_path):
    whole = run(quick, tmp_path / "whole")
    told = {epoch: all(bool(one.known.all()) for one in seen) for epoch, seen in Witness.seen.items()}
    assert told == {0: False, 1: False, 2: True, 3: True, 4: True}
    rounds = tmp_path / "whole" / "pseudo_labels"
    assert sorted(one.name for one in rounds.iterdir()) == ["epoch_2", "epoch_4"]
    names = list_volumes(rounds / "epoch_2")
    assert names
    assert all(SAID[name] is not None for name in names)
    for kill in (4, 3):  # in the epoch whose start made a round, and behind one
        first = tmp_path / f"first {kill}"
        with pytest.raises(RuntimeError, match="killed"):
            run(quick, first, kill=kill)
        resume = f'resume="{first}/checkpoints/last.ckpt"'
        again = run(quick, tmp_path / f"second {kill}", resume)
        assert all(torch.equal(weight, again[name]) for name, weight in whole.items())
    run(quick, tmp_path / "other", resume, "callbacks.pseudo_labels.at=[0.1,0.9]")
    rounds = tmp_path / "other" / "pseudo_labels"  # of the first one round, of the new shares the one to come
    assert sorted(one.name for one in rounds.iterdir()) == ["epoch_2", "epoch_4"]
    assert all(bool(one.known.all()) for seen in Witness.seen.values() for one in seen)
    shutil.rmtree(first / "pseudo_labels")
    with pytest.raises(ValueError, match=r"pseudo-labels lie in .*epoch_2.* are missing .*Bring the folder"):
        run(quick, tmp_path / "third", resume)


def stop(module):
    raise RuntimeError("about to train")


def test_who_could_have_pseudo_labels_is_told_of_them(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(SegmentationModule, "on_train_start", stop)  # callbacks have said what they say then
    plain = [one for one in quick if not one.startswith("callbacks")]
    with pytest.raises(RuntimeError, match="about to train"):
        run(plain, tmp_path, "callbacks=none")
    said = "training cases not all labels were annotated in "
    assert capsys.readouterr().out.count(said) == 1


@pytest.mark.parametrize(
    ("change", "suggested"),
    [
        ({}, True),
        ({"epochs": 1}, False),
        ({"callbacks": [PseudoLabels("folder")]}, False),
        ({"split": Split(("a",), ("b",))}, False),
        ({"plan": SimpleNamespace(previous_stage="3d_lowres")}, False),
        ({"task": ip.Task(("CT",), {"background": 0, "whole": [1, 2], "lesion": 2}, (1, 2))}, False),
    ],
    ids=["some lack labels", "too short", "used", "none lacks any", "second stage", "regions"],
)
def test_nobody_is_told_of_pseudo_labels_that_would_be_refused(store, quick, change, suggested):
    file = next(entry for entry in quick if entry.startswith("plan=")).removeprefix("plan=")
    data = SegmentationData(store.path, file)
    trainer = {"datamodule": data, "callbacks": change.get("callbacks", [])}
    vars(data).update({name: value for name, value in change.items() if name in vars(data)})
    said = suggest_pseudo_labels(SimpleNamespace(**trainer, max_epochs=change.get("epochs", 5)))
    assert (said is not None) == suggested


@pytest.mark.parametrize("at", [[], [0.0], [0.5, 1.0], [40]])
def test_shares_are_shares(at):
    with pytest.raises(ValueError, match="between 0 and 1"):
        PseudoLabels("folder", at)


def test_a_run_without_a_length_has_no_shares(quick, tmp_path):
    with pytest.raises(ValueError, match="Set epochs"):
        run(quick, tmp_path, "trainer.max_epochs=-1")


def test_the_second_stage_of_a_cascade_is_refused(store, quick, tmp_path):
    file = next(entry for entry in quick if entry.startswith("plan=")).removeprefix("plan=")
    data = SegmentationData(store.path, file)
    data.plan = replace(data.plan, previous_stage="3d_lowres")
    with pytest.raises(ValueError, match="second stage of a cascade"):
        PseudoLabels(str(tmp_path)).setup(SimpleNamespace(datamodule=data, max_epochs=5), None, "fit")


def test_labels_that_overlap_are_refused(quick, tmp_path):
    folder = write_partial(
        tmp_path / "raw", said=SAID, labels={"background": 0, "whole": [1, 2], "lesion": 2}
    )
    build_store(read_source(folder), tmp_path / "store", workers=1)
    made = ip.plan(store=str(tmp_path / "store"))
    plan = replace(made, patch=(8, 8, 8), batch_size=2)
    write_plan(tmp_path / "plan.yaml", plan)
    rest = [one for one in quick if not one.startswith(("store", "plan"))]
    more = [
        f'store="{tmp_path}/store"',
        f"plan={tmp_path}/plan.yaml",
        "loss@module.loss=regions",
        "data.split.count=2",
    ]
    with pytest.raises(ValueError, match="exclude each other"):
        run(rest, tmp_path / "run", *more)


@pytest.mark.slow
def test_where_all_is_annotated_nothing_is_made(phantom_store, phantom_plan, quick, tmp_path, capsys):
    rest = [one for one in quick if not one.startswith(("store", "plan"))]
    run([*rest, f"store={phantom_store}", f"plan={phantom_plan}", "epochs=2"], tmp_path)
    assert "nothing to complete" in capsys.readouterr().out
    assert not (tmp_path / "pseudo_labels").exists()
