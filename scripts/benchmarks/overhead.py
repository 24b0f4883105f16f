"""What is around a run: a sweep's job over the run alone, and a step of Lightning's over a bare loop's."""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from composed import composed
from figure import Figure
from hydra.utils import instantiate

import ingradient_pl as ip
from ingradient_pl.cli.train_config import choose_callbacks
from ingradient_pl.datasets.phantom_files import write_phantoms
from ingradient_pl.datasets.sources import read_source
from ingradient_pl.lightning.step_values import as_pyramid
from ingradient_pl.store.build import build_store

BLOCK, BLOCKS = 10, 12
"""Steps from one writing of the loggers to the next, and how often that is measured; one more comes first."""
ROUNDS, SEEDS = 3, (0, 1)


class BesideBare(pl.Callback):
    """Behind each step of the trainer's make the same, with the same patches, in a loop without a trainer."""

    def __init__(self, config: Any) -> None:
        self.step = _bare_steps(config)
        self.full: list[tuple[float, float]] = []
        self.bare: list[tuple[float, float]] = []
        self.since = (0.0, 0.0)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        if not self.full:
            self.since = _clocks()

    def on_train_batch_end(self, *_: object) -> None:
        ended = _clocks()
        next(self.step)
        bare = _clocks()
        self.full.append(_between(self.since, ended))
        self.bare.append(_between(ended, bare))
        self.since = _clocks()


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        build_store(
            read_source(write_phantoms(work / "raw", 20, (36, 50, 36), (1.0, 1.0, 1.0))), work / "store"
        )
        ip.plan(store=str(work / "store"), output=str(work / "plan.yaml"))
        data = [f"store={work / 'store'}", f"plan={work / 'plan.yaml'}", "experiment=reference_cpu"]
        wall, processor = _step(work, data)
        job = _job(work, data)
    peer = "a bare loop over the same patches, step by step beside it"
    return [
        Figure("lightning_step", wall, "ratio", peer, 1.02),
        Figure("lightning_step_processor_time", processor, "ratio", peer, 1.02),
        Figure("sweep_job", job, "seconds", "the same runs alone, one process each", 5),
    ]


def _step(work: Path, data: list[str]) -> tuple[float, float]:
    """Give how much longer a step takes with everything on: by the clock, and by the processor's."""
    config = composed([*data, "epochs=1", f"batches_per_epoch={BLOCK * (BLOCKS + 1)}"], work)
    beside = BesideBare(config)
    trainer = instantiate(
        config.trainer,
        callbacks=[*choose_callbacks(config), beside],
        logger=list(map(instantiate, config.logger.values())),
        limit_val_batches=0,
    )
    trainer.fit(instantiate(config.module), instantiate(config.data))
    ratios = []
    for first in range(BLOCK, BLOCK * (BLOCKS + 1), BLOCK):
        full, bare = (
            [sum(part) for part in zip(*steps[first : first + BLOCK], strict=True)]
            for steps in (beside.full, beside.bare)
        )
        ratios.append((full[0] / bare[0], full[1] / bare[1]))
        print(f"step {full[0] / BLOCK:.4f} s   bare {bare[0] / BLOCK:.4f} s   ratio {ratios[-1][0]:.3f}")
    wall, processor = (statistics.median(part) for part in zip(*ratios, strict=True))
    return wall, processor


def _bare_steps(config: Any) -> Iterator[None]:
    """Read, prepare, augment, forward, loss, backward, clip, optimiser, schedule: the method itself."""
    data, module = instantiate(config.data), instantiate(config.module)
    network, loss = module.network, module.loss
    optimiser = module.optimizer(network.parameters())
    steps = BLOCK * (BLOCKS + 1)
    length = {} if module.length_argument is None else {module.length_argument: steps}
    schedule = module.scheduler(optimiser, **length)
    network.train()
    for patches in data.train_dataloader():
        batch = data.augment(data.prepare(patches))
        optimiser.zero_grad(set_to_none=True)
        loss(as_pyramid(network(batch.image)), batch.label).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.trainer.gradient_clip_val)
        optimiser.step()
        schedule.step()
        yield


def _job(work: Path, data: list[str]) -> float:
    """Give the seconds by which a job of a sweep takes longer than the same run as a program of its own."""
    told = [*data, "epochs=1", "batches_per_epoch=4", "callbacks.images=null"]
    spent = []
    for turn in range(ROUNDS):
        alone = sum(
            _time([*told, f"seed={seed}", f"hydra.run.dir={work}/alone{turn}_{seed}"]) for seed in SEEDS
        )
        swept = _time(
            ["-m", *told, f"seed={','.join(map(str, SEEDS))}", f"hydra.sweep.dir={work}/sweep{turn}"]
        )
        spent.append((swept - alone) / len(SEEDS))
        print(f"{len(SEEDS)} runs alone {alone:.1f} s   as one sweep {swept:.1f} s of the processor")
    return statistics.median(spent)


def _time(told: list[str]) -> float:
    """Give the seconds of the processor that a run takes: what else the machine does is not in them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ingradient_pl.cli.train", *told], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _between(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - start[0], end[1] - start[1]
