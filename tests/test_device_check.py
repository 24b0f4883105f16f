"""The self-test of an accelerator: silent where all is well, naming what is off, taking other operators."""

import warnings

import pytest
import torch
from patches import FLAT, SCALED, STILL, TURNED, some
from torch import nn
from torch.nn import functional as F

from ingradient_pl.kernels import availability, dice_ce, matrices, noise, norm
from ingradient_pl.lightning import convolution_check
from ingradient_pl.lightning.convolution_check import DeviceError
from ingradient_pl.lightning.device_check import check_device
from ingradient_pl.lightning.preparation_check import check_preparation
from ingradient_pl.networks.unet import UNet
from ingradient_pl.transforms import prepare_batch
from ingradient_pl.transforms.prepare_batch import Prepare
from ingradient_pl.transforms.prepare_packed import prepare_packed


@pytest.fixture(autouse=True)
def _all_on():
    yield
    for kernel in availability.switched_off():
        availability.switch_on(kernel)


def unet(**options):
    torch.manual_seed(0)
    stages = [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [[1, 3, 3], [3, 3, 3], [3, 3, 3]]
    return UNet(1, 3, [4, 8, 8], *stages, [2] * 3, [2] * 2, **options)


def image():
    return torch.randn(2, 1, 8, 12, 16)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("residual", [False, True])
def test_a_device_that_computes_right_passes(dtype, residual):
    network = unet(residual=residual).train()
    before = [param.detach().clone() for param in network.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_device(network, image(), dtype) == []
    assert network.training
    torch.testing.assert_close([param.detach() for param in network.parameters()], before)


def wrong(change):
    real = convolution_check.compute

    def compute(function, args, kwargs):
        answer = real(function, args, kwargs)
        return change(answer) if function is torch.conv3d else answer

    return compute


def last_image_is_zero(answer):
    return torch.cat([answer[:-1], torch.zeros_like(answer[-1:])])


def far_corner_is_off(answer):
    answer = answer.clone()
    answer[-1, :, -1, -1, -1] += 10 * answer.abs().max() + 1
    return answer


@pytest.mark.parametrize(
    "change",
    [lambda answer: 1.1 * answer, last_image_is_zero, far_corner_is_off, lambda answer: answer * torch.nan],
)
def test_a_wrong_convolution_stops_the_run_by_name(monkeypatch, change):
    monkeypatch.setattr(convolution_check, "compute", wrong(change))
    with pytest.raises(DeviceError, match=r"A 3D convolution of \(.*\) to 2 x \d+ x .* in float32.*32-true"):
        check_device(unet(), image())


@pytest.mark.parametrize("scale", [1.5, 0.0, torch.nan])
def test_a_wrong_gradient_of_a_convolution_stops_the_run_as_well(monkeypatch, scale):
    def change(answer):
        if answer.requires_grad:
            answer.register_hook(lambda above: scale * above)
        return answer

    monkeypatch.setattr(convolution_check, "compute", wrong(change))
    with pytest.raises(DeviceError, match="gradient of a 3D convolution"):
        check_device(unet(), image())


@pytest.mark.parametrize("affine", [STILL, SCALED, TURNED, FLAT], ids=["still", "scaled", "turned", "flat"])
@pytest.mark.parametrize("what", ["image", "label", "nan"])
def test_a_device_that_resamples_wrong_stops_the_run(monkeypatch, affine, what):
    patches = some(((20, 24, 22), (1.0, 1.0, 1.0)), (8, 10, 12), (1.2, 1.0, 0.9), [affine] * 2)
    prepare, device = Prepare((8, 10, 12)), torch.device("cpu")
    check_preparation(prepare, patches, device)

    def packed(batch):
        found = prepare_packed(batch)
        if what == "label":
            return found._replace(label=1 - found.label.clamp(max=1))
        return found._replace(image=found.image * (1.05 if what == "image" else torch.nan))

    monkeypatch.setattr(prepare_batch, "prepare_packed", packed)
    with pytest.raises(DeviceError, match=r"Resampling patches .* on cpu"):
        check_preparation(prepare, patches, device)


def test_convolutions_of_other_networks_are_looked_at_too(monkeypatch):
    network = nn.Sequential(
        nn.Conv3d(1, 4, 3, stride=2),
        nn.Conv3d(4, 4, 3, padding=2, dilation=2, groups=2),
        nn.ReLU(),
        nn.Conv3d(4, 3, 3, padding="same"),
    )
    assert check_device(network, image()) == []
    monkeypatch.setattr(convolution_check, "compute", wrong(lambda answer: answer + 3))
    with pytest.raises(DeviceError, match="3D convolution"):
        check_device(network, image())


KERNELS = {
    norm: ("instance_norm", "norm and activation"),
    dice_ce: ("dice_ce", "loss of 3 outputs"),
    matrices: ("gram", "products of matrices"),
    noise: ("add_noise_", "Gaussian noise"),
}


def twins(monkeypatch):
    """Let the CPU stand for an accelerator: torch's operators take the place of the kernels."""
    twin = {
        (norm, "instance_norm"): lambda x, w, b, slope, **_: norm.instance_norm_twin(x, w, b, slope),
        (dice_ce, "dice_ce"): lambda logits, label, *_, **__: plain_loss(logits, label),
        (matrices, "gram"): matrices.gram_twin,
        (matrices, "multiply"): matrices.multiply_twin,
        (noise, "add_noise_"): noise.add_noise_twin_,
    }
    for (module, name), function in twin.items():
        monkeypatch.setattr(module, name, function)
        monkeypatch.setattr(module, "fits", lambda tensor: tensor.dtype != torch.float64)


def plain_loss(logits, label):
    shares, truth = logits.softmax(1), F.one_hot(label.long(), logits.shape[1]).movedim(-1, 1)
    overlap, sizes = (shares * truth).sum((2, 3, 4)), (shares + truth).sum((2, 3, 4))
    return F.cross_entropy(logits, label.long()) - ((2 * overlap + 1e-5) / (sizes + 1e-5))[:, 1:].mean()


@pytest.mark.parametrize("module", KERNELS, ids=lambda module: module.NAME)
@pytest.mark.parametrize("fault", ["wrong", "fails"])
def test_a_wrong_kernel_is_left_out_with_a_warning(monkeypatch, module, fault):
    twins(monkeypatch)
    assert check_device(unet(), image()) == []
    name, what = KERNELS[module]
    right = getattr(module, name)

    def broken(*args, **named):
        if fault == "fails":
            raise RuntimeError("ptxas: no kernel image")
        return 1.5 * right(*args, **named)

    # the network itself must go on: what it takes is not what is checked
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 3, 1))
    monkeypatch.setattr(module, name, broken)
    told = what if fault == "wrong" else "no kernel image"
    with pytest.warns(UserWarning, match=f"{told}.*torch's own operators"):
        (found,) = check_device(network, image())
    assert found.kernel == module.NAME
    assert module.NAME in availability.switched_off()


def test_a_kernel_that_rounds_to_the_other_side_of_the_bend_is_not_off(monkeypatch):
    twins(monkeypatch)

    def rounded(features, weight, bias, slope, **_):
        return F.leaky_relu(norm.instance_norm_twin(features, weight, bias, 1.0) + 3e-5, slope)

    monkeypatch.setattr(norm, "instance_norm", rounded)
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 3, 1))
    assert check_device(network, torch.randn(2, 1, 32, 64, 64)) == []
