"""A training step through Lightning with everything on, over the bare step of the same network."""

import statistics
import tempfile
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
from composed import composed
from figure import Figure
from hydra.utils import instantiate

import ingradient_pl as ip
from ingradient_pl.cli.train_config import instantiate_group
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.store.build import build_store

STEPS, SETTLING, ROUNDS = 23, 3, 5


class Clock(pl.Callback):
    """Seconds from the end of one batch to the end of the next: all that happens between is in them."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())

    def mean(self) -> float:
        return (self.ends[-1] - self.ends[SETTLING - 1]) / (len(self.ends) - SETTLING)


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder))
        bare = _bare(instantiate(config.module).network, config)
        ratios = []
        for _ in range(ROUNDS):
            full, bare_seconds = _through_lightning(config), _mean(bare)
            ratios.append(full / bare_seconds)
            print(f"through Lightning {full:.3f} s   bare {bare_seconds:.3f} s   ratio {ratios[-1]:.3f}")
    ratio = statistics.median(ratios)
    return [Figure("training_step", ratio, "ratio", "bare forward, backward and optimiser step", 1.15)]


def _config(work: Path):
    """The reference work on phantoms of Hippocampus size: every callback and logger as shipped."""
    build_store(read_source(write_phantoms(work / "raw", 20, (36, 50, 36), (1.0, 1.0, 1.0))), work / "store")
    ip.plan(store=str(work / "store"), output=str(work / "plan.yaml"))
    overrides = [f"store={work / 'store'}", f"plan={work / 'plan.yaml'}", "experiment=reference_cpu"]
    overrides += ["epochs=1", f"batches_per_epoch={STEPS}", "callbacks.progress.refresh_rate=1"]
    return composed(overrides, work)


def _through_lightning(config) -> float:
    clock = Clock()
    callbacks = [*instantiate_group(config.callbacks), clock]
    trainer = instantiate(config.trainer, callbacks=callbacks, logger=instantiate_group(config.logger))
    trainer.fit(instantiate(config.module), instantiate(config.data))
    return clock.mean()


def _mean(step) -> float:
    """Seconds of a step, over as many as Lightning's mean is of."""
    for _ in range(SETTLING):
        step()
    start = time.perf_counter()
    for _ in range(STEPS - SETTLING):
        step()
    return (time.perf_counter() - start) / (STEPS - SETTLING)


def _bare(network, config):
    """Nothing but forward, backward and the optimiser, on one batch that is there already."""
    optimiser = instantiate(config.module.optimizer)(network.parameters())
    image = torch.randn(config.plan.batch_size, config.plan.channels, *config.plan.patch)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        sum(level.mean() for level in network(image)).backward()
        optimiser.step()

    return step
