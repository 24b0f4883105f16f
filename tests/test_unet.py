"""The UNet: as many weights as nnU-Net's, and its logits on the same weights, in two dimensions as well."""

import zlib

import numpy as np
import preloaded
import pytest
import torch
from torch.nn import functional as F

from ingradient_pl import spec
from ingradient_pl.networks.norm import InstanceNorm
from ingradient_pl.networks.unet import UNet, _count_weights
from ingradient_pl.nnunet.weights import nnunet_names, nnunet_weights

CUBE = {"strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "kernels": [[3, 3, 3]] * 3}
FLAT = {"strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2]], "kernels": [[1, 3, 3]] * 3}
MIXED = {"strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]], "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]]}
PLAIN = {"blocks": [2, 2, 2], "decoder_blocks": [2, 2]}
RESIDUAL = {"blocks": [1, 2, 2], "decoder_blocks": [1, 1], "residual": True}
EXPECTED = {  # of nnU-Net 2.8.1: scripts/expected_from_nnunet.py prints them
    "plain": [
        [0.6559813, 0.5130372, 0.8717271, 0.3497466, 0.1349688, 1.215251, 0.3540362, 0.4404736, -0.2118915],
        [
            0.4468147,
            0.1293308,
            0.9822624,
            -0.1009608,
            -0.5814453,
            -0.004990203,
            0.6119469,
            1.637776,
            0.2840692,
        ],
    ],
    "plain flat": [
        [
            0.4013045,
            0.03552487,
            0.6209127,
            0.05634459,
            0.7312624,
            0.03809023,
            0.3746711,
            0.1485435,
            0.4481904,
        ],
        [0.2762709, -1.731744, 0.806513, -0.07010995, 0.1262035, -0.4460233, 0.7740622, 0.8248444, 0.5867298],
    ],
    "plain mixed": [
        [
            0.9141674,
            -0.2329213,
            -0.02582628,
            0.00271311,
            0.01516092,
            -1.219725,
            0.6098814,
            0.6778615,
            0.05589563,
        ],
        [0.0636164, -0.5371285, 1.842174, 0.2871861, 0.03933505, 0.304459, 0.5979916, 0.289897, -0.3008045],
    ],
    "residual": [
        [
            -0.7542433,
            0.6624551,
            0.3824505,
            0.03419876,
            0.2701876,
            0.3562983,
            -0.6816524,
            0.08352386,
            0.5035796,
        ],
        [
            -0.3151265,
            -0.3768087,
            0.6891379,
            -0.06217688,
            0.3009101,
            -0.3053633,
            0.6298996,
            0.131469,
            0.2211542,
        ],
    ],
    "residual flat": [
        [0.7251861, -1.25829, 0.1134327, 0.2892872, 0.01991592, 1.404123, 0.5496819, 0.5759071, 0.10284],
        [-0.7761695, -0.1611923, 0.5792955, 0.6454165, 0.547609, -0.222186, 1.017385, 0.4213392, -0.09057112],
    ],
    "residual mixed": [
        [
            0.4476323,
            1.043129,
            -0.4812551,
            0.4447492,
            -0.2108135,
            0.07018714,
            -0.0228321,
            0.7620651,
            0.7551033,
        ],
        [
            -0.2201859,
            -0.1155268,
            3.386491,
            0.03420566,
            0.08100718,
            -0.3198874,
            0.2627258,
            1.350516,
            0.8353356,
        ],
    ],
}


def unet(geometry=CUBE, blocks=PLAIN, **options):
    return UNet(2, 3, widths=[4, 8, 12], **geometry, **blocks, **{"levels": 2, **options})


def image(shape=(2, 2, 8, 8, 12)):
    return torch.from_numpy(np.random.default_rng(1).standard_normal(shape, dtype=np.float32))


