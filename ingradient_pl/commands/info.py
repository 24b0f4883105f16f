"""What a store, a plan, a run's folder or a checkpoint holds, as plain values for people and programs."""

import json as json_format
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import yaml

from ingradient_pl.commands.inputs import AnyPath
from ingradient_pl.inference.checkpoint_file import OTHERS, OURS, PREVIOUS, read_content
from ingradient_pl.inference.other_files import name_kind
from ingradient_pl.lightning.record_file import RECORD, read_record
from ingradient_pl.lightning.run_files import KINDS, find_checkpoints, find_kind, read_folds_state
from ingradient_pl.messages import say
from ingradient_pl.plain_values import PlainValueError, check_plain, read_yaml
from ingradient_pl.planning.plan_yaml import REQUIRED
from ingradient_pl.reports.swept_runs import read_sweep_table
from ingradient_pl.spec import to_spec
from ingradient_pl.store.case_store import CaseStore
from ingradient_pl.store.metadata import DATASET, read_dataset

UNITS = {
    "axes": "z, y, x",
    "spacing": "mm",
    "patch": "voxels",
    "shape": "voxels",
    "batch_size": "patches",
    "size_bytes": "bytes",
    "began": "ISO 8601",
    "ended": "ISO 8601",
}
"""Of the keys that are given, wherever they stand."""

IMAGES = "images"
"""Of a run's record: case to check sum."""

YAML = (".yaml", ".yml")


def info(path: AnyPath, json: bool | None = None) -> dict[str, Any]:  # noqa: FBT001 - a switch of the command
    """Tell what a store, a run, a sweep, a cross-validation, a cascade, a plan or a checkpoint holds.

    Nothing in it is run.

    Args:
        path: Folder of a store, a run, a sweep, a cross-validation or a cascade, a plan's YAML file, or a
            checkpoint.
        json: Whether to print JSON instead of YAML; None, as in Python, prints nothing.

    Returns:
        Plain values: ``kind`` (store, run, sweep, cross-validation, cascade, plan or checkpoint),
        ``path``, ``units``, and what there is to know. Numbers that are not finite are None.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If it is none of these, or a file is damaged.
    """
    path = Path(path)
    described = _describe(path)
    first = {"kind": described["kind"], "path": str(path.absolute())}
    found: dict[str, Any] = _plain({**first, **described, **first, "units": UNITS})
    if json:
        say(json_format.dumps(found, indent=1, allow_nan=False))
    elif json is not None:
        shown = _without_sums(found)
        text = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
        say(text.rstrip())
    return found


def _describe(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file or folder. Check the path.")
    if path.is_dir() and (path / DATASET).is_file():
        return _of_store(path)
    kind = find_kind(path)
    if kind is not None:
        describe = {"sweep": _of_sweep, "run": _of_run}.get(kind, _of_folds)
        return describe(path)
    if path.is_file():
        return _of_plan(path) if path.suffix in YAML else _of_file(path)
    raise ValueError(
        f"{path} is neither a case store ({DATASET}) nor the folder of a run ({RECORD}), of a "
        "sweep, a cross-validation or a cascade. Name one of these, a plan's YAML file or a checkpoint."
    )


def _of_file(path: Path) -> dict[str, Any]:
    """Tell of a checkpoint; refuse a file of another known kind, naming all that would do."""
    kind = name_kind(path)
    if kind is not None and not is_zipfile(path):
        raise ValueError(
            f"{path} is {kind}, which is neither a plan nor a checkpoint. Name the folder of a store or of a "
            "run, a plan's YAML file or a checkpoint."
        )
    return _of_checkpoint(path)


def _of_store(path: Path) -> dict[str, Any]:
    described, store = read_dataset(path), CaseStore(path)
    grids = [case.grid for case in store.cases.values()]
    medians = {
        name: np.median([grid[part] for grid in grids], axis=0).tolist() if grids else None
        for part, name in ((0, "shape"), (1, "spacing"))
    }
    task = store.task
    held: dict[int, tuple[int, ...]] = {value: (value,) for value in task.foreground_values}
    if task.overlap is not None:  # labels by their numbers, not the combinations that the store numbers
        held = dict(enumerate(task.foreground.values(), 1))
    voxels = {
        str(value): sum(case.voxels.get(one, 0) for case in store.cases.values() for one in values)
        for value, values in held.items()
    }
    return {
        "kind": "store",
        "store_format": described["store_format"],
        "sha256": store.check_sum(),
        "task": store.task.described,
        "orientation": store.orientation,
        "cases": list(store.cases),
        "labelled": sum(case.labelled for case in store.cases.values()),
        "patients": len({case.group for case in store.cases.values()}),
        "median": medians,
        "voxels_of_labels": voxels,
    }


def _of_plan(path: Path) -> dict[str, Any]:
    try:
        plain = read_yaml(path)
    except PlainValueError as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
    missing = [name for name in REQUIRED if not isinstance(plain, dict) or name not in plain]
    if missing:
        raise ValueError(f"{path} is not a plan: it lacks {', '.join(missing)}.")
    return {"kind": "plan", "plan": plain}


def _of_run(path: Path) -> dict[str, Any]:
    """Give the record of a run, and its checkpoints."""
    record = read_record(path)
    return {"state": "unknown", **record, "kind": "run", "checkpoints": _checkpoints(path / "checkpoints")}


def _of_sweep(path: Path) -> dict[str, Any]:
    """Give the runs of a sweep, the best first: folder, what sets it apart, and what it reached."""
    runs, score = read_sweep_table(path)
    told = [{"folder": run.folder, "overrides": run.told, score: run.score} for run in runs]
    return {"kind": "sweep", "score": score, "runs": told}


def _of_folds(path: Path) -> dict[str, Any]:
    """Give what a cross-validation or a cascade was told and reached, and the checkpoints that predict."""
    kind = str(find_kind(path))
    state = read_folds_state(path / KINDS[kind][0])
    files = {**_checkpoints(path), **_checkpoints(path / "second" / "checkpoints")}
    return {**state, "kind": kind, "checkpoints": files}


def _checkpoints(folder: Path) -> dict[str, Any]:
    return {
        file.name: {"path": str(file.absolute()), "size_bytes": file.stat().st_size}
        for file in find_checkpoints(folder)
    }


def _of_checkpoint(path: Path) -> dict[str, Any]:
    content = read_content(path)
    own = content[OURS]
    check_plain(own)
    weights = content.get("state_dict", {})
    return {
        "size_bytes": path.stat().st_size,
        "epoch": content.get("epoch"),
        "step": content.get("global_step"),
        "resumable": "optimizer_states" in content,
        "weights": sum(value.numel() for value in weights.values()),
        **own,
        **({"previous": content[PREVIOUS][OURS]} if PREVIOUS in content else {}),
        **({"others": [other[OURS] for other in content[OTHERS]]} if OTHERS in content else {}),
        "kind": "checkpoint",
    }


def _without_sums(found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the check sum of each image, which a run's record holds: lines for programs alone."""
    shown = {key: value for key, value in found.items() if key != IMAGES}
    record = shown.get("run")
    return shown if not isinstance(record, Mapping) else {**shown, "run": _without_sums(record)}


def _plain(value: Any) -> Any:
    """Give what JSON can say of plain values: keys are text, and what is not finite is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else to_spec(value)
