"""``init_from``: a new run whose network starts from trained weights, with what was taken shown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, cast

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

from ingradient_pl.datasets.resumed_split import resume_split
from ingradient_pl.datasets.split_records import Split
from ingradient_pl.finetuning.mapping import WeightMapping, map_weights
from ingradient_pl.finetuning.names import read_names
from ingradient_pl.finetuning.source import Folds, read_weights
from ingradient_pl.finetuning.source_record import Source
from ingradient_pl.finetuning.trained_on import TrainedOn, check_unseen
from ingradient_pl.lightning.datamodule import SegmentationData
from ingradient_pl.lightning.run_log import RANK, tell
from ingradient_pl.messages import UsageError
from ingradient_pl.phrases import name_some
from ingradient_pl.spec import TRUSTED
from ingradient_pl.store.image_sums import read_image_sums
from ingradient_pl.store.store_parts import divide_by_store
from ingradient_pl.store.store_union import locate_case

TABLE = "init.csv"
"""The whole mapping, in the run's folder."""


@dataclass(frozen=True)
class InitWeights:
    """Start a run from trained weights.

    Args:
        path: Checkpoint of ours or folder of a run; folder of a model of nnU-Net or of one of its folds; an
            encoder of nnssl; or plain weights.
        at_least: Share of the network's parameters, in [0, 1], that must come from it.
        folds: Of a model with several folds, the ``first`` or the ``mean`` of their weights.
        split: Whose division of the cases holds: the config's ``own``, or the ``source``'s for all cases it
            knew, the others divided by the config's.
        trusted: Packages whose classes a checkpoint may name.
        mapping: For plain weights, a YAML file of lines ``ours: theirs``; None finds what is certain.

    Raises:
        UsageError: If the share is no share, or ``folds`` or ``split`` none of its words.
    """

    path: Path
    at_least: float = 0.5
    folds: Folds = "first"
    split: Literal["own", "source"] = "own"
    trusted: Sequence[str] = TRUSTED
    mapping: Path | None = None

    def __post_init__(self) -> None:
        share = isinstance(self.at_least, (int, float)) and not isinstance(self.at_least, bool)
        if not share or not 0 <= self.at_least <= 1:
            raise UsageError(f"init_at_least is a share of the weights in [0, 1]; got {self.at_least}.")
        if self.folds not in ("first", "mean"):
            raise UsageError(
                f"init_folds is 'first' or 'mean', got '{self.folds}'. One fold of nnU-Net's: its own "
                "folder, init_from=MODEL/fold_1"
            )
        if self.split not in ("own", "source"):
            raise UsageError(f"init_split is 'own' or 'source'; got '{self.split}'.")

    def __call__(self, module: pl.LightningModule, data: pl.LightningDataModule, run: Path) -> WeightMapping:
        """Fill the network of a module, and write what was taken into the folder of its run.

        Args:
            module: Its network is filled; it remembers where the weights came from, for the run's record.
            data: Who trains and who validates; with ``split=source`` this is changed.
            run: The run's folder.

        Raises:
            UsageError: If less is taken than was asked for.
            ValueError: If the source cannot be read, or a case that it was trained on would validate.
        """
        if not isinstance(data, SegmentationData):
            raise UsageError(
                "init_from= matches channels and labels by name, which a SegmentationData tells; data is a "
                f"{type(data).__name__}. Load the weights in a module of your own."
            )
        rules = None if self.mapping is None else read_names(self.mapping)
        source = read_weights(self.path, self.folds, self.trusted)
        self._divide(source, data)
        trained = check_cases(source, data)
        network = cast(nn.Module, module.network)
        mapping = map_weights(network, source, data.task, rules)
        if RANK.rank == 0:
            mapping.write(run / TABLE)
        for warning in (*mapping.warnings, *tell_frozen(mapping, getattr(module, "freeze_patterns", ()))):
            rank_zero_warn(warning)
        told = f"{mapping.share:.1%} of the network's parameters come from {source.origin}"
        if mapping.share < self.at_least:
            raise UsageError(
                f"{told}, and init_at_least={self.at_least:g} asks for {self.at_least:.0%}:\n"
                f"{mapping.table()}\n"
                f"Every tensor: {run / TABLE}. Take the source's plan, another source, or a smaller "
                "init_at_least."
            )
        mapping.apply(network)
        tell(f"{told} ({run / TABLE}):\n{mapping.table()}")
        record = {
            "path": str(self.path.absolute()),
            "share": mapping.share,
            "trained": [entry.as_plain() for entry in trained],
        }
        vars(module)["init_record"] = record
        return mapping

    def _divide(self, source: Source, data: SegmentationData) -> None:
        if self.split == "own":
            return
        if source.split is None:
            raise UsageError(
                f"init_split=source, but {source.origin} does not tell who trained and who validated. Divide "
                "with data.split.file=splits_final.json, or leave init_split out."
            )
        renamed = find_renamed(source, data)
        before = Split(*(tuple(renamed.get(name, name) for name in side) for side in source.split))
        resumed = resume_split(before, data.split, data.store.cases)
        data.split = resumed.split
        for line in resumed.describe_changes():
            tell(line)


def tell_frozen(mapping: WeightMapping, patterns: Sequence[str]) -> Iterator[str]:
    """Say which weights are to stay as they are, and have nothing from the source.

    Args:
        mapping: Where each tensor comes from.
        patterns: Names of parameters that do not train, with ``*`` and ``?``.
    """
    fresh = [row.tensor for row in mapping.rows if row.state == "fresh"]
    frozen = [name for name in fresh if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if frozen:
        yield (
            f"module.freeze={list(patterns)} freezes {len(frozen)} tensors of which {mapping.origin} has "
            f"nothing: {name_some(frozen)}. They stay as drawn. Freeze what was taken alone, or let "
            "them train after some epochs (module.freeze_epochs)."
        )


def find_renamed(source: Source, data: SegmentationData) -> dict[str, str]:
    """Find cases that the source knew under another name, by their images: old names to new ones.

    Args:
        source: The weights.
        data: The cases there are.
    """
    before = {image: name for name, image in source.images.items() if image}
    found = {}
    for name in data.store.cases if before else ():
        folder, case, _ = locate_case(data.store, name)
        old = before.get(read_image_sums(folder, [case]).get(case, ""), name)
        if old != name and old not in data.store.cases:
            found[old] = name
    return found


def check_cases(source: Source, data: SegmentationData) -> tuple[TrainedOn, ...]:
    """Refuse a division that validates on what the source was trained on; warn where that is not known.

    Args:
        source: The weights.
        data: Who validates.

    Returns:
        What the source was trained on.

    Raises:
        ValueError: If a case of the same data set trained the source.
    """
    told = dict[str, None]()
    for part in divide_by_store(data.store, data.split.kept):
        validation = TrainedOn(part.cases, part.data, part.path, part.sha256)
        known = any(any(entry.images) for entry in source.trained)
        images = read_image_sums(Path(part.path), part.patients) if known else {}
        told |= dict.fromkeys(check_unseen(source.origin, source.trained, validation, part.patients, images))
    for warning in told:
        rank_zero_warn(warning)
    return source.trained
