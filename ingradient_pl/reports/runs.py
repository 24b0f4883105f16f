"""What a report says about runs: one run's plan, curves and pictures; a sweep's table and curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ingradient_pl.lightning.record_file import RECORD, read_record
from ingradient_pl.lightning.run_epochs import read_epochs
from ingradient_pl.lightning.run_files import read_reason
from ingradient_pl.reports.charts import ACCENT, INK, Curve, draw_curves, label_colour
from ingradient_pl.reports.images import png_data
from ingradient_pl.reports.page import ReportError
from ingradient_pl.reports.parts import Chart, Facts, Gallery, Items, Part, Picture, Section, Text
from ingradient_pl.reports.plan_words import notes_of, plan_in_words, read_plain_plan

PICTURES, LARGEST = 6, 2_000_000
"""Level pictures that are shown, and bytes of a file that is still shown."""


def describe_run(run: Path) -> list[Section]:
    """Describe a run: what it is, its plan in words, its curves and the pictures of its last validation.

    Args:
        run: Its folder.

    Raises:
        ReportError: If nothing was trained there.
        ValueError: If its record is damaged.
    """
    record, epochs = read_record(run), plain_epochs(run)
    if not record and not epochs:
        raise ReportError(
            f"{run} holds no epoch and no {RECORD}: nothing was trained there yet. Train first: resume={run}"
        )
    parts: list[Part] = [Facts(_facts(run, record, epochs))]
    if record.get("state") in ("failed", "stopped"):
        parts.append(Text(f"It {record['state']} in epoch {len(epochs) + 1}: this is what it had reached."))
    sections = [Section("Run", parts)]
    plan = record.get("plan") or read_plain_plan(run / ".hydra" / "plan" / "plan.yaml")
    if plan:
        sections.append(Section("Plan", [Items(plan_in_words(plan)), Facts(notes_of(plan))]))
    sections.append(Section("Curves", _curves(epochs)))
    pictures = find_pictures(run)
    if pictures:
        title = (
            "Every level on validation patches: the same cases each time, and the worst patch of the epoch"
        )
        sections.append(Section("Levels", [Gallery(title, pictures, large=True)]))
    return sections


def stores_of_run(run: Path) -> dict[str, Path]:
    """Give the stores that a run trained on by their names, those that are still there.

    Args:
        run: Its folder.
    """
    told = find_part(read_record(run), "store")
    parts = told.get("parts")
    entries = parts if isinstance(parts, list) else [told]
    found = dict[str, Path]()
    for entry in entries:
        path = entry.get("path") if isinstance(entry, Mapping) else None
        if isinstance(path, str) and Path(path).is_dir():
            found[str(entry.get("name", Path(path).name))] = Path(path)
    return found


def find_pictures(run: Path) -> list[Picture]:
    """Give the pictures of the last validation that has some.

    Args:
        run: Its folder.
    """
    files = sorted(
        (run / "images").glob("val_*_epoch*.png"), key=lambda file: file.stem.rpartition("_epoch")[2]
    )
    last = files[-1].stem.rpartition("_epoch")[2] if files else ""
    pictures = []
    for file in files:
        if file.stem.rpartition("_epoch")[2] != last or file.stat().st_size > LARGEST:
            continue
        try:
            with Image.open(file) as picture:
                width, height = picture.size
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        stage = file.stem.partition("_epoch")[0].removeprefix("val_")
        title = "worst patch" if stage == "worst" else f"validation case {stage}"
        pictures.append(Picture(f"{title}, {_name_epoch(last)}", png_data(file.read_bytes()), width, height))
    return pictures[:PICTURES]


def plain_epochs(run: Path) -> list[dict[str, Any]]:
    """Read what the epochs of a run measured, and leave of it the numbers: nobody knows who wrote it.

    Args:
        run: Its folder.
    """
    epochs = []
    for epoch in read_epochs(run):
        labels = {str(name): value for name, value in find_part(epoch, "labels").items() if _is_number(value)}
        epochs.append({**{key: value for key, value in epoch.items() if _is_number(value)}, "labels": labels})
    return epochs


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def find_part(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Give a mapping within another; an empty one where there is something else.

    Args:
        record: Of anybody's.
        key: In it.
    """
    found = record.get(key)
    return found if isinstance(found, Mapping) else {}


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _name_epoch(number: str) -> str:
    return f"epoch {int(number) + 1}" if number.isdecimal() else "of no known epoch"