def drawn(network, flat=False):
    """Weights as nnU-Net names them, each drawn from its name."""
    weights = {}
    for ours, theirs in nnunet_names(network):
        shape = tuple(network.state_dict()[ours].shape)
        shape = (*shape[:2], *shape[3:]) if flat and len(shape) == 5 else shape
        rng = np.random.default_rng(zlib.crc32(theirs.encode()))
        fresh = rng.standard_normal(shape, dtype=np.float32) * 0.3
        weights[theirs] = torch.from_numpy(fresh + theirs.endswith("norm.weight"))
    return weights


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("name", EXPECTED)
def test_logits_are_nnunets_on_its_weights(name, channels_last):
    blocks = RESIDUAL if "residual" in name else PLAIN
    flat, geometry = "flat" in name, FLAT if "flat" in name else MIXED if "mixed" in name else CUBE
    network = unet(geometry, blocks, channels_last=channels_last).eval()
    network.load_state_dict(nnunet_weights(network, drawn(network, flat)))
    pyramid = network(image((2, 2, 8, 12))[:, :, None] if flat else image())
    for level, expected in zip(pyramid, EXPECTED[name], strict=True):
        logits = level.contiguous().flatten()
        found = logits[:: logits.numel() // 9][:10]
        torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"blocks": [2] * 4, "decoder_blocks": [2] * 3, "levels": 3}, 5_603_177),
        ({"blocks": [2] * 4, "decoder_blocks": [2] * 3}, 5_603_177 - 3 * (128 + 1)),
        ({"blocks": [1, 3, 4, 6], "decoder_blocks": [1] * 3, "levels": 3, "residual": True}, 25_895_593),
    ],
    ids=["plain", "without the head nnU-Net weighs 0", "residual"],
)
def test_it_has_as_many_weights_as_nnunets(settings, count):
    cubes = {"strides": [[1, 1, 1]] + [[2, 2, 2]] * 3, "kernels": [[3, 3, 3]] * 4}
    with torch.device("meta"):
        network = UNet(1, 3, [32, 64, 128, 256], **cubes, **settings)
    assert sum(weight.numel() for weight in network.parameters()) == count
    assert 0.95 * count < _count_weights(network.spec) <= count


@pytest.mark.parametrize("blocks", [PLAIN, RESIDUAL], ids=["plain", "residual"])
def test_every_weight_gets_a_gradient(blocks):
    network = unet(blocks=blocks)
    sum(level.square().mean() for level in network(image())).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("activation", [True, False])
