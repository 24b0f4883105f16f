"""A model that nnU-Net trained gives nnU-Net's answers here, and its pickle is never run."""

import collections
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import outcome
from tiny_models import TASK, network, plan

from ingradient_pl.commands.model_output import CALIBRATED, check_model_output
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.images.formats import read_label, read_volume
from ingradient_pl.inference.answer_files import OutputError
from ingradient_pl.inference.checkpoint import CheckpointError, Model, read, write
from ingradient_pl.inference.checkpoint_file import OURS, read_content, write_content
from ingradient_pl.inference.forward import finest
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.nnunet.checkpoint import read_checkpoint
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.nnunet.model import IMPORTED, import_nnunet, read_nnunet
from ingradient_pl.nnunet.weights import nnunet_names
from ingradient_pl.planning.constructors import unet
from ingradient_pl.planning.plan_yaml import read_plan
from ingradient_pl.store.build import build_store
from ingradient_pl.store.case_store import CaseStore

LOGITS = json.loads((Path(__file__).parent / "expected" / "nnunet_logits.json").read_text())
RESAMPLING = {
    f"resampling_fn_{kind}{suffix}": value
    for kind, order in (("data", 3), ("seg", 1), ("probabilities", 1))
    for suffix, value in (
        ("", "resample_data_or_seg_to_shape"),
        ("_kwargs", {"is_seg": kind == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
    )
}


def plans(**changes):
    made = plan()
    configuration = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(made.patch),
        "median_image_size_in_voxels": [9.0, 9.0, 9.0],
        "spacing": list(made.spacing),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 2,
                "features_per_stage": list(made.widths),
                "kernel_sizes": [list(kernel) for kernel in made.kernels],
                "strides": [list(stride) for stride in made.strides],
                "n_conv_per_stage": list(made.blocks),
                "n_conv_per_stage_decoder": list(made.decoder_blocks),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "dropout_op": None,
                "nonlin": "torch.nn.LeakyReLU",
            },
        },
        **RESAMPLING,
        **changes,
    }
    return {
        "dataset_name": "Dataset001_Made",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {},
    }


def content(seed=0, **changes):
    ours = network(seed)
    weights = collections.OrderedDict(
        (theirs, ours.state_dict()[name]) for name, theirs in nnunet_names(ours)
    )
    weights["decoder.encoder.stages.0.0.convs.0.conv.weight"] = next(iter(weights.values()))  # stored twice
    return {
        "network_weights": weights,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.25)], "lrs": np.zeros(3)},
        "_best_ema": np.float64(0.5),
        "current_epoch": 3,
        "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cuda"), "plans": {}},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
        **changes,
    }


