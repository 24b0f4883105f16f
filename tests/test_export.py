"""An exported network gives the logits of the one it was made from, to programs that know nothing of ours."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from ingradient_pl.cli.main import main
from ingradient_pl.inference import checkpoint as checkpoints
from ingradient_pl.inference.checkpoint import Model
from ingradient_pl.inference.export import ExportError, export_model, largest_difference, open_exported
from ingradient_pl.inference.forward import finest
from ingradient_pl.networks.unet import UNet
from ingradient_pl.planning.plan import Plan
from ingradient_pl.spec import build
from ingradient_pl.task import Task

PATCH = (8, 16, 16)
TASK = Task(("MR",), {"background": 0, "organ": 1, "lesion": 2})
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))


def unet(seed=0, *, residual=False):
    torch.manual_seed(seed)
    return UNet(
        1, 3, (4, 6, 8), STRIDES, ((1, 3, 3), (3, 3, 3), (3, 3, 3)), (1, 2, 2), (1, 1), residual=residual
    )


def model(*networks):
    plan = Plan(
        channels=1,
        outputs=3,
        spacing=(2.0, 1.0, 1.0),
        patch=PATCH,
        batch_size=2,
        widths=(4, 6, 8),
        strides=STRIDES,
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        blocks=(1, 2, 2),
        decoder_blocks=(1, 1),
        normalisation=(build({"_target_": "ingradient_pl.transforms.normalise.ZScore"}),),
    )
    return Model([network.eval() for network in networks], plan, TASK, "test", (0, 1, 2))


def needs_onnx():
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"the extra 'export' is not installed ({package})")


@pytest.mark.slow
def test_both_stages_of_a_cascade_are_written(tmp_path):
    first = model(unet())
    plan = replace(first.plan, previous_stage="3d_lowres")
    torch.manual_seed(1)
    blocks = ((1, 3, 3), (3, 3, 3), (3, 3, 3)), (1, 2, 2), (1, 1)
    second = UNet(3, 3, (4, 6, 8), STRIDES, *blocks).eval()  # the image, and a channel for each label
    cascade = Model([second], plan, TASK, "second", (0, 1, 2)).after(first)
    written = export_model(cascade, tmp_path, "torch")
    assert largest_difference(cascade, written) < 1e-4
    described = json.loads(written.description.read_text())["input"]
    assert described["shape"] == ["batch", 3, *PATCH]
    assert described["meaning"] == ["MR", "1 where first_stage says 1", "1 where first_stage says 2"]
    assert (tmp_path / "first_stage" / "network_0.pt2").exists()


@pytest.mark.slow
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_an_exported_network_gives_the_same_logits_at_any_batch(tmp_path, form, residual):
    if form == "onnx":
        needs_onnx()
    made = model(unet(residual=residual))
    written = export_model(made, tmp_path / "out", form)
    for batch in (1, 2, 3):
        image = torch.randn(batch, 1, *PATCH, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            torch.testing.assert_close(
                open_exported(written.files[0])(image), finest(made.networks[0], image), atol=1e-4, rtol=0
            )
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        [written.files[0].name, "model.json"]
    )


@pytest.mark.slow
def test_each_fold_is_a_file_and_the_plan_lies_beside(tmp_path):
    made = model(unet(0), unet(1))
    written = export_model(made, tmp_path, "torch")
    assert [file.name for file in written.files] == ["network_0.pt2", "network_1.pt2"]
    assert largest_difference(made, written) < 1e-4
    assert largest_difference(made, written._replace(files=written.files[::-1])) > 1e-2
    told = json.loads(written.description.read_text())
    assert told["input"]["shape"] == ["batch", 1, *PATCH]
    assert told["output"]["meaning"] == ["background", "organ", "lesion"]
    assert told["task"] == json.loads(json.dumps(TASK.described))
    assert told["plan"]["spacing"] == [2.0, 1.0, 1.0]


@pytest.mark.slow
def test_the_network_itself_stays_as_it_was(tmp_path):
    made = model(unet())
    before = {name: value.clone() for name, value in made.networks[0].state_dict().items()}
    export_model(made, tmp_path, "torch")
    assert made.networks[0].channels_last is None
    assert all(value.equal(before[name]) for name, value in made.networks[0].state_dict().items())


def test_a_network_that_cannot_be_traced_is_named_and_leaves_nothing(tmp_path):
    class Moody(nn.Module):
        def forward(self, image):
            return image if image.sum() > 0 else -image

    with pytest.raises(ExportError, match=r"network of test cannot be traced"):
        export_model(model(Moody()), tmp_path, "torch")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match=r"not a form of export: take one of torch, onnx"):
        export_model(model(unet()), tmp_path, "tensorflow")


@pytest.mark.slow
def test_a_missing_package_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    monkeypatch.setitem(__import__("sys").modules, "onnx", __import__("json"))
    with pytest.raises(ExportError, match=r"onnxscript.*ingradient_pl\[export\]"):
        export_model(model(unet()), tmp_path, "onnx")


@pytest.mark.slow
def test_the_command_writes_files_and_says_how_near_they_are(monkeypatch, capsys, tmp_path):
    made = model(unet())
    checkpoints.write(tmp_path / "model.ckpt", made.networks, made.plan, made.task)
    line = ["--checkpoint", tmp_path / "model.ckpt", "--output", tmp_path / "out", "--format", "torch"]
    monkeypatch.setattr("sys.argv", ["ingradient", "export", *map(str, line)])
    main()
    assert "network_0.pt2" in (said := capsys.readouterr().out)
    assert "differ from the network's by at most" in said