@pytest.mark.parametrize("layout", [torch.channels_last_3d, torch.contiguous_format], ids=str)
def test_the_norm_and_its_gradients_are_torchs(activation, layout):
    norm = InstanceNorm(5, activation=activation)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1, 0.5, -2, 0, 3]))
        norm.bias.copy_(torch.tensor([0, 1, -1, 0.5, 0]))
    features = (7 + 3 * torch.randn(2, 5, 3, 4, 6)).contiguous(memory_format=layout)
    slope = torch.randn(features.shape)

    def gradients(function):
        inputs = [value.detach().clone().requires_grad_() for value in (features, norm.weight, norm.bias)]
        found = function(*inputs)
        return [found, *torch.autograd.grad((found * slope).sum(), inputs)]

    def textbook(features, weight, bias):
        normal = F.instance_norm(features, None, None, weight, bias)
        return F.leaky_relu(normal, 0.01) if activation else normal

    def ours(features, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (features,))

    for found, expected in zip(gradients(ours), gradients(textbook), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


def test_half_precision_changes_little():
    network = unet()
    with torch.autocast("cpu", torch.bfloat16):
        half = network(image())
    for near, level in zip(half, network(image()), strict=True):
        assert (near.float() - level).abs().mean() < 0.05 * level.abs().mean()


def test_a_bottleneck_of_one_voxel_trains_in_any_precision():
    network, small = unet(), image((2, 2, 4, 4, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):  # the way a GPU takes
        half = network(small)[0]
    full = network(small)[0]
    assert (half.float() - full).norm() < 0.05 * full.norm()  # of 200 starts the worst is 0.029


@pytest.mark.slow
def test_network_and_loss_compile_in_one_piece():
    """In a process of its own: shape checks cannot be compiled."""
    preloaded.run_helper("compiled_whole")


def test_the_recipe_builds_its_equal():
    network = unet(MIXED, RESIDUAL, dropout=0.1)
    again = spec.build(spec.to_spec(network))
    assert again.spec == network.spec
    again.load_state_dict(network.state_dict())
    torch.testing.assert_close(again.eval()(image()), network.eval()(image()))


def test_evaluation_can_stop_at_the_finest_level():
    network = unet().eval()
    torch.testing.assert_close(network.finest(image()), network(image())[0])
    assert len(network(image())) == 2


def test_a_slice_is_segmented_without_its_neighbours():
    network = unet(FLAT).eval()
    volume = image((1, 2, 3, 8, 12))
    alone = network.finest(volume[:, :, 1:2])
    assert alone.shape == (1, 3, 1, 8, 12)
    batch = volume[0].movedim(1, 0)[:, :, None]  # its slices side by side
    torch.testing.assert_close(network.finest(batch)[1:2], alone)


def test_a_residual_block_starts_as_its_shortcut():
    network = unet(blocks=RESIDUAL)
    assert not any(
        weight.any() for name, weight in network.named_parameters() if name.endswith("second.norm.weight")
    )


@pytest.mark.parametrize("residual", [False, True])
def test_one_stage_is_convolutions_and_a_head(residual):
    network = UNet(1, 3, [4], [[1, 1, 1]], [[3, 3, 3]], [2], [], residual=residual)
    (logits,) = network(torch.randn(2, 1, 5, 6, 7))
    assert logits.shape == (2, 3, 5, 6, 7)
    logits.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_dropout_is_for_training_only():
    network = unet(dropout=0.5)
    assert not torch.equal(network(image())[0], network(image())[0])
    network.eval()
    assert torch.equal(network(image())[0], network(image())[0])


BLOCKS = [("blocks", 3, count) for count in (0, -5, 1001, 2**63, 10**30)] + [("decoder_blocks", 2, 0)]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"levels": 3}, "levels must lie between 1 and 2.*got 3"),
        ({"widths": [4]}, "at least one stage.*fewer of decoder_blocks"),
        ({"widths": []}, "at least one stage"),
        ({"blocks": [2, 2]}, r"'blocks': \[2, 2\]"),
        ({"kernels": [[3, 3, 3], [2, 3, 3], [3, 3, 3]]}, "odd"),
        ({"strides": [[2, 2, 2]] * 3}, r"stride is \(1, 1, 1\), got \[2, 2, 2\]"),
        ({"strides": [[1, 1], [2, 2], [2, 2]]}, "three numbers"),
        ({"dropout": 20.0}, "A percentage"),
        *(({name: [1, count, 1][:length]}, "at least one block") for name, length, count in BLOCKS),
        *(({"widths": [4, width, 12]}, "lie between 1 and 65536") for width in (0, -1, 2**17, 10**30)),
        ({"widths": [2**16] * 3}, "weights, where at most"),
        ({"kernels": [[3, 3, 3], [9999, 9999, 9999], [3, 3, 3]]}, "weights, where at most"),
        ({"strides": [[1, 1, 1], [2, 2, 2], [10**6, 10**6, 1]]}, "weights, where at most"),
    ],
)
def test_entries_that_do_not_fit_are_named(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        UNet(2, 3, **{"widths": [4, 8, 12], **CUBE, **PLAIN, **wrong})


def test_weights_of_another_network_are_refused():
    network = unet()
    weights = drawn(network)
    with pytest.raises(ValueError, match=r"no 'encoder.stem.convs.0.conv.weight'.*residual"):
        nnunet_weights(unet(blocks=RESIDUAL), weights)
    weights["decoder.transpconvs.0.bias"] = torch.zeros(5)
    with pytest.raises(ValueError, match=r"shape \(5,\).*asks for \(8,\)"):
        nnunet_weights(network, weights)


def test_names_may_carry_what_compilation_and_ddp_put_before_them():
    network = unet()
    weights = {f"module._orig_mod.{name}": weight for name, weight in drawn(network).items()}
    assert nnunet_weights(network, weights).keys() == network.state_dict().keys()


@pytest.mark.parametrize("ratio", [0, 10, 100])
def test_the_norm_holds_where_a_mean_is_far_from_zero(ratio):
    """In single precision, in both memory formats: squaring before the mean is off loses the spread."""
    features = torch.randn(2, 8, 6, 10, 8, generator=torch.Generator().manual_seed(0)) + ratio
    norm = InstanceNorm(8)
    expected = norm.double()(features.double())
    norm.float()
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        found = norm(features.to(memory_format=layout))
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)
