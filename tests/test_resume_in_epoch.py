"""A run that goes on from the middle of an epoch is the run that was never interrupted."""

import os
from types import SimpleNamespace

import preloaded
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from runs import composed

BATCHES = 4


@pytest.fixture(scope="module")
def overrides(phantom_store, phantom_plan):
    return [
        f"store={phantom_store}",
        f"plan={phantom_plan}",
        "trainer=cpu",
        "epochs=2",
        f"batches_per_epoch={BATCHES}",
        "seed=5",
    ]


class Seen(pl.Callback):
    """Numbers of the patches a run trained on, step by step."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.steps.append((trainer.current_epoch, batch_idx, tuple(batch.numbers)))


def fit(overrides, folder, checkpoint=None, workers=0, **settings):
    """What was seen, and the weights at the end."""
    folder.mkdir()
    config = composed(
        [
            *overrides,
            f"data.workers={workers}",
            "callbacks=none",
            "logger=none",
            "trainer.log_every_n_steps=1",
        ],
        folder,
    )
    try:
        pl.seed_everything(config.seed, verbose=False)
        data, module = instantiate(config.data), instantiate(config.module)
        seen = Seen()
        saving = pl.callbacks.ModelCheckpoint(folder / "saved", "{epoch}-{step}", save_top_k=-1, **settings)
        trainer = instantiate(
            config.trainer, callbacks=[seen, saving], logger=False, enable_progress_bar=False
        )
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)  # a warning would be an error
    finally:
        HydraConfig.instance().cfg = None
    return seen.steps, module.state_dict()


@pytest.fixture(scope="module")
def whole(overrides, tmp_path_factory):
    """A run with a checkpoint after every step: its folder, what it saw, its weights."""
    folder = tmp_path_factory.mktemp("resume") / "whole"
    return folder, *fit(overrides, folder, every_n_train_steps=1)


def saved(folder, step):
    return next((folder / "saved").glob(f"*step={step}.ckpt"))


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.slow
def test_no_number_comes_twice(whole):
    _, seen, _ = whole
    assert sorted(number for *_, numbers in seen for number in numbers) == list(range(2 * 2 * BATCHES))


@pytest.mark.slow
@pytest.mark.parametrize(("step", "workers"), [(1, 2), (3, 0), (3, 2), (4, 1), (6, 1)])
def test_a_run_resumed_anywhere_goes_on_with_the_next_batch(whole, overrides, tmp_path, step, workers):
    folder, seen, weights = whole
    rest, found = fit(
        overrides, tmp_path / "rest", saved(folder, step), workers=workers, every_n_train_steps=1
    )
    assert rest == seen[step:]
    assert same(weights, found)


@pytest.mark.slow
@pytest.mark.parametrize(("at_train_end", "workers"), [(True, 1), (False, 0)])
def test_a_run_resumed_from_the_end_of_an_epoch_begins_the_next(
    whole, overrides, tmp_path, at_train_end, workers
):
    _, seen, weights = whole
    fit(overrides, tmp_path / "first", save_on_train_epoch_end=at_train_end)
    file = saved(tmp_path / "first", BATCHES)
    rest, found = fit(overrides, tmp_path / "rest", file, workers, save_on_train_epoch_end=at_train_end)
    assert [numbers for *_, numbers in rest] == [numbers for *_, numbers in seen[BATCHES:]]
    assert same(weights, found)


@pytest.mark.slow
def test_a_run_may_be_resumed_twice_and_validate_within_the_epoch(whole, overrides, tmp_path):
    folder, seen, weights = whole
    often = [*overrides, "+trainer.val_check_interval=2"]
    once, _ = fit(often, tmp_path / "once", saved(folder, 1), every_n_train_steps=1)
    twice, found = fit(often, tmp_path / "twice", saved(tmp_path / "once", 3), every_n_train_steps=1)
    assert (once, twice) == (seen[1:], seen[3:])
    assert same(weights, found)


@pytest.mark.slow
def test_dropout_goes_on_as_it_would_have(whole, overrides, tmp_path):
    dropping = [*overrides, "module.network.dropout=0.5"]
    _, weights = fit(dropping, tmp_path / "whole", every_n_train_steps=1)
    assert not same(weights, whole[2])
    _, again = fit(dropping, tmp_path / "again", every_n_train_steps=1)
    assert same(weights, again)
    for step in (3, 5):
        file = saved(tmp_path / "whole", step)
        _, found = fit(dropping, tmp_path / f"rest_{step}", file, every_n_train_steps=1)
        assert same(weights, found)


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 2])
def test_the_fast_recipe_goes_on_as_it_would_have(overrides, tmp_path, batches):
    """Its momenta, moments, counts and schedule are in the checkpoint; with gradients of two batches too."""
    fast = [*overrides, "recipe=fast", f"+trainer.accumulate_grad_batches={batches}"]
    _, weights = fit(fast, tmp_path / "whole", every_n_train_steps=1)
    for step in (1, 3):
        _, found = fit(
            fast, tmp_path / f"rest_{step}", saved(tmp_path / "whole", step), every_n_train_steps=1
        )
        assert same(weights, found)


def test_every_batch_and_every_rank_drops_its_own(overrides, tmp_path):
    try:
        module = instantiate(composed(overrides, tmp_path).module)
    finally:
        HydraConfig.instance().cfg = None
    module.trainer = pl.Trainer(accelerator="cpu", logger=False, barebones=True)
    module.on_fit_start()

    def drawn(*numbers):
        module.on_train_batch_start(SimpleNamespace(numbers=numbers), 0)
        return torch.rand(4).tolist()

    with torch.random.fork_rng():
        first, others = drawn(4, 6), [drawn(5, 7), drawn(8, 10)]  # the other rank's, the next step's
        assert drawn(4, 6) == first
    assert first not in others
    assert others[0] != others[1]


@pytest.mark.ddp
@pytest.mark.slow
def test_two_ranks_go_on_where_they_were(overrides, tmp_path):
    steps = "+callbacks.steps={_target_: pytorch_lightning.callbacks.ModelCheckpoint, every_n_train_steps: 1,"
    steps += f" save_top_k: -1, dirpath: {tmp_path}/saved, filename: 'at_{{step}}',"
    steps += " auto_insert_metric_name: false}"

    def train(name, *more):
        line = [*overrides, "data.workers=1", *more]
        line.append("module.network.dropout=0.3")  # of which each rank has its own
        line.append(f"hydra.run.dir={tmp_path / name}")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = preloaded.run("ingradient_pl.cli.train", *line, env=environment, spares=(1,))
        assert done.returncode == 0, done.stdout + done.stderr
        return torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    whole = train("whole", "trainer=ddp_cpu", steps)
    resume = f"resume={tmp_path}/saved/at_3.ckpt"
    assert same(whole, train("two", "trainer=ddp_cpu", resume))
