"""Models of several plans in one checkpoint: probabilities averaged, post-processing brought along."""

import numpy as np
import pytest
from tiny_models import TASK, network, plan

from ingradient_pl.commands.load import load
from ingradient_pl.commands.predict import predict
from ingradient_pl.finetuning.source import read_weights
from ingradient_pl.images import formats
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.average import decode_average
from ingradient_pl.inference.export import ExportError, export_model
from ingradient_pl.inference.model import Model, combine
from ingradient_pl.inference.postprocess import LargestComponent, PostprocessError, SmallestSize, Steps
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.inference.probabilities import read_maps
from ingradient_pl.inference.to_native import LabelDecoder
from ingradient_pl.nnunet.export import ExportError as NnunetExportError
from ingradient_pl.nnunet.export import export_nnunet
from ingradient_pl.task import Task

REGIONS = Task(("MR",), {"background": 0, "whole": (1, 2), "core": (2,)}, regions_class_order=(1, 2))
STEPS = Steps((LargestComponent(together=True), SmallestSize(voxels=3)))
SPACING = (2.0, 1.0, 1.0)


def model(seed, task=TASK, **changes):
    outputs = task.outputs
    made = plan(outputs=outputs, regions=task.regions, **changes)
    return Model(
        [network(seed, outputs=outputs, **changes)], made, task, f"seed {seed}", (2,), ("a", f"{seed}")
    )


def image(seed=0, shape=(6, 9, 10)):
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


def by_hand(models, case, task):
    """The mean of each model's own maps, in half precision as they are kept, and what it says."""
    maps = []
    for one in models:
        maps.append(np.zeros((task.outputs, *case.shape[1:]), np.float16))
        Predictor(one).predict(case, SPACING, maps[-1])
    mean = np.mean([found.astype(np.float32) for found in maps], axis=0)
    if not task.has_regions:
        return mean, mean.argmax(0)
    label = np.zeros(mean.shape[1:], np.uint8)
    for output, written in zip(mean, task.regions_class_order, strict=True):
        label[output > 0.5] = written
    return mean, label


@pytest.mark.parametrize("task", [TASK, REGIONS], ids=["labels", "regions"])
def test_a_file_of_several_plans_predicts_their_average(task, tmp_path):
    models = [model(1, task), model(2, task, spacing=(3.0, 1.5, 1.5), patch=(4, 8, 8)), model(3, task)]
    case = image()
    mean, label = by_hand(models, case, task)
    file = tmp_path / "model.ckpt"
    checkpoint.write_model(file, combine(models))
    predictor = load(tmp_path, device="cpu")  # a folder with model.ckpt, as a cross-validation leaves it
    kept = np.zeros_like(mean)
    np.testing.assert_array_equal(predictor.predict(case, SPACING, kept), label)
    np.testing.assert_array_equal(kept, mean)
    assert predictor.model.validation == ("a",)

    checkpoint.write_model(file, combine(models, STEPS))
    again = load(file, device="cpu")
    assert again.model.postprocess == STEPS
    np.testing.assert_array_equal(again.predict(case, SPACING), STEPS(label.astype(np.uint8), SPACING))


@pytest.mark.parametrize("count", [1, 2])
def test_averaging_in_blocks_is_averaging(count, monkeypatch):
    monkeypatch.setattr("ingradient_pl.inference.average.BLOCK_VOXELS", 40)
    rng = np.random.default_rng(0)
    maps = [rng.random((3, 7, 5, 4)).astype(np.float16) for _ in range(count)]
    mean = np.mean([one.astype(np.float32) for one in maps], axis=0)
    found = decode_average(maps, LabelDecoder((0, 4, 9), regions=False), maps[0])
    np.testing.assert_array_equal(found, np.array([0, 4, 9])[mean.argmax(0)])
    np.testing.assert_array_equal(maps[0], mean.astype(np.float16))
    with pytest.raises(ValueError, match="Maps of one shape"):
        decode_average([*maps, maps[0][:, 1:]], LabelDecoder((0, 4, 9), regions=False))


def test_only_models_of_one_task_are_averaged(tmp_path):
    other = Task(("CT",), TASK.labels)
    with pytest.raises(checkpoint.CheckpointError, match="channels"):
        combine([model(1), model(2, other)])
    checkpoint.write_model(tmp_path / "pair.ckpt", combine([model(1), model(2)]))
    checkpoint.write_model(tmp_path / "one.ckpt", model(3))
    with pytest.raises(checkpoint.CheckpointError, match="predict with it alone"):
        checkpoint.read([tmp_path / "one.ckpt", tmp_path / "pair.ckpt"])


def test_what_takes_one_plan_refuses_several(tmp_path):
    pair = combine([model(1), model(2)])
    file = tmp_path / "pair.ckpt"
    checkpoint.write_model(file, pair)
    with pytest.raises(ExportError, match="2 plans"):
        export_model(pair, tmp_path / "out")
    with pytest.raises(NnunetExportError, match="several plans"):
        export_nnunet(pair, tmp_path / "nnunet")
    with pytest.raises(checkpoint.CheckpointError, match="one of the runs"):
        read_weights(file)


def test_earlier_versions_read_what_they_understand_and_refuse_the_rest(tmp_path):
    for found, number in [(model(1), 1), (combine([model(1)], STEPS), 2), (combine([model(1), model(2)]), 2)]:
        checkpoint.write_model(tmp_path / "a.ckpt", found)
        assert checkpoint.read_content(tmp_path / "a.ckpt")["ingradient"]["format"] == number


def test_steps_in_a_checkpoint_are_ours_or_trusted(tmp_path):
    content = checkpoint.describe_stage(combine([model(1)], STEPS))
    content["ingradient"]["postprocess"] = [{"_target_": "os.system", "command": "true"}]
    checkpoint.write_content(tmp_path / "a.ckpt", content)
    with pytest.raises((PostprocessError, checkpoint.CheckpointError), match="os"):
        checkpoint.read(tmp_path / "a.ckpt")


def test_the_command_says_what_it_applies_and_takes_another_list(tmp_path, capsys):
    case = tmp_path / "images"
    case.mkdir()
    frame = np.diag([1.0, 1.0, 2.0, 1.0])
    import nibabel

    nibabel.save(nibabel.Nifti1Image(image()[0].T, frame), case / "x_0000.nii.gz")
    checkpoint.write_model(tmp_path / "model.ckpt", combine([model(1), model(2)], STEPS))
    (tmp_path / "none.yaml").write_text("[]\n")
    for name, options in {"own": {}, "none": {"postprocess": tmp_path / "none.yaml"}}.items():
        predict(
            tmp_path / "model.ckpt", case, tmp_path / name, device="cpu", save_probabilities=True, **options
        )
    said = capsys.readouterr().out
    assert said.count("Post-processing that the checkpoint brings: LargestComponent") == 1
    own, none = (formats.read_label(tmp_path / name / "x.nii.gz") for name in ("own", "none"))
    np.testing.assert_array_equal(STEPS(none.voxels[0], SPACING), own.voxels[0])
    maps = own.source.turn.apply(read_maps(tmp_path / "none" / "x.npz"))
    chosen = np.take_along_axis(maps, none.voxels.astype(np.int64), 0)[0]
    np.testing.assert_allclose(chosen, maps.max(0), atol=1e-3)  # the average is kept in half precision


def test_a_file_of_maps_that_was_cut_short_is_named(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"x\.npz does not hold maps"):
        read_maps(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", probabilities=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"y\.npz does not hold maps"):
        read_maps(tmp_path / "y.npz")
