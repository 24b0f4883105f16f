"""Encoders of nnssl and plain weights as sources: what is read, how names are told, and what is refused."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from weight_sources import NNSSL, PLAIN, RESIDUAL, TASK, adaptation, nnssl_folder, saved, unet

from ingradient_pl.finetuning.mapping import map_weights
from ingradient_pl.finetuning.names import read_names
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.inference.checkpoint import CheckpointError, read
from ingradient_pl.inference.checkpoint_file import OURS, read_content
from ingradient_pl.messages import UsageError
from ingradient_pl.networks.unet import UNet
from ingradient_pl.nnunet.model import import_nnunet
from ingradient_pl.nnunet.weights import to_nnunet_weights
from ingradient_pl.task import Task

ONE = replace(RESIDUAL, channels=1, normalisation=RESIDUAL.normalisation[:1])


def mapped(source, plan=PLAIN, task=TASK, rules=None):
    return map_weights(unet(plan, seed=99, levels=1), source, task, rules)


def states(mapping, *parts):
    return {row.state for row in mapping.rows if row.tensor.startswith(parts)}


def encoder(folder, plan=RESIDUAL, name="nnssl", weights=None, **changes):
    return nnssl_folder(folder, unet(plan), adaptation(plan, **changes), name, weights)


@pytest.mark.parametrize("named", ["folder", "weights", "plan"])
def test_an_encoder_is_named_by_its_folder_its_weights_or_its_plan(tmp_path, named):
    folder = encoder(tmp_path)
    path = {"weights": folder / "checkpoint_final.pth", "plan": folder / "adaptation_plan.json"}
    source = read_weights(path.get(named, folder))
    assert set(source.weights) == {
        name for name in unet(RESIDUAL).state_dict() if name.startswith(("stem.", "encoder."))
    }
    assert source.plan.patch == (8, 16, 16)
    assert source.plan.spacing == (1.0, 1.0, 1.0)
    assert states(mapped(source, RESIDUAL), "stem", "encoder") == {"adapted", "taken"}


def test_the_plan_may_come_inside_the_weights_and_the_file_beside_them_goes_first(tmp_path):
    folder = encoder(tmp_path)
    file, beside = folder / "checkpoint_final.pth", folder / "adaptation_plan.json"
    inside = {**json.loads(beside.read_text()), "pretrain_num_input_channels": 7}
    content = torch.load(file, weights_only=True)
    torch.save({**content, "nnssl_adaptation_plan": inside}, file)
    source = read_weights(folder)
    assert len(source.inputs) == 2
    (told,) = source.warnings
    assert "pretrain_num_input_channels=2" in told
    assert "7" in told
    beside.unlink()
    torch.save({**content, "nnssl_adaptation_plan": adaptation(RESIDUAL)}, file)
    assert len(read_weights(file).weights) == len(source.weights)


def test_names_follow_the_keys_of_the_plan(tmp_path):
    weights = {f"module.online_{name}": value for name, value in to_nnunet_weights(unet(RESIDUAL)).items()}
    folder = encoder(
        tmp_path, weights=weights, key_to_encoder="online_encoder.stages", key_to_stem="online_encoder.stem"
    )
    expected = unet(RESIDUAL).state_dict()
    found = read_weights(folder).weights
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_a_plain_encoder_has_no_stem(tmp_path):
    source = read_weights(encoder(tmp_path, PLAIN))
    assert {name.split(".")[0] for name in source.weights} == {"encoder"}
    assert states(mapped(source), "encoder.1", "encoder.2") == {"taken"}


def test_one_channel_serves_all(tmp_path):
    source = read_weights(encoder(tmp_path, ONE))
    mapping = mapped(source, RESIDUAL)
    (row,) = [row for row in mapping.rows if row.state == "adapted"]
    assert row.how == "2 channels: each the mean of the source's 1, which have no names"
    assert states(mapped(source, ONE, Task(("PET",), TASK.labels)), "stem", "encoder") == {"taken"}


def test_the_large_residual_encoder_is_known_by_its_name(tmp_path):
    plan = {**adaptation(ONE), "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None}}
    folder = nnssl_folder(tmp_path, unet(ONE), plan)
    with pytest.raises(CheckpointError, match=r"'encoder\.stages\.0\.blocks|shape|not in the weights"):
        read_weights(folder)  # these weights are of a smaller one


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"key_to_encoder": "backbone.stages"},
            r"not in the weights, such as 'backbone\.stages\.0.*begin with",
        ),
        ({"key_to_stem": "tokenizer"}, r"'tokenizer\.convs\.0.*key_to_stem is 'tokenizer'"),
        (
            {"architecture_plans": {"arch_class_name": "PrimusM", "arch_kwargs": None}},
            "its network is 'PrimusM'",
        ),
        ({"architecture_plans": {"arch_class_name": "PlainConvUNet"}}, "without arguments"),
        ({"pretrain_num_input_channels": 3}, "has the shape"),
        *(
            ({name: wrong}, rf"not an adaptation plan that can be used: {name} is .*\. Correct it")
            for name, values in {
                "pretrain_num_input_channels": ("none", 0, True, 1.5, None),
                "key_to_encoder": (None, ["encoder"], 3),
                "key_to_stem": (["stem"], 3),
                "architecture_plans": ([], "ResEncL", None),
            }.items()
            for wrong in values
        ),
        ({"recommended_downstream_patchsize": None, "pretrain_plan": None}, "names no patch"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_by_name(tmp_path, changes, said):
    folder = encoder(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=said):
        read_weights(folder)


@pytest.mark.parametrize("kind", ["ReLU", "Mish"])
def test_a_network_that_computes_otherwise_is_refused(tmp_path, kind):
    plan = adaptation(RESIDUAL)
    plan["architecture_plans"]["arch_kwargs"]["nonlin"] = f"torch.nn.modules.activation.{kind}"
    with pytest.raises(CheckpointError, match=kind):
        read_weights(nnssl_folder(tmp_path, unet(RESIDUAL), plan))


@pytest.mark.parametrize("damage", ["missing key", "text", "no weights", "two weights", "pickle"])
def test_a_damaged_encoder_is_refused_by_name(tmp_path, damage, capsys):
    folder = encoder(tmp_path)
    plan, file = folder / "adaptation_plan.json", folder / "checkpoint_final.pth"
    if damage == "missing key":
        plan.write_text(json.dumps({"key_to_encoder": "encoder"}))
    elif damage == "text":
        plan.write_text("{")
    elif damage == "no weights":
        file.unlink()
    elif damage == "two weights":
        (folder / "other.pth").write_bytes(file.read_bytes())
    else:
        torch.save({"network_weights": {}, "init_args": Harmful()}, file)
    with pytest.raises(CheckpointError, match=r"lacks arch|adaptation_plan|\.pth"):
        read_weights(folder)
    assert "ran" not in capsys.readouterr().out


class Harmful:
    def __reduce__(self):
        return print, ("a program ran",)


PREFIXES = ("", "model.", "module.net.")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("entry", [None, "state_dict", "model_state_dict"])
def test_the_same_names_are_found_whatever_stands_before_them(tmp_path, prefix, entry):
    weights = {f"{prefix}{name}": value for name, value in unet(PLAIN).state_dict().items()}
    torch.save(weights if entry is None else {entry: weights, "epoch": 3}, tmp_path / "x.pt")
    mapping = mapped(read_weights(tmp_path / "x.pt"))
    assert mapping.share == 1
    assert mapping.rows[0].source.startswith(prefix)
    assert states(mapping, "encoder.1", "decoder") == {"taken"}
    assert "outputs in order: the source names none" in mapping.table()


def test_safetensors_and_names_of_nnunet(tmp_path):
    save_file(
        {name: value.clone() for name, value in to_nnunet_weights(unet(RESIDUAL)).items()},
        tmp_path / "x.safetensors",
    )
    mapping = mapped(read_weights(tmp_path / "x.safetensors"), RESIDUAL)
    assert mapping.share == 1
    row = next(row for row in mapping.rows if row.tensor == "encoder.1.0.first.conv.weight")
    assert row.source == "encoder.stages.1.blocks.0.conv1.conv.weight"
    (tmp_path / "bad.safetensors").write_bytes(b"weights")
    with pytest.raises(CheckpointError, match=r"bad\.safetensors is not a file of safetensors"):
        read_weights(tmp_path / "bad.safetensors")
    with pytest.raises(CheckpointError, match=r"no\.safetensors"):
        read_weights(tmp_path / "no.safetensors")


def test_a_checkpoint_of_nnunet_is_a_source_alone_and_in_its_folder(tmp_path):
    folder = saved("nnunet plain", tmp_path)
    file = folder / "fold_0" / "checkpoint_final.pth"
    assert read_weights(file).task.labels == TASK.labels
    alone = tmp_path / "alone.pth"
    alone.write_bytes(file.read_bytes())
    source = read_weights(alone)
    assert source.task is None
    assert mapped(source).share == 1


def test_folds_tell_who_trained_where_their_division_lies_beside_them(tmp_path):
    folder = saved("nnunet plain", tmp_path, folds=2)
    assert read_weights(folder).trained == ()
    splits = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    first, second, both = read_weights(folder), read_weights(folder / "fold_1"), read_weights(folder, "mean")
    assert [entry.cases for entry in first.trained] == [("a", "b")]
    assert (second.split.train, second.split.validation) == (("b", "c"), ("a",))
    assert [entry.cases for entry in both.trained] == [("a", "b"), ("b", "c")]
    assert both.split is None
    (folder / "splits_final.json").write_text(json.dumps(splits[:1]))
    with pytest.raises(CheckpointError, match=r"splits_final\.json does not tell who trained fold_1"):
        read_weights(folder / "fold_1")


@pytest.mark.parametrize(
    ("folders", "named", "folds", "trained"),
    [
        ({"fold_0": "fold_all", "fold_1": "copy"}, "", "first", ["abc"]),
        ({"fold_0": "fold_all", "fold_1": "copy"}, "", "mean", ["abc"]),
        ({"fold_0": "fold_all"}, "", "mean", ["bc"]),
        ({"fold_0": "fold_all"}, "fold_1", "first", ["bc"]),
        ({"fold_0": "fold_all"}, "fold_all", "first", ["abc"]),
        ({"fold_0/checkpoint_final.pth": "fold_0/checkpoint_best.pth"}, "", "first", ["bc"]),
        ({"fold_0/checkpoint_final.pth": "fold_0/checkpoint_best.pth"}, "", "mean", ["bc"]),
    ],
)
def test_who_trained_is_told_of_the_folds_that_are_read(tmp_path, folders, named, folds, trained):
    folder = saved("nnunet plain", tmp_path, folds=2)
    for before, after in folders.items():
        (folder / before).rename(folder / after)
    splits = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["b", "c"], "val": ["a"]}]
    (folder / "splits_final.json").write_text(json.dumps(splits))
    source = read_weights(folder / named, folds)
    assert ["".join(sorted(entry.cases)) for entry in source.trained] == trained


SPLITS = [{"train": ["a", "b"], "val": ["c", "d"]}, {"train": ["b", "c"], "val": ["a", "d"]}]


@pytest.mark.parametrize(
    ("imported", "named", "kept"),
    [
        (None, "", ("d",)),
        (["0"], "fold_0", ("c", "d")),
        (["1"], "fold_1", ("a", "d")),
        (["all"], "fold_all", ()),
    ],
)
@pytest.mark.parametrize("folds", ["first", "mean"])
def test_an_imported_model_tells_who_trained_as_its_folder_does(tmp_path, imported, named, kept, folds):
    folder = saved("nnunet plain", tmp_path, folds=2)
    shutil.copytree(folder / "fold_1", folder / "fold_all")
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    file = tmp_path / "model.ckpt"
    assert import_nnunet(folder, file, imported).validation == kept
    before, after = read_weights(folder / named, folds), read_weights(file, folds)
    assert before.trained
    assert (after.trained, after.split) == (before.trained, before.split)
    assert read(file).validation == kept  # what predict --only validation takes
    run = read_content(file)[OURS]["run"]
    trained = {name for entry in read_weights(file, "mean").trained for name in entry.cases}
    assert set(run["split"]["train"]) == trained  # what calibrate warns of


def test_an_imported_model_without_a_division_tells_nothing_of_who_trained(tmp_path):
    folder = saved("nnunet plain", tmp_path, folds=2)
    import_nnunet(folder, tmp_path / "model.ckpt")
    assert "run" not in read_content(tmp_path / "model.ckpt")[OURS]
    assert read(tmp_path / "model.ckpt").validation == ()
    (folder / "splits_final.json").write_text(json.dumps(SPLITS[:1]))
    with pytest.raises(CheckpointError, match=r"splits_final\.json does not tell who trained fold_0, fold_1"):
        import_nnunet(folder, tmp_path / "model.ckpt")


def test_a_run_without_its_last_checkpoint_names_what_it_has(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(CheckpointError, match=r"no checkpoints/last\.ckpt\. Name .*checkpoints/best\.ckpt"):
        read_weights(tmp_path / "run")


def renamed(plan=PLAIN):
    """Weights of which no name tells what it is, in the order of ours."""
    return {
        f"layer{n}.{name.rpartition('.')[2]}": v
        for n, (name, v) in enumerate(unet(plan).state_dict().items())
    }


def test_the_same_shapes_in_the_same_order_are_taken_and_told(tmp_path):
    torch.save(renamed(), tmp_path / "x.pt")
    mapping = mapped(read_weights(tmp_path / "x.pt"))
    assert mapping.share == 1
    assert any("by shape and order" in told for told in mapping.warnings)


@pytest.mark.parametrize("change", ["one fewer", "another shape", "weights for biases"])
def test_what_is_not_certain_is_refused_with_what_to_write(tmp_path, change):
    weights = renamed()
    first = next(iter(weights))
    if change == "one fewer":
        weights.pop(first)
    elif change == "another shape":
        weights[first] = weights[first][..., :1]
    else:
        weights = {name.replace(".bias", ".weight0"): value for name, value in weights.items()}
    torch.save(weights, tmp_path / "x.pt")
    with pytest.raises(
        UsageError, match=r"(?s)init_mapping=FILE\.yaml.*encoder\.0\.0\.conv\.weight \(4×2×1×3×3\)"
    ):
        mapped(read_weights(tmp_path / "x.pt"))


def test_a_mapping_says_which_is_which(tmp_path):
    torch.save(
        {name.replace("encoder.", "backbone.").replace("heads.0", "out"): value
         for name, value in unet(PLAIN).state_dict().items()},
        tmp_path / "x.pt",
    )  # fmt: skip
    file = tmp_path / "names of mine.yaml"
    file.write_text("encoder.0.*: null\nencoder.*.*.conv.*: backbone.*.*.conv.*\nheads.0.*: out.*\n")
    mapping = mapped(read_weights(tmp_path / "x.pt"), rules=read_names(file))
    assert states(mapping, "encoder.0", "decoder", "ups") == {"fresh"}
    assert states(mapping, "encoder.1.0.conv", "encoder.2.0.conv") == {"taken"}
    assert next(row.source for row in mapping.rows if row.tensor == "heads.0.bias") == "out.bias"
    assert not any("init_mapping" in line for line in mapping.warnings)


def test_a_tensor_that_several_start_from_is_told(tmp_path):
    torch.save({"a.bias": torch.zeros(4), "b.bias": torch.zeros(4)}, tmp_path / "x.pt")
    rules = {"encoder.0.0.conv.bias": "a.bias", "encoder.0.1.conv.bias": "a.bias"}
    (told,) = (
        line
        for line in mapped(read_weights(tmp_path / "x.pt"), rules=rules).warnings
        if "init_mapping" in line
    )
    assert "1 tensor of the source" in told
    assert "'a.bias' for encoder.0.0.conv.bias, encoder.0.1.conv.bias" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("encoders.*: backbone.*", r"'encoders\.\*: backbone\.\*' fits no pair"),
        ("encoder.*: backbones.*", "fits no pair"),
        ("encoder.*: '*.*'", "as many"),
        ("encoder.*: 3", "as many"),
        ("- a list", "should hold lines"),
        ("", "should hold lines"),
        ("{", "cannot be read"),
    ],
)
def test_a_mapping_that_says_nothing_is_refused(tmp_path, text, said):
    torch.save({"backbone.0.0.conv.weight": torch.zeros(4, 2, 1, 3, 3)}, tmp_path / "x.pt")
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(UsageError, match=said):
        mapped(read_weights(tmp_path / "x.pt"), rules=read_names(tmp_path / "m.yaml"))


def test_a_mapping_is_for_plain_weights_alone(tmp_path):
    source = read_weights(saved("ours", tmp_path))
    with pytest.raises(UsageError, match="tells that itself"):
        mapped(source, rules={"encoder.*": "encoder.*"})


@pytest.mark.parametrize(
    ("shape", "state"),
    [((4, 2, 3, 3), "taken"), ((4, 2, 5, 5), "adapted"), ((4, 2, 2, 2), "fresh"), ((4,), "fresh")],
)
def test_kernels_of_plain_weights_are_made_to_fit(tmp_path, shape, state):
    torch.save({"a.weight": torch.randn(shape)}, tmp_path / "x.pt")
    mapping = mapped(read_weights(tmp_path / "x.pt"), rules={"encoder.0.0.conv.weight": "a.weight"})
    row = next(row for row in mapping.rows if row.tensor == "encoder.0.0.conv.weight")
    assert row.state == ("adapted" if state == "taken" else state)  # two channels without names: told
    assert row.how


def test_a_network_of_another_package_takes_plain_weights(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv3d(2, 3, 1), torch.nn.Conv3d(3, 3, 1))
    torch.save({f"network.{name}": value for name, value in network.state_dict().items()}, tmp_path / "x.pt")
    mapping = map_weights(network, read_weights(tmp_path / "x.pt"), TASK)
    assert mapping.share == 1


def test_tensors_that_are_no_weights_are_refused(tmp_path):
    torch.save({"step": torch.tensor(3)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt holds no weights"):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("side", ["here", "there"])
def test_labels_of_one_name_with_two_meanings_are_refused(tmp_path, side):
    twins = Task(TASK.channels, {"background": 0, "organ": 1, "Organ ": 2}, name="twins")
    source = read_weights(saved("ours", tmp_path, task=twins if side == "there" else TASK))
    with pytest.raises(ValueError, match=r"'organ' and 'Organ ' of .*one name with two meanings"):
        mapped(source, task=twins if side == "here" else TASK)


@pytest.mark.parametrize(
    ("labels", "name", "told"),
    [
        ({"background": 0, "organ": 1, "lesion": 2}, "Dataset001_two", False),
        ({"background": 0, "organ": 2, "lesion": 1}, "Dataset002_other", False),
        ({"background": 0, "organ": 2, "lesion": 1}, "Dataset001_two", True),
        ({"background": 0, "organ": (1, 2), "lesion": 2}, "Dataset002_other", True),
    ],
)
def test_a_name_that_other_integers_have_is_told(tmp_path, labels, name, told):
    task = Task(TASK.channels, labels, regions_class_order=(1, 2), name=name)
    source = read_weights(saved("ours", tmp_path))
    plan = replace(PLAIN, outputs=task.outputs)
    found = map_weights(UNet(2, task.outputs, plan.widths, plan.strides, plan.kernels, plan.blocks,
                             plan.decoder_blocks), source, task)  # fmt: skip
    assert any("one name with two meanings?" in line for line in found.warnings) == told


@pytest.mark.parametrize(("labels", "told"), [({"Organ": 1, "x": 2}, False), ({"kidney": 1, "x": 2}, True)])
def test_a_source_of_another_task_is_told(tmp_path, labels, told):
    task = Task(TASK.channels, {"background": 0, **labels})
    found = mapped(read_weights(saved("ours", tmp_path)), task=task)
    assert (
        any("trained for organ, lesion, none of which is a label here" in one for one in found.warnings)
        == told
    )


@pytest.mark.parametrize(
    ("channels", "labels", "told"),
    [
        (("CT", "MR"), ("organ", "lesion"), []),
        (("ct ", "MR"), (" Organ", "LESION"), []),
        (("CT", "MR"), ("or gan", "lesion"), ["Label 'or gan' is 'organ'"]),
        (("CT", "MR"), ("organ", "le-sion"), ["Label 'le-sion' is 'lesion'"]),
        (("C.T.", "MR"), ("organ", "lesion"), ["Channel 'C.T.' is 'CT'"]),
        (("T1", "T2"), ("organ", "lesion"), [r"channels of .* are CT, MR, none of which is here \(T1, T2\)"]),
        (("CT", "T2"), ("organ", "lesions"), []),
    ],
)
def test_names_that_nearly_agree_are_told(tmp_path, channels, labels, told):
    task = Task(channels, {"background": 0, labels[0]: 1, labels[1]: 2}, name="Dataset002_other")
    found = mapped(read_weights(saved("ours", tmp_path)), task=task).warnings
    assert len(found) == len(told)
    assert all(re.search(words, line) for words, line in zip(told, found, strict=True))


def test_other_sources_are_told_by_their_kind(tmp_path):
    assert read_weights(saved(NNSSL, tmp_path)).missing == "the source is an encoder alone"
