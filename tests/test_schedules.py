"""The learning rate over a run is what its formula says, also for a run taken up again."""

import pytest
import torch

from ingradient_pl.optimizers.schedules import OpenEnded, WarmupPoly


def optimiser(**settings):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.02, 1e-3)]
    return torch.optim.SGD(groups, **settings)


def rates(schedule, sgd, steps):
    found = []
    for _ in range(steps):
        found.append([group["lr"] for group in sgd.param_groups])
        sgd.step()
        schedule.step()
    return found


def test_it_rises_evenly_and_falls_by_the_formula_for_every_group():
    sgd = optimiser()
    found = rates(WarmupPoly(sgd, total_iters=100, warmup=0.05, power=0.9), sgd, 101)
    shares = [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6] + [(1 - step / 95) ** 0.9 for step in range(96)]
    assert found == [pytest.approx([0.02 * share, 1e-3 * share]) for share in shares]
    assert found[5] == pytest.approx([0.02, 1e-3])
    assert found[100] == [0, 0]


def test_without_warmup_it_is_torchs_polynomial():
    ours, theirs = optimiser(), optimiser()
    found = rates(WarmupPoly(ours, 20, warmup=0.0), ours, 20)
    wanted = rates(torch.optim.lr_scheduler.PolynomialLR(theirs, 20, 0.9), theirs, 20)
    assert found == [pytest.approx(one) for one in wanted]


def test_it_goes_on_where_it_stopped():
    sgd = optimiser()
    whole = rates(WarmupPoly(sgd, 30, 0.2), sgd, 30)
    first = optimiser()
    schedule = WarmupPoly(first, 30, 0.2)
    rates(schedule, first, 11)
    second = optimiser()
    again = WarmupPoly(second, 30, 0.2)
    again.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert rates(again, second, 19) == [pytest.approx(one) for one in whole[11:]]


@pytest.mark.parametrize("wrong", [{"total_iters": 0}, {"warmup": 5}, {"power": -1}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"warmup in \[0, 1\)"):
        WarmupPoly(optimiser(), **{"total_iters": 10, **wrong})


def test_an_open_ended_rate_stays_until_it_is_asked_to_fall():
    sgd = optimiser()
    schedule = OpenEnded(sgd, warmup=4)
    found = rates(schedule, sgd, 20)
    schedule.finish(5)
    found += rates(schedule, sgd, 6)
    shares = [0.2, 0.4, 0.6, 0.8] + [1.0] * 16 + [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert found == [pytest.approx([0.02 * share, 1e-3 * share]) for share in shares]


def test_an_open_ended_rate_goes_on_falling_where_it_stopped():
    first, second = optimiser(), optimiser()
    schedule, again = OpenEnded(first, warmup=4), OpenEnded(second, warmup=4)
    rates(schedule, first, 10)
    schedule.finish(8)
    rates(schedule, first, 3)
    again.load_state_dict(schedule.state_dict())
    second.load_state_dict(first.state_dict())
    assert rates(again, second, 6) == rates(schedule, first, 6)


def test_an_open_ended_rate_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="warmup"):
        OpenEnded(optimiser(), warmup=-1)
    with pytest.raises(ValueError, match="at least one step"):
        OpenEnded(optimiser()).finish(0)
