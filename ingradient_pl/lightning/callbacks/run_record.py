"""What a run is: split, data, plan, length, seed, versions, device, in its folder and its checkpoints."""

import json
import os
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from typing_extensions import override

from ingradient_pl.datasets.split_columns import describe_tested
from ingradient_pl.inference.checkpoint_file import OURS
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.record_file import FAILED, FINISHED, RUNNING, STOPPED, read_record, write_record
from ingradient_pl.lightning.run_log import tell
from ingradient_pl.provenance import code_state, device_name, versions
from ingradient_pl.spec import to_spec
from ingradient_pl.store.copies import describe_leaks
from ingradient_pl.store.image_sums import read_image_sums
from ingradient_pl.store.store_parts import StorePart, divide_by_store
from ingradient_pl.store.store_union import locate_case

HISTORY = "before"
"""What was recorded of the run until it was resumed."""


class RunRecord(pl.Callback):
    """Write ``run.json`` into the run's folder, and the same under ``run`` into each checkpoint.

    It holds the split by case names, the store with its check sum, the plan, the length, the seed, versions,
    git state and device; and, once the run is over, how it ended and what it reached.
    """

    def __init__(self) -> None:
        self.record: dict[str, Any] = {}
        self.init: dict[str, Any] | None = None
        self.store: dict[str, Any] = {}

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = Path(trainer.default_root_dir)
        before = read_record(run) if trainer.is_global_zero else {}
        history = [*before.pop(HISTORY, ()), before] if before else []
        known = {"state": RUNNING, "began": _now(), **describe_run(trainer, pl_module)}
        if self.init is not None:
            known.setdefault("init", self.init)
        if self.store and self.store["sha256"] != known.get("store", self.store)["sha256"]:
            tell(
                f"The store {known['store']['path']} is not as it was when the run was saved "
                f"({self.store['path']}): cases, labels or their files have changed. It is trained on. "
                "If it is another data set, stop, and start a new run from the weights: init_from=RUN"
            )
        data = trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, SegmentationData):
            for text in [*describe_leaks(data.store, *data.split), *_describe_tested(data)]:
                tell(text)
        _tell_threads(before, known)
        if history:
            known[HISTORY] = [_shorten(entry) for entry in history]
        self.record = json.loads(json.dumps(known))  # plain values: checkpoints hold no others
        self._write(trainer)

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self.record:
            checkpoint.setdefault(OURS, {})["run"] = self.record

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        told = checkpoint.get(OURS, {}).get("run", {})
        known = told if isinstance(told, dict) else {}
        self.init, self.store = known.get("init"), known.get("store", {})  # a resumed run began there too

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._tell_changed_store(trainer)
        self._end(trainer, FINISHED)

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        if self.record:
            told = isinstance(exception, KeyboardInterrupt) or trainer.received_sigterm
            self._end(trainer, STOPPED if told else FAILED)

    def _tell_changed_store(self, trainer: pl.Trainer) -> None:
        """Say that cases were changed while they were trained on: part of the run saw others."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, SegmentationData) or not trainer.is_global_zero:
            return
        try:
            same = data.store.check_sum() == self.record["store"]["sha256"]
        except (OSError, ValueError):
            same = False
        if not same:
            tell(
                f"Note: the store {self.record['store']['path']} was changed while this run trained on it: "
                "cases may have been others towards its end. Train anew for scores that hold."
            )

    def _end(self, trainer: pl.Trainer, state: str) -> None:
        self.record |= {"state": state, "ended": _now(), "epochs_done": trainer.current_epoch}
        self.record["steps_done"] = trainer.global_step
        self.record["scores"] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero:
            write_record(Path(trainer.default_root_dir), self.record)


def _tell_threads(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Say that a CPU adds up in another order than before: each thread rounds a sum of its own."""
    old, new = (one.get("device", {}) for one in (before, now))
    if new["type"] == "cpu" == old.get("type") and old.get("threads", new["threads"]) != new["threads"]:
        tell(
            f"The run goes on with {new['threads']} threads (it had {old['threads']}): weights may differ "
            "from those of an undisturbed run by rounding. OMP_NUM_THREADS sets their number."
        )


def describe_run(trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
    """Give what there is to know of a run before its first step, as plain values.

    Args:
        trainer: About to fit.
        module: With its data attached.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    steps = trainer.estimated_stepping_batches
    known = {
        "versions": {**versions(), "pytorch_lightning": version("pytorch-lightning")},
        "git": code_state(),
        "device": {
            "name": device_name(module.device),
            "type": module.device.type,
            "processes": trainer.world_size,
            "threads": torch.get_num_threads(),
            "precision": str(trainer.precision),
        },
        "seed": None if seed is None else int(seed),
        "length": {
            "epochs": trainer.max_epochs,
            "batches_per_epoch": trainer.num_training_batches,
            "steps": None if steps == float("inf") else int(steps),
        },
    }
    init = getattr(module, "init_record", None)
    known |= {} if init is None else {"init": init}
    data = trainer.datamodule  # type: ignore[attr-defined]
    if isinstance(data, SegmentationData):
        known |= {
            "store": _describe_store(data),
            "split": {name: list(cases) for name, cases in data.split._asdict().items()},
            "images": _sum_images(data),
            "plan": to_spec(data.plan),
        }
    return known


def _describe_store(data: SegmentationData) -> dict[str, Any]:
    """Name the store, or each of several and its cases, with check sums."""
    parts = divide_by_store(data.store, list(data.store.cases))
    if len(parts) == 1:
        return {"path": parts[0].path, "sha256": parts[0].sha256}
    told = [dict(zip(StorePart._fields[:4], part, strict=False)) for part in parts]
    return {"path": [part.path for part in parts], "sha256": data.store.check_sum(), "parts": told}


def _sum_images(data: SegmentationData) -> dict[str, str]:
    """Tell each case by its image: who trained must not validate what starts here, under no other name."""
    found = {}
    for name in {*data.split.train, *data.split.validation}:
        folder, case, _ = locate_case(data.store, name)
        found[name] = read_image_sums(folder, [case]).get(case, "")
    return dict(sorted(found.items()))


def _shorten(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out of what is past what is long and stays as it was."""
    return {key: value for key, value in entry.items() if key not in ("plan", "split", "images", HISTORY)}


def _describe_tested(data: SegmentationData) -> list[str]:
    cases = data.store.cases
    splits, groups = (
        {name: getattr(case, key) for name, case in cases.items()} for key in ("split", "group")
    )
    return describe_tested(splits, groups, {*data.split.train, *data.split.validation})


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