@pytest.fixture
def folder(tmp_path):
    model = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (model / "fold_0").mkdir(parents=True)
    (model / "plans.json").write_text(json.dumps(plans()))
    (model / "dataset.json").write_text(
        json.dumps(
            {"channel_names": {"0": "MR"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nrrd"}
        )
    )
    torch.save(content(), model / "fold_0" / "checkpoint_final.pth")
    return model


def test_an_imported_model_computes_what_it_computed_before(folder, tmp_path):
    import_nnunet(folder, tmp_path / "model.ckpt")
    model = read(tmp_path / "model.ckpt")
    image = torch.randn(1, 1, 8, 8, 8)
    torch.testing.assert_close(model.networks[0](image)[0], network()(image)[0])
    assert model.plan.patch == plan().patch
    assert model.plan.orientation == "stored"
    assert model.task.labels == {"background": 0, "organ": 1}
    assert model.mirror == (0, 1, 2)


def test_a_model_is_imported_over_one_that_was_imported_and_over_no_other(
    folder, tmp_path, monkeypatch, capsys
):
    line = ("import-nnunet", "--model", folder, "--output")
    for _ in range(2):
        code, _, err = outcome(monkeypatch, capsys, *line, tmp_path / "model.ckpt")
        assert code == 0, err
    write(tmp_path / "own.ckpt", network(), plan(), TASK)
    before = (tmp_path / "own.ckpt").read_bytes()
    code, _, err = outcome(monkeypatch, capsys, *line, tmp_path / "own.ckpt")
    assert code == 2
    assert "not a model that was imported" in err
    assert (tmp_path / "own.ckpt").read_bytes() == before


def test_a_model_that_was_imported_and_then_calibrated_is_no_imported_one(folder, tmp_path):
    """Calibrating keeps what the import told, and takes minutes: an import must not undo it unasked."""
    file = tmp_path / "model.ckpt"
    import_nnunet(folder, file)
    check_model_output(file, IMPORTED)
    with pytest.raises(OutputError, match="is not a model that was calibrated"):
        check_model_output(file, CALIBRATED)
    told = dict(read_content(file))
    write_content(file, {**told, OURS: {**told[OURS], CALIBRATED: "0"}})
    check_model_output(file, CALIBRATED)
    with pytest.raises(OutputError, match="was calibrated since"):
        check_model_output(file, IMPORTED)


def test_all_folds_come_along_or_those_named(folder, tmp_path):
    (folder / "fold_1").mkdir()
    torch.save(content(seed=1), folder / "fold_1" / "checkpoint_final.pth")
    (folder / "fold_2").mkdir()  # not trained to its end
    assert len(import_nnunet(folder, tmp_path / "both.ckpt").networks) == 2
    assert len(read(tmp_path / "both.ckpt").networks) == 2
    one = import_nnunet(folder, tmp_path / "one.ckpt", folds=["1"])
    torch.testing.assert_close(next(one.networks[0].parameters()), next(network(1).parameters()))
    with pytest.raises(CheckpointError, match=r"no checkpoint .*fold_2.*trained to its end"):
        import_nnunet(folder, tmp_path / "no.ckpt", folds=["2"])


def test_a_model_of_all_cases_is_not_averaged_with_folds(folder, tmp_path):
    (folder / "fold_all").mkdir()
    torch.save(content(seed=1), folder / "fold_all" / "checkpoint_final.pth")
    model = read_nnunet(folder)
    assert len(model.networks) == 1
    torch.testing.assert_close(next(model.networks[0].parameters()), next(network(0).parameters()))
    shutil.rmtree(folder / "fold_0")
    alone = read_nnunet(folder)
    torch.testing.assert_close(next(alone.networks[0].parameters()), next(network(1).parameters()))


class Harmful:
    def __reduce__(self):
        return print, ("a program ran",)


class Sneaky:
    def __reduce__(self):
        return getattr, (torch.Tensor, "numpy")


@pytest.mark.parametrize("thing", [Harmful(), Sneaky(), np.array([Harmful()], dtype=object)], ids=type)
def test_a_pickle_that_asks_for_more_is_refused_and_not_run(folder, thing, capsys):
    torch.save(content(logging=thing), folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(CheckpointError, match=r"it asks for .*not run"):
        read_nnunet(folder)
    assert "a program ran" not in capsys.readouterr().out


def test_weights_are_read_as_torch_reads_them_whatever_their_type(tmp_path):
    weights = {
        "half": torch.randn(3, 4).half(),
        "turned": torch.randn(4, 5).T,
        "part": torch.arange(20).reshape(4, 5)[1:3, 2:],
        "brain": torch.randn(2, 2).bfloat16(),
    }
    torch.save(content(network_weights=weights), tmp_path / "x.pth")
    found = read_checkpoint(tmp_path / "x.pth").weights
    for name, expected in weights.items():
        torch.testing.assert_close(found[name], expected)


def test_what_is_no_model_folder_is_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match=r"no plans.json"):
        read_nnunet(tmp_path)
    checkpoint = folder / "fold_0" / "checkpoint_final.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cut short"):
        read_nnunet(folder)
    torch.save({"state_dict": {}}, checkpoint)
    with pytest.raises(CheckpointError, match="not a checkpoint of nnU-Net"):
        read_nnunet(folder)
    checkpoint.rename(checkpoint.with_name("checkpoint_best.pth"))
    with pytest.raises(
        CheckpointError, match=r"checkpoint_final.pth: there is fold_0/checkpoint_best.pth. Name"
    ):
        read_nnunet(folder)
    with pytest.raises(
        CheckpointError, match="trained to its end\\? Name one that lies beside it: checkpoint_b"
    ):
        read_nnunet(folder, ["0"])
    checkpoint.with_name("checkpoint_best.pth").unlink()
    with pytest.raises(CheckpointError, match=r"no fold with a checkpoint_final.pth: was it copied whole"):
        read_nnunet(folder)


@pytest.mark.parametrize("named", ["model", "model/fold_0", ".", "model/fold_0/model_final_checkpoint.model"])
def test_a_model_of_nnunet_1_is_refused_by_name(tmp_path, named):
    (tmp_path / "model" / "fold_0").mkdir(parents=True)
    (tmp_path / "model" / "plans.pkl").write_bytes(b"never opened")
    (tmp_path / "model" / "fold_0" / "model_final_checkpoint.model").write_bytes(b"never opened")
    place = tmp_path / named
    for read_it in (read_weights, read_nnunet) if place.is_dir() else (read_weights,):
        with pytest.raises(CheckpointError, match=r"holds a model of nnU-Net 1 \(plans.pkl"):
            read_it(place)


BLOCKS = {"M": [1, 3, 4, 6, 6, 6], "L": [1, 3, 4, 6, 6, 6], "XL": [1, 3, 4, 6, 6, 6, 6]}


@pytest.mark.parametrize("size", BLOCKS)
def test_models_of_the_presets_of_residual_encoders_are_brought_along(tmp_path, size):
    """As nnU-Net names planner and plans of a preset; the network is as deep, and narrow."""
    blocks = BLOCKS[size]
    stages = len(blocks)
    shape = {"widths": (2,) * stages, "strides": ((1, 1, 1), *((2, 2, 2),) * (stages - 1))}
    shape |= {
        "kernels": ((3, 3, 3),) * stages,
        "blocks": tuple(blocks),
        "decoder_blocks": (1,) * (stages - 1),
    }
    made = plan(patch=(2 ** (stages - 1),) * 3, residual=True, orientation="stored", **shape)
    ours = unet(made)
    export_nnunet(Model([ours], made, TASK, "x", ()), tmp_path / "model")
    told = json.loads((tmp_path / "model" / "plans.json").read_text())
    told |= {
        "plans_name": f"nnUNetResEncUNet{size}Plans",
        "experiment_planner_used": f"nnUNetPlannerResEnc{size}",
    }
    (tmp_path / "model" / "plans.json").write_text(json.dumps(told))
    found = read_nnunet(tmp_path / "model")
    assert found.plan.residual
    assert found.plan.blocks == tuple(blocks)
    held = found.networks[0].state_dict()
    assert all(torch.equal(weight, ours.state_dict()[name]) for name, weight in held.items())


def test_a_label_to_ignore_comes_along_and_is_no_output(folder):
    labels = {"background": 0, "organ": 1, "ignore": 2}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MR"}, "labels": labels}))
    found = read_nnunet(folder)
    assert (found.task.ignore, found.task.outputs, found.plan.outputs) == (2, 2, 2)


def test_weights_of_another_plan_are_refused(folder):
    changed = plans()
    changed["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 16]
    (folder / "plans.json").write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match="shape"):
        read_nnunet(folder)


def test_half_a_cascade_is_refused_with_a_way_out(folder, tmp_path):
    """Without its first stage, after the wrong one, and where there is no first stage to have."""
    with pytest.raises(CheckpointError, match=r"no second stage of a cascade: leave out"):
        read_nnunet(folder, previous=folder)
    other = shutil.copytree(folder, tmp_path / "other")
    (folder / "plans.json").write_text(json.dumps(plans(previous_stage="3d_lowres")))
    content = torch.load(folder / "fold_0" / "checkpoint_final.pth", weights_only=False)
    first = "encoder.stages.0.0.convs.0.conv.weight"
    for name in [
        name for name in content["network_weights"] if name.endswith(first.removeprefix("encoder."))
    ]:
        one = content["network_weights"][name]
        content["network_weights"][name] = torch.cat([one, one], dim=1)
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(CheckpointError, match=r"also needs the model of '3d_lowres'.*--previous DIR"):
        read_nnunet(folder)
    with pytest.raises(CheckpointError, match=r"after '3d_lowres', but .*other is '3d_fullres'"):
        read_nnunet(folder, previous=other)


@pytest.mark.real
@pytest.mark.slow
def test_real_cases_get_nnunets_own_answers(hippocampus, reference_model):
    model = read_nnunet(reference_model)
    predictor = Predictor(model)
    equal = voxels = 0
    for name in ("hippocampus_102", "hippocampus_316", "hippocampus_393"):
        volume = read_volume([hippocampus / "imagesTr" / f"{name}_0000.nii.gz"], model.plan.orientation)
        found = predictor.predict(volume.voxels, volume.frame.spacing)
        theirs = read_label(reference_model / "fold_0" / "validation" / f"{name}.nii.gz", "stored").voxels[0]
        equal, voxels = equal + int((found == theirs).sum()), voxels + theirs.size
    assert equal / voxels >= 0.9999


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("precision", "most"),
    # logits of 25 in single precision: nnU-Net's own lie 2.4e-5 from exact ones, so 1e-5 is of the largest
    [("single", 1e-5 * LOGITS["largest"]), ("double", 1e-12 * LOGITS["largest"])],
)
def test_logits_of_an_imported_model_are_nnunets(reference_model, precision, most):
    dtype = {"single": torch.float32, "double": torch.float64}[precision]
    network = read_nnunet(reference_model).networks[0].to(dtype)
    patch = np.random.default_rng(LOGITS["seed"]).standard_normal((1, 1, *LOGITS["patch"]))
    with torch.inference_mode():
        found = finest(network, torch.from_numpy(patch.astype(np.float32)).to(dtype))
    theirs = torch.tensor(LOGITS[precision], dtype=dtype)
    assert (found.flatten()[:: LOGITS["every"]] - theirs).abs().max() <= most


