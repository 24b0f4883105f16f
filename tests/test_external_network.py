"""Networks of others: by their dotted name, as a pyramid, and never built from a checkpoint unasked."""

import json
import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ingradient_pl import spec
from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.external import ExternalNetwork, external_network, freeze_unused

SHAPE = (2, 1, 8, 8, 8)


class Net(nn.Module):
    """A network that gives three levels in any form."""

    def __init__(self, form: str, axes: int = 3) -> None:
        super().__init__()
        self.form, self.head = form, (nn.Conv3d if axes == 3 else nn.Conv2d)(1, 3, 1)

    def forward(self, image):
        mode = "trilinear" if image.ndim == 5 else "bilinear"
        fine = self.head(image)
        coarse = [F.interpolate(fine, scale_factor=1 / 2**i, mode=mode) for i in (1, 2)]
        forms = {
            "tensor": fine,
            "list": [fine, *coarse],
            "tuple, coarsest first": (*reversed(coarse), fine),
            "dictionary": {"aux": coarse[0], "out": fine},
            "stack": torch.stack([fine, 2 * fine, 3 * fine], dim=1),
            "loss beside": (fine, torch.zeros(())),
            "nothing": None,
        }
        return forms[self.form]


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """A package ``elsewhere`` of somebody else, whose networks are installed."""
    module = types.ModuleType("elsewhere")
    kind = type("Net", (Net,), {"__module__": "elsewhere"})
    module.Net, module.Plain = kind, type("Plain", (), {"__module__": "elsewhere"})
    monkeypatch.setitem(sys.modules, "elsewhere", module)


@pytest.mark.parametrize(
    ("form", "edges"),
    [
        ("tensor", [8]),
        ("list", [8, 4, 2]),
        ("tuple, coarsest first", [8, 4, 2]),
        ("dictionary", [8, 4]),
        ("stack", [8, 8, 8]),
    ],
)
def test_whatever_it_gives_is_a_pyramid_finest_first(form, edges):
    network = external_network("elsewhere.Net", {"form": form})
    pyramid = network(torch.randn(SHAPE))
    assert [tuple(level.shape) for level in pyramid] == [(2, 3, edge, edge, edge) for edge in edges]
    image = torch.randn(SHAPE)
    torch.testing.assert_close(network.finest(image), network.network.head(image))
    assert len(network(image, levels=1)) == 1
    loss = DeepSupervision(DiceCE())(pyramid, torch.randint(0, 3, (2, 8, 8, 8)))
    loss.backward()
    assert network.network.head.weight.grad.any()


def test_levels_can_be_left_out():
    assert len(external_network("elsewhere.Net", {"form": "list"}, levels=2)(torch.randn(SHAPE))) == 2


def test_two_dimensions_take_patches_of_one_slice():
    network = external_network("elsewhere.Net", {"form": "list", "axes": 2}, flat=True)
    pyramid = network(torch.randn(2, 1, 1, 8, 12))
    assert [tuple(level.shape) for level in pyramid] == [(2, 3, 1, 8, 12), (2, 3, 1, 4, 6), (2, 3, 1, 2, 3)]


@pytest.mark.parametrize("form", ["loss beside", "nothing"])
def test_outputs_that_are_no_logits_are_refused(form):
    with pytest.raises(ValueError, match="must give logits of 5 axes"):
        external_network("elsewhere.Net", {"form": form})(torch.randn(SHAPE))


def test_a_flat_network_that_was_not_called_flat_is_named_so():
    network = external_network("elsewhere.Net", {"form": "tensor", "axes": 2})
    with pytest.raises((ValueError, RuntimeError), match=r"flat=true|4D"):
        network(torch.randn(SHAPE))


def test_a_checkpoint_builds_it_only_where_its_package_is_trusted():
    network = external_network("elsewhere.Net", {"form": "list"}, levels=2)
    written = json.loads(json.dumps(spec.to_spec(network)))
    with pytest.raises(ValueError, match=r"'elsewhere.Net' is not in a trusted package"):
        spec.build(written)
    again = spec.build(written, trusted=("ingradient_pl", "elsewhere"))
    assert isinstance(again, ExternalNetwork)
    assert spec.to_spec(again) == written
    again.load_state_dict(network.state_dict())
    image = torch.randn(SHAPE)
    torch.testing.assert_close(again(image), network(image))


def test_a_forged_checkpoint_cannot_import_by_name():
    forged = {"_target_": "ingradient_pl.networks.external.external_network", "target": "elsewhere.Net"}
    with pytest.raises(ValueError, match="only classes are built"):
        spec.build(forged)
    harmless = external_network("elsewhere.Net", {"form": "list"})
    own = {"_target_": "ingradient_pl.losses.dice_ce.DiceCE"}
    hidden = {**spec.to_spec(harmless), "network": own, "source": '{"_target_": "elsewhere.Net"}'}
    assert isinstance(spec.build(hidden).network, DiceCE)  # the source is text, and builds nothing


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("nowhere.Net", "Is the package installed"),
        ("elsewhere.Other", "cannot be found"),
        ("elsewhere.Plain", "not a network"),
    ],
)
def test_names_that_are_no_network_are_explained(target, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        external_network(target)


def test_arguments_that_a_checkpoint_cannot_hold_are_refused_at_once():
    with pytest.raises(TypeError, match="cannot be written down"):
        external_network("elsewhere.Net", {"form": object()})


@pytest.mark.slow
def test_monais_networks_train_and_come_back():
    pytest.importorskip("monai", reason="MONAI is an optional extra")
    arguments = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 3,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "deep_supervision": True,
        "deep_supr_num": 1,
    }
    network = external_network("monai.networks.nets.DynUNet", arguments)
    image = torch.randn(1, 1, 16, 16, 16)
    assert [tuple(level.shape) for level in network(image)] == [(1, 3, 16, 16, 16)] * 2
    assert len(network.eval()(image)) == 1
    again = spec.build(spec.to_spec(network), trusted=("ingradient_pl", "monai")).eval()
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again(image), network(image))


class Headed(nn.Module):
    """Three levels, each with a head of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv3d(1, 4, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv3d(4, 3, 1) for _ in range(3))

    def forward(self, image):
        features = self.body(image)
        return [head(F.avg_pool3d(features, 2**i)) for i, head in enumerate(self.heads)]


@pytest.mark.parametrize("levels", [1, 2, 3, None])
def test_heads_of_levels_that_are_not_kept_ask_for_no_gradient(levels):
    network = ExternalNetwork(Headed(), json.dumps({spec.TARGET: "elsewhere.Headed"}), levels=levels)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept = levels or 3
    found = freeze_unused(network, SHAPE)
    assert found == [f"network.heads.{i}.{kind}" for i in range(kept, 3) for kind in ("weight", "bias")]
    sum(level.sum() for level in network(torch.randn(SHAPE))).backward()
    assert all((param.grad is not None) == param.requires_grad for param in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), before)


def test_a_network_that_looks_at_values_is_left_as_it_is():
    class Looks(Headed):
        def forward(self, image):
            return super().forward(image)[: 2 if image.sum().item() > 0 else 1]

    network = Looks()
    assert freeze_unused(network, SHAPE) == []
    assert all(param.requires_grad for param in network.parameters())
