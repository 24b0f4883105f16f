"""Layer-wise decay: a stage learns more slowly the further it is from the output."""

import pytest
import torch
from weight_sources import PLAIN, RESIDUAL, unet

from ingradient_pl.optimizers.muon import Muon
from ingradient_pl.optimizers.parameters import Parameters, scale_rates

OPTIMISERS = {
    "sgd": lambda given: torch.optim.SGD(given, lr=0.1, momentum=0.9),
    "adamw": lambda given: torch.optim.AdamW(given, lr=0.1),
    "muon": lambda given: Muon(given, lr=0.1, adam_lr=0.02),
}


def made(name, network, decay):
    optimizer = OPTIMISERS[name](Parameters(network, decay))
    scale_rates(optimizer)
    return optimizer


def rate_of(optimizer, parameter):
    (found,) = [g["lr"] for g in optimizer.param_groups if any(one is parameter for one in g["params"])]
    return found


@pytest.mark.parametrize("plan", [PLAIN, RESIDUAL], ids=["plain", "residual"])
def test_depths_count_stages_to_the_output(plan):
    network = unet(plan)
    depths = network.depths()
    assert list(depths) == [name for name, _ in network.named_parameters()]
    expected = {"heads.0": 0, "decoder.0": 0, "ups.0": 0, "decoder.1": 1, "ups.1": 1, "encoder.2": 2,
                "encoder.1": 3, "encoder.0": 4, "stem": 4}  # fmt: skip
    for name, depth in depths.items():
        assert depth == next(value for start, value in expected.items() if name.startswith(start)), name


@pytest.mark.parametrize("name", OPTIMISERS)
def test_rates_fall_with_depth_and_a_schedule_moves_them_together(name):
    network = unet(PLAIN)
    plain, slowed = made(name, network, 1), made(name, network, 0.5)
    for own, parameter in network.named_parameters():
        assert rate_of(slowed, parameter) == pytest.approx(
            rate_of(plain, parameter) * 0.5 ** network.depths()[own]
        )
    before = [group["lr"] for group in slowed.param_groups]
    schedule = torch.optim.lr_scheduler.LambdaLR(slowed, lambda step: 0.1)
    assert schedule.get_last_lr() == pytest.approx([rate * 0.1 for rate in before])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_is_as_much_shorter(name):
    steps = {}
    for decay in (1, 0.5):
        network = unet(PLAIN)
        optimizer = made(name, network, decay)
        before = {own: value.clone() for own, value in network.state_dict().items()}
        sum(level.square().mean() for level in network(torch.ones(1, 2, 8, 16, 16))).backward()
        optimizer.step()
        steps[decay] = {own: value - before[own] for own, value in network.state_dict().items()}
    weight = "encoder.0.0.conv.weight"  # adamw takes a share of the weight besides, at the same rate
    torch.testing.assert_close(steps[0.5][weight], steps[1][weight] * 0.5**4, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(steps[0.5]["heads.0.bias"], steps[1]["heads.0.bias"])


def test_without_decay_groups_are_as_they_were():
    network = unet(PLAIN)
    assert [list(group) for group in made("muon", network, 1).param_groups] == [
        list(group) for group in Muon(Parameters(network)).param_groups
    ]
    assert len(made("sgd", network, 1).param_groups) == 1


@pytest.mark.parametrize("decay", [0, -0.5, 1.5])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"factor in \(0, 1\]"):
        Parameters(unet(PLAIN), decay)


def test_a_network_that_tells_no_depths_is_refused():
    with pytest.raises(ValueError, match=r"Conv3d does not tell.*layer_decay=1"):
        Parameters(torch.nn.Conv3d(1, 1, 1), 0.9)