@pytest.mark.slow
def test_a_plan_of_nnunets_is_taken_over_and_trains(monkeypatch, capsys, tmp_path, raw_phantoms):
    monkeypatch.chdir(tmp_path)
    build_store(read_source(raw_phantoms), tmp_path / "store", orientation="stored")
    written = plans()
    outputs = CaseStore(tmp_path / "store").task.outputs
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(written))
    (name,) = written["configurations"]
    line = ["--store", "store", "--nnunet_plans", "nnUNetPlans.json", "--configuration", name]
    code, _, err = outcome(monkeypatch, capsys, "plan", *line)
    assert code == 0, err
    found = read_plan(tmp_path / "plan.yaml")
    assert (found.orientation, found.outputs, found.widths) == ("stored", outputs, plan().widths)
    quick = ["trainer=cpu", "epochs=1", "batches_per_epoch=1", "data.workers=0", "hydra.run.dir=run"]
    quick.append("trainer.log_every_n_steps=1")
    code, _, err = outcome(monkeypatch, capsys, "train", "store=store", "plan=plan.yaml", *quick)
    assert code == 0, err
    code, _, err = outcome(monkeypatch, capsys, "plan", *line[:-1], "3d_other")
    assert code == 1
    assert "3d_other" in err
    code, _, err = outcome(monkeypatch, capsys, "plan", *line, "--spacing", "[3,1,1]")
    assert code == 2
    assert "plan.spacing=" in err
