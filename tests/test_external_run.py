"""Networks of other packages by configuration: planned for, trained, and used only where they are trusted."""

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from runs import composed

import ingradient_pl as ip
from ingradient_pl.cli.train_config import train
from ingradient_pl.inference import checkpoint
from ingradient_pl.inference.checkpoint import CheckpointError

MINE = """\
_target_: ingradient_pl.networks.external.external_network
target: somebodys.Net
arguments: {channels: "${plan.channels}", outputs: "${plan.outputs}", width: 3}
"""


@pytest.fixture(autouse=True)
def _forget_hydra():
    yield
    HydraConfig.instance().cfg = None


@pytest.fixture
def mine(tmp_path):
    """A user's file for a network of somebody else's."""
    file = tmp_path / "conf" / "network" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(MINE)
    return file


def small(quick, file, patch):
    """The quick run with the plan that was made, but a small patch."""
    plan = {**yaml.safe_load(file.read_text()), "patch": patch, "batch_size": 2}
    plan["strides"] = [[1, 1, 1]] * len(plan["strides"])
    file.write_text(yaml.safe_dump(plan))
    kept = [entry for entry in quick if not entry.startswith(("plan=", "epochs="))]
    return [*kept, f"plan={file}", "epochs=1"]


@pytest.mark.slow
def test_a_network_of_somebody_else_is_planned_for_trained_and_used_where_trusted(
    quick, mine, phantom_store, raw_phantoms, tmp_path, capsys
):
    file = tmp_path / "plan.yaml"
    ip.plan(str(phantom_store), str(file), network=str(mine), multiple=4, memory_gb=3)
    assert (
        f"hydra.searchpath=[file://{mine.parents[1]}] network@module.network=mine" in capsys.readouterr().out
    )
    plan = yaml.safe_load(file.read_text())
    notes = plan["notes"]
    assert notes["network"] == str(mine)
    assert notes["memory_judged_by"].startswith("tracing")
    assert notes["weights"] == 27 * 3 + 3 + 2 * 3 + 3 * 3 + 3
    assert all(size % 4 == 0 for size in plan["patch"])
    searched = f"hydra.searchpath=[file://{mine.parents[1]}]"
    overrides = [*small(quick, file, [8, 12, 16]), searched, "network@module.network=mine"]
    train(composed(overrides, tmp_path))
    written = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(
        CheckpointError, match=r"'somebodys.Net' is not in a trusted package.*name the package"
    ):
        checkpoint.read(written)
    images, output = raw_phantoms / "imagesTr", tmp_path / "out"
    ip.predict(str(written), str(images), str(output), mirror=False, device="cpu", trust=["somebodys"])
    assert len(list(output.glob("*.nii.gz"))) == 6
    capsys.readouterr()


def test_a_network_that_needs_more_than_a_planner_knows_is_named(phantom_store, mine, tmp_path):
    mine.write_text(MINE.replace("width: 3", 'width: "${plan.widths}"'))
    with pytest.raises(ValueError, match=r"mine.yaml cannot be planned for.*depend on plan.channels"):
        ip.plan(str(phantom_store), str(tmp_path / "plan.yaml"), network=str(mine))
    with pytest.raises(FileNotFoundError, match=r"no network 'other'.*external"):
        ip.plan(str(phantom_store), str(tmp_path / "plan.yaml"), network="other")


def test_monais_network_is_planned_for_trained_and_used_where_trusted(
    quick, phantom_store, raw_phantoms, tmp_path, capsys
):
    pytest.importorskip("monai", reason="MONAI is an optional extra")
    file = tmp_path / "plan.yaml"
    ip.plan(str(phantom_store), str(file), network="external", multiple=8)
    assert "network@module.network=external" in capsys.readouterr().out
    overrides = [*small(quick, file, [16, 16, 16]), "network@module.network=external"]
    train(composed([*overrides, "module.network.arguments.init_filters=8"], tmp_path))
    written = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(CheckpointError, match=r"'monai\.networks\.nets\.SegResNet' is not in a trusted"):
        checkpoint.read(written)
    images, output = raw_phantoms / "imagesTr", tmp_path / "out"
    ip.predict(str(written), str(images), str(output), mirror=False, device="cpu", trust=["monai"])
    assert len(list(output.glob("*.nii.gz"))) == 6
    capsys.readouterr()