def _facts(
    run: Path, record: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str]]:
    split, device, length = (find_part(record, key) for key in ("split", "device", "length"))
    best = [epoch for epoch in epochs if epoch.get("dice") is not None]
    top = max(best, key=lambda epoch: epoch["dice"], default=None)
    versions = find_part(record, "versions")
    commit = find_part(find_part(record, "git"), "package").get("commit")
    train, validation = (_count(split.get(side)) for side in ("train", "validation"))
    facts = [
        ("State", str(record.get("state", "unknown"))),
        ("Epochs", f"{len(epochs)} of {length.get('epochs', '?')}"),
        ("Batches an epoch", str(length.get("batches_per_epoch", "?"))),
        ("Began", str(record.get("began", "?"))),
        ("Ended", str(record.get("ended", "not yet"))),
        ("Training time", f"{sum(epoch.get('seconds', 0) for epoch in epochs) / 60:.1f} min"),
        ("Device", f"{device.get('name', '?')}, {device.get('precision', '?')}"),
        ("Processes", str(device.get("processes", 1))),
        ("Cases", f"{train} train, {validation} validate"),
        ("Seed", str(record.get("seed", "?"))),
        (
            "Best Dice of validation patches",
            "none" if top is None else f"{top['dice']:.4f} in epoch {top['epoch']}",
        ),
        ("Versions", ", ".join(f"{name} {one}" for name, one in versions.items() if one is not None)),
        ("Code", "not in a repository" if commit is None else f"commit {str(commit)[:12]}"),
        ("Folder", str(run)),
    ]
    return [fact for fact in facts if fact[1]]


def _curves(epochs: Sequence[Mapping[str, Any]]) -> list[Part]:
    if not epochs:
        return [Text("No epoch has ended yet.")]
    loss = [
        Curve("training", *points_of(epochs, "train"), ACCENT),
        Curve("validation", *points_of(epochs, "val"), "#d1495b"),
    ]
    names = list(dict.fromkeys(name for epoch in epochs for name in epoch["labels"]))
    dice = [
        Curve(
            name,
            *points_of([{"epoch": one["epoch"], "dice": one["labels"].get(name)} for one in epochs], "dice"),
            label_colour(place),
            1.4,
        )
        for place, name in enumerate(names, 1)
    ]
    dice.append(Curve("mean", *points_of(epochs, "dice"), INK, 2.6))
    speed = [Curve("patches a second", *points_of(epochs, "patches"), ACCENT)]
    waiting = [Curve("waiting for data", *points_of(epochs, "waiting"), "#d1495b")]
    memory = [Curve("memory", *points_of(epochs, "memory"), ACCENT)]
    charts = (
        ("Loss", loss, "loss", 360),
        ("Dice of validation patches, pooled over all of them", dice, "Dice", 400),
        ("Learning rate", [Curve("learning rate", *points_of(epochs, "lr"), ACCENT)], "learning rate", 240),
        (
            "Seconds an epoch, validation included",
            [Curve("seconds", *points_of(epochs, "seconds"), ACCENT)],
            "seconds",
            240,
        ),
        ("Patches a second while training", speed, "patches a second", 240),
        ("Share of the training time spent waiting for data", waiting, "share", 240),
        ("Most memory taken so far", memory, "GB", 240),
    )
    return [
        Chart(title, draw_curves(curves, "epoch", y, whole=True, height=height))
        for title, curves, y, height in charts
        if any(len(curve.x) for curve in curves)
    ]


def points_of(epochs: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Give epochs and values of what was measured, those without it left out.

    Args:
        epochs: Records of a run.
        key: Name of the number in them.
    """
    found = [(epoch["epoch"], epoch[key]) for epoch in epochs if isinstance(epoch.get(key), (int, float))]
    return [number for number, _ in found], [value for _, value in found]


def state_of(run: Path) -> str:
    """Say how a run ended, or that it has not.

    Args:
        run: Its folder.
    """
    reason = read_reason(run)
    if reason is not None:
        return f"failed: {reason[:120]}" if reason else "failed"
    try:
        return str(read_record(run).get("state", "unknown"))
    except ValueError:  # one of many: the others are told all the same
        return "its record is damaged"
