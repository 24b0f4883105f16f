"""``ingradient plan --like``: what a plan takes over from what training starts from."""

from dataclasses import replace

import pytest
import tiny_models
from runs import outcome
from weight_sources import NNSSL, PLAIN, RESIDUAL, TASK, adaptation, nnssl_folder, saved, unet

import ingradient_pl as ip
from ingradient_pl.cli.options import normalise_options
from ingradient_pl.finetuning.like import plan_like
from ingradient_pl.finetuning.plan_keys import chosen_keys
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.inference.checkpoint_file import CheckpointError, write_content
from ingradient_pl.messages import UsageError
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.transforms.normalise import CT, MinMax01, ZScore

ALL = chosen_keys("source")
NETWORK = ("widths", "strides", "kernels", "blocks", "decoder_blocks", "residual")
OWN = replace(
    PLAIN,
    spacing=(1.0, 1.0, 1.0),
    patch=(24, 24, 24),
    widths=(5, 7),
    strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3),) * 2,
    blocks=(1, 1),
    decoder_blocks=(1,),
    normalisation=(MinMax01(), MinMax01()),
    orientation="LPS",
)


def kept(plan, names, other):
    return all(getattr(plan, name) == getattr(other, name) for name in names)


@pytest.mark.parametrize("kind", ["ours", "nnunet plain", "nnunet residual", NNSSL])
def test_a_plan_follows_its_source_key_by_key(tmp_path, kind):
    source = read_weights(saved(kind, tmp_path))
    theirs = RESIDUAL if "residual" in kind else PLAIN
    spacing = (1.0, 1.0, 1.0) if kind == NNSSL else theirs.spacing
    made = plan_like(OWN, source, TASK.channels, ALL).plan
    assert kept(made, NETWORK, theirs)
    assert made.patch == theirs.patch
    assert made.spacing == spacing
    assert made.normalisation == (ZScore(), MinMax01() if kind == NNSSL else ZScore())
    assert (made.channels, made.outputs, made.orientation) == (OWN.channels, OWN.outputs, OWN.orientation)
    only = {
        "topology": NETWORK,
        "patch": ("patch",),
        "spacing": ("spacing",),
        "normalisation": ("normalisation",),
    }
    for key, names in only.items():
        one = plan_like(OWN, source, TASK.channels, [key]).plan
        assert kept(one, names, made)
        rest = set(NETWORK) | {"patch", "spacing", "normalisation"}
        assert kept(one, rest - set(names), OWN)


def test_normalisers_follow_the_names_of_channels(tmp_path):
    ct = CT(-10.0, 90.0, 30.0, 12.0)
    there = replace(PLAIN, normalisation=(ct, ZScore()))
    source = read_weights(saved("ours", tmp_path, plan=there))
    own = replace(OWN, channels=3, normalisation=(MinMax01(),) * 3)
    made, remarks = plan_like(own, source, ("mr", "PET", "ct"), ["normalisation"])
    assert made.normalisation == (ZScore(), MinMax01(), ct)
    assert any("Channel PET:" in told for told in remarks)


def test_a_patch_is_lengthened_to_what_the_strides_halve(tmp_path):
    source = read_weights(saved("ours", tmp_path))
    made, remarks = plan_like(replace(OWN, patch=(10, 22, 24)), source, TASK.channels, ["topology"])
    assert made.patch == (10, 24, 24)
    assert any("10×22×24 is lengthened to 10×24×24" in told for told in remarks)


@pytest.mark.parametrize(
    "typed", [["source"], ["target"], ["[patch]"], ["patch", "spacing"], ["patch,spacing"]]
)
def test_what_is_taken_is_a_word_or_a_list(typed):
    (_, told) = normalise_options(ip.plan, ["--take", *typed])
    assert told == (typed[0] if len(typed) == 1 and "," not in typed[0] else '["patch", "spacing"]')


@pytest.mark.parametrize(
    "change",
    [
        {"transpose": (0, 0, 2)},
        {"patch": (0, 16, 16)},
        {"patch": (10**6,) * 3},
        {"spacing": (-1.0, 1.0, 1.0)},
        {"spacing": (float("nan"), 1.0, 1.0)},
    ],
    ids=str,
)
def test_a_source_whose_plan_cannot_be_is_named(tmp_path, change):
    source = read_weights(saved("ours", tmp_path))
    theirs = source._replace(plan=source.plan._replace(**change))
    with pytest.raises(UsageError, match=f"{source.origin} tells what makes no plan"):
        plan_like(OWN, theirs, TASK.channels, ALL)


