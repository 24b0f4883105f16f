"""A recorded training step: the numbers of an eager one, the schedule obeyed, failures told."""

import pytest
import torch
from step_recorder import StepRecorder
from torch.nn.utils import clip_grad_norm_

from ingradient_pl.losses.deep_supervision import DeepSupervision
from ingradient_pl.losses.dice_ce import DiceCE
from ingradient_pl.networks.unet import UNet
from ingradient_pl.optimizers.muon import Muon, muon_groups
from ingradient_pl.optimizers.step_graph import GraphError, StepGraph, optimizer_problem, prepare_optimizer

SGD = {"lr": 0.01, "momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}
OPTIMIZERS = {
    "sgd": lambda network: torch.optim.SGD(network.parameters(), **SGD),
    "muon": lambda network: Muon(muon_groups(network)),
}
LOSS = DeepSupervision(DiceCE())


def unet(**options):
    torch.manual_seed(0)
    cubes = [[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[3, 3, 3]] * 3
    return UNet(1, 3, [4, 8, 8], *cubes, [1] * 3, [1] * 2, **options)


def batches(count, size=8):
    generator = torch.Generator().manual_seed(3)
    for _ in range(count):
        label = torch.randint(0, 3, (2, size, size, size), generator=generator, dtype=torch.uint8)
        yield torch.randn(2, 1, size, size, size, generator=generator), label


def graph_of(network, optimizer, **options):
    recorder = StepRecorder(optimizer, **options)
    clip = lambda: clip_grad_norm_(network.parameters(), 0.5)  # noqa: E731
    return StepGraph(network, LOSS, optimizer, clip=clip, recorder=recorder)


def trained(name, recorded, steps=5):
    network = unet()
    optimizer = OPTIMIZERS[name](network)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps + 1, 0.9)
    graph = graph_of(network, optimizer)
    losses = []
    for image, label in batches(steps):
        if recorded:
            graph.prepare(image, label)
            losses.append(graph(image, label).loss.item())
        else:
            optimizer.zero_grad()
            loss = LOSS(network(image), label)
            loss.backward()
            clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
    assert all(isinstance(group["lr"], float) for group in optimizer.param_groups)
    kernels = [param.detach() for param in network.parameters() if param.ndim > 1]
    return losses, kernels, optimizer.state_dict()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_recorded_run_is_the_eager_one(name):
    losses, weights, state = trained(name, recorded=False)
    again, found, kept = trained(name, recorded=True)
    assert again == pytest.approx(losses, abs=1e-4)
    torch.testing.assert_close(found, weights, atol=1e-4, rtol=1e-3)
    assert kept["param_groups"] == state["param_groups"]
    assert kept["state"].keys() == state["state"].keys()


def test_preparing_leaves_no_trace():
    network = unet()
    optimizer = OPTIMIZERS["sgd"](network)
    before = [param.detach().clone() for param in network.parameters()]
    random = torch.get_rng_state()
    graph = graph_of(network, optimizer)
    (batch,) = batches(1)
    graph.prepare(*batch)
    torch.testing.assert_close([param.detach() for param in network.parameters()], before, atol=0, rtol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(state["momentum_buffer"].any() for state in optimizer.state.values())


def test_what_was_learnt_before_is_where_it_goes_on():
    network = unet()
    optimizer = OPTIMIZERS["sgd"](network)
    first, second = batches(2)
    LOSS(network(first[0]), first[1]).backward()
    optimizer.step()
    held = [state["momentum_buffer"].clone() for state in optimizer.state.values()]
    graph_of(network, optimizer).prepare(*second)
    found = [state["momentum_buffer"] for state in optimizer.state.values()]
    torch.testing.assert_close(found, held, atol=0, rtol=0)


def test_a_record_that_does_not_step_is_found_out():
    network = unet()
    graph = graph_of(network, OPTIMIZERS["sgd"](network), broken=True)
    before = [param.detach().clone() for param in network.parameters()]
    (batch,) = batches(1)
    with pytest.raises(GraphError, match="something else"):
        graph.prepare(*batch)
    torch.testing.assert_close([param.detach() for param in network.parameters()], before, atol=0, rtol=0)


def test_whatever_fails_while_recording_is_told_in_a_line():
    network = unet()
    optimizer = OPTIMIZERS["sgd"](network)
    graph = graph_of(network, optimizer)

    def fail(step):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    graph.recorder.record = fail
    (batch,) = batches(1)
    with pytest.raises(GraphError, match="not permitted when stream is capturing"):
        graph.prepare(*batch)
    assert all(isinstance(group["lr"], float) and not group["fused"] for group in optimizer.param_groups)


def test_only_rates_may_change():
    network = unet()
    optimizer = OPTIMIZERS["sgd"](network)
    graph = graph_of(network, optimizer)
    (batch,) = batches(1)
    graph.prepare(*batch)
    optimizer.param_groups[0]["lr"] = 0.1
    graph.prepare(*batch)
    network.heads[0].weight.requires_grad = False
    with pytest.raises(GraphError, match="other than its rates"):
        graph.prepare(*batch)
    network.heads[0].weight.requires_grad = True
    optimizer.param_groups[0]["momentum"] = 0.5
    with pytest.raises(GraphError, match="other than its rates"):
        graph.prepare(*batch)


def test_a_batch_of_another_shape_is_not_taken():
    network = unet()
    graph = graph_of(network, OPTIMIZERS["sgd"](network))
    (small,), (large,) = batches(1), batches(1, size=12)
    assert graph.takes(*large)
    graph.prepare(*small)
    assert graph.takes(*small)
    assert not graph.takes(*large)


def test_which_optimizers_can_be_recorded():
    params = [torch.nn.Parameter(torch.ones(2))]
    assert optimizer_problem(torch.optim.SGD(params, 0.1)) is None
    assert optimizer_problem(Muon(params)) is None
    assert "dampening" in optimizer_problem(torch.optim.SGD(params, 0.1, momentum=0.9, dampening=0.1))
    assert "LBFGS" in optimizer_problem(torch.optim.LBFGS(params))
    adam = torch.optim.AdamW(params)
    assert optimizer_problem(adam) is None
    prepare_optimizer(adam)
    assert adam.param_groups[0]["capturable"]


@pytest.mark.parametrize(
    "change",
    [
        lambda network, loss: setattr(loss.level_loss, "dice", 0.5),
        lambda network, loss: setattr(loss, "weights", (1.0, 0.0)),
        lambda network, loss: next(network.children()).eval(),
        lambda network, loss: setattr(network, "somebodys", [1, (2, "three")]),
    ],
)
def test_a_record_knows_that_what_it_holds_has_changed(change):
    network, loss = unet(), DeepSupervision(DiceCE())
    optimizer = OPTIMIZERS["sgd"](network)
    graph = StepGraph(network, loss, optimizer, recorder=StepRecorder(optimizer))
    assert not graph.is_outdated()
    for image, label in batches(2):
        graph.prepare(image, label)
        graph(image, label)
        assert not graph.is_outdated()
    change(network, loss)
    assert graph.is_outdated()


def test_a_record_reads_anew_which_outputs_are_known():
    ends = []
    for recorded in (False, True):
        network = unet()
        optimizer = OPTIMIZERS["sgd"](network)
        graph = graph_of(network, optimizer)
        generator = torch.Generator().manual_seed(7)
        for image, label in batches(4):
            known = torch.rand(2, 3, generator=generator) < 0.5
            known[:, 0] = True
            if recorded:
                graph.prepare(image, label, known)
                graph(image, label, known)
                continue
            optimizer.zero_grad()
            LOSS(network(image), label, known).backward()
            clip_grad_norm_(network.parameters(), 0.5)
            optimizer.step()
        ends.append([param.detach() for param in network.parameters()])
    torch.testing.assert_close(ends[1], ends[0], atol=1e-5, rtol=1e-4)
