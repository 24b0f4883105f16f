"""Muon: orthogonal steps for kernels, AdamW for the rest, one optimiser that schedules and scalers drive."""

import copy

import pytest
import torch
from torch import nn

from ingradient_pl.optimizers.muon import Muon, muon_groups
from ingradient_pl.optimizers.orthogonal import orthogonal
from ingradient_pl.optimizers.parameters import Parameters


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, padding=1),
        nn.InstanceNorm3d(4, affine=True),
        nn.Conv3d(4, 8, 3, stride=2, padding=1),
        nn.ConvTranspose3d(8, 4, 2, 2),
        nn.Conv3d(4, 4, 3, padding=1),
        nn.Conv3d(4, 3, 1),
    )


def trained(net, optimiser, steps=3, parts=1):
    """Some steps on fixed noise, each gradient gathered from ``parts`` equal batches."""
    image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        optimiser.zero_grad()
        for _ in range(parts):
            (net(image).square().mean() / parts).backward()
        optimiser.step()
    return [param.detach().clone() for param in net.parameters()]


def by_iteration(matrix, steps=5):
    """Newton and Schulz as the post has it, in 64 bits."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.double()
    x = x.T if len(matrix) > len(matrix.T) else x
    x = x / x.norm()
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if len(matrix) > len(matrix.T) else x


@pytest.mark.parametrize("weakest", [1, 1e-3, 1e-9])
@pytest.mark.parametrize("shape", [(16, 432), (40, 20), (24, 24)], ids=str)
def test_it_is_newtons_iteration_however_weak_a_direction_is(shape, weakest):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(noise, full_matrices=False)
    matrix = left * torch.logspace(0, torch.tensor(weakest).log10().item(), min(shape)) @ right
    torch.testing.assert_close(orthogonal(matrix[None])[0].double(), by_iteration(matrix), atol=1e-3, rtol=0)


def test_all_directions_of_noise_become_alike():
    found = torch.linalg.svdvals(orthogonal(torch.randn(3, 8, 200)))
    assert found.min() > 0.6
    assert found.max() < 1.25
    assert not orthogonal(torch.zeros(1, 3, 5)).any()


def test_coarse_products_do_not_spoil_it():
    matrix = torch.randn(2, 64, 300)
    fine = orthogonal(matrix)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        torch.testing.assert_close(orthogonal(matrix).float(), fine, atol=1e-4, rtol=0)
    finally:
        torch.set_float32_matmul_precision(before)


def test_kernels_step_by_the_formula():
    net = network()
    before = [param.detach().clone() for param in net.parameters()]
    optimiser = Muon(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    expected = before[4].double()  # the kernel from 4 to 8, which widens by 4 * 27 to 8
    buffer = torch.zeros_like(expected)
    for _ in range(3):
        trained(net, optimiser, steps=1)
        gradient = net[2].weight.grad.double()
        buffer = 0.9 * buffer + gradient
        direction = by_iteration((gradient + 0.9 * buffer).flatten(1))
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * direction.view_as(expected)
    torch.testing.assert_close(net[2].weight.double(), expected, atol=1e-4, rtol=1e-4)


def test_the_rest_steps_as_torchs_adamw_does():
    net = network()
    net[0].register_parameter("bias", None)  # its gradient is rounding alone, by which AdamW steps as well
    others = [param for param in net.parameters() if param.ndim == 1 or param is net[5].weight]
    twin = copy.deepcopy(net)
    same = [param for param in twin.parameters() if param.ndim == 1 or param is twin[5].weight]
    bare = [{"params": [p for p in same if p.ndim == 1], "weight_decay": 0.0}, {"params": twin[5].weight}]
    ours = Muon([{"params": others, "muon": False, "lr": 0.01}], weight_decay=0.1)
    theirs = torch.optim.AdamW(bare, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    for found, expected in zip(trained(net, ours), trained(twin, theirs), strict=True):
        torch.testing.assert_close(found, expected)


def test_kernels_are_told_from_the_rest_and_heads_go_with_the_rest():
    net = network()
    kernels, others = Muon(net.parameters(), lr=0.02, adam_lr=0.003).param_groups
    assert [tuple(p.shape)[:2] for p in kernels["params"]] == [(4, 2), (8, 4), (8, 4), (4, 4)]
    assert any(param is net[5].weight for param in others["params"])
    assert (kernels["lr"], others["lr"]) == (0.02, 0.003)


def test_a_matrix_that_widens_steps_further_also_when_transposed():
    wide = nn.Conv3d(2, 32, 1)
    narrow = nn.ConvTranspose3d(2, 4, 2, 2)
    for net in (wide, narrow):
        before = net.weight.detach().clone()
        net.weight.grad = torch.randn_like(net.weight)
        Muon(muon_groups(net), lr=0.1).step()
        change = torch.linalg.svdvals((net.weight - before).detach().flatten(1))
        assert change.max() == pytest.approx(0.1 * (32 / 2) ** 0.5, rel=0.3)


def test_every_parameter_is_in_one_group():
    net = network()
    grouped = [param for group in Muon(muon_groups(net)).param_groups for param in group["params"]]
    assert {id(param) for param in grouped} == {id(param) for param in net.parameters()}
    assert len(grouped) == len(list(net.parameters()))


def test_parameters_that_know_their_network_are_grouped_by_it():
    net = network()
    asked, told = Muon(Parameters(net)), Muon(muon_groups(net))
    for found, wanted in zip(asked.param_groups, told.param_groups, strict=True):
        assert [id(one) for one in found["params"]] == [id(one) for one in wanted["params"]]
        assert found["transposed"] == wanted["transposed"]
    (plain,) = torch.optim.SGD(Parameters(net), lr=0.1).param_groups
    assert [id(one) for one in plain["params"]] == [id(one) for one in net.parameters()]


def test_it_continues_as_if_it_had_not_stopped():
    straight = network()
    expected = trained(straight, Muon(straight.parameters()), steps=4)
    first = network()
    optimiser = Muon(first.parameters())
    trained(first, optimiser, steps=2)
    second = network()
    second.load_state_dict(first.state_dict())
    again = Muon(second.parameters(), lr=9)
    again.load_state_dict(optimiser.state_dict())
    for found, wanted in zip(trained(second, again, steps=2), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_schedule_moves_both_rates():
    net = network()
    optimiser = Muon(net.parameters(), lr=0.02, adam_lr=0.002)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, 2, 1.0)
    trained(net, optimiser, steps=1)
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.01, 0.001])


def test_gradients_gathered_in_parts_give_the_same_step():
    whole, parts = network(), network()
    expected = trained(whole, Muon(whole.parameters()))
    for found, wanted in zip(trained(parts, Muon(parts.parameters()), parts=2), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_a_scaler_may_scale_its_gradients():
    plain, scaled = network(), network()
    expected = trained(plain, Muon(plain.parameters()), steps=1)
    optimiser, scaler = Muon(scaled.parameters()), torch.amp.GradScaler("cpu", init_scale=1024)
    image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    scaler.scale(scaled(image).square().mean()).backward()
    scaler.step(optimiser)
    scaler.update()
    for found, wanted in zip(scaled.parameters(), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_parameters_without_gradient_rest():
    net = network()
    optimiser = Muon(net.parameters(), weight_decay=0.1)
    net[5](net[4](torch.randn(1, 4, 2, 2, 2))).sum().backward()
    before = net[0].weight.detach().clone()
    optimiser.step()
    assert torch.equal(net[0].weight, before)
    assert len(optimiser.state) == 4


def test_it_learns():
    net = network()
    image = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    first = net(image).square().mean().item()
    trained(net, Muon(net.parameters()), steps=40)
    assert net(image).square().mean().item() < 0.1 * first


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"lr": -1}, "lr=-1"), ({"momentum": 95}, "momentum=95"), ({"steps": 0}, "steps=0")],
)
def test_rates_out_of_range_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Muon(network().parameters(), **wrong)