SPLIT = {"train": ["a"], "validation": ["b"]}
RUNS = [None, 3, "text", [], [[1]], *({name: "text"} for name in ("split", "images", "store", "init"))]
RUNS += [
    {"split": {"train": "abc", "validation": []}},
    {"split": {}},
    {"split": {"train": [1], "validation": []}},
]
RUNS += [{"split": SPLIT, "images": {"a": 1}}, {"split": SPLIT, "images": []}]
RUNS += [{"split": SPLIT, "store": {"parts": one}} for one in (3, "x", {"a": 1}, [3], [{}], [{"name": 3}])]
RUNS += [{"init": {"trained": one}} for one in (3, "x", {"a": 1}, [3], [{"cases": "abc"}], [{"images": [1]}])]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_what_a_checkpoint_says_of_its_run_is_held_to_types(tmp_path, run):
    content = tiny_models.content()
    content["ingradient"]["run"] = run
    write_content(tmp_path / "last.ckpt", content)
    with pytest.raises(CheckpointError, match=r"last\.ckpt"):
        read_weights(tmp_path / "last.ckpt")


def test_an_encoder_that_saw_cases_as_they_came_tells_no_spacing(tmp_path):
    plan = adaptation(RESIDUAL)
    plan["pretrain_plan"]["configurations"]["onemmiso"]["spacing_style"] = "noresample"
    source = read_weights(nnssl_folder(tmp_path, unet(RESIDUAL), plan))
    made, remarks = plan_like(OWN, source, TASK.channels, ALL)
    assert made.spacing == OWN.spacing
    assert any("at the spacing they came with" in told for told in remarks)


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("LPS", "LPS", None),
        ("RAS", "LPS", None),
        ("stored", "LPS", "look whether"),
        ("PIR", "LPS", "other axes"),
    ],
)
def test_spacing_belongs_to_axes(tmp_path, theirs, ours, said):
    source = read_weights(saved("ours", tmp_path, plan=replace(PLAIN, orientation=theirs)))
    own = replace(OWN, orientation=ours)
    if said == "other axes":
        with pytest.raises(UsageError, match=said):
            plan_like(own, source, TASK.channels, ["spacing"])
        return
    made, remarks = plan_like(own, source, TASK.channels, ["spacing"])
    assert made.spacing == PLAIN.spacing
    assert any("look whether" in told for told in remarks) == (said is not None)


def test_axes_in_another_order_are_told_where_spacing_is_not_taken(tmp_path):
    turned = replace(PLAIN, transpose=(2, 0, 1))
    source = read_weights(saved("ours", tmp_path, plan=turned))
    assert plan_like(OWN, source, TASK.channels, ALL).plan.transpose == (2, 0, 1)
    made, remarks = plan_like(OWN, source, TASK.channels, ["topology"])
    assert made.transpose == OWN.transpose
    assert any("along other axes" in told for told in remarks)


@pytest.mark.parametrize("take", ["spacings", [], ["patch", "widths"]])
def test_a_key_that_is_none_is_refused(take):
    with pytest.raises(
        UsageError, match="source, target, or a list of spacing, patch, topology, normalisation"
    ):
        chosen_keys(take)


def test_the_command_plans_like_a_source_and_prepares_nothing(monkeypatch, capsys, phantom_store, tmp_path):
    source = saved("ours", tmp_path)
    before = sorted(path.stat().st_mtime_ns for path in phantom_store.rglob("*"))
    file = tmp_path / "plan of mine.yaml"
    line = ["--store", str(phantom_store), "--like", str(source), "--output", str(file)]
    code, out, err = outcome(monkeypatch, capsys, "plan", *line)
    assert code == 0, err
    assert f"Like {source}: spacing, patch, topology, normalisation." in out
    assert kept(read_plan(file), (*NETWORK, "patch", "spacing"), PLAIN)
    assert sorted(path.stat().st_mtime_ns for path in phantom_store.rglob("*")) == before
    code, _, err = outcome(monkeypatch, capsys, "plan", *line, "--take", "[spacing,topology]")
    assert code == 0, err
    assert read_plan(file).patch != PLAIN.patch
    target = ip.plan(phantom_store, like=source, take="target")
    assert kept(target, NETWORK, PLAIN)
    assert target.spacing != PLAIN.spacing
    code, _, err = outcome(monkeypatch, capsys, "plan", *line, "--network", "outside")
    assert code == 2
    assert "--like" in err


def test_weights_alone_tell_no_plan(tmp_path):
    import torch

    torch.save(unet(PLAIN).state_dict(), tmp_path / "x.pt")
    with pytest.raises(UsageError, match="holds weights alone"):
        plan_like(OWN, read_weights(tmp_path / "x.pt"), TASK.channels, ALL)
