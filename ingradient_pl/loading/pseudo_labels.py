"""Pseudo-labels: what a network found of labels that nobody annotated, put into the labels of patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Integer
from torch import Tensor

from ingradient_pl.geometry import Box
from ingradient_pl.store.case_volumes import CaseVolumes
from ingradient_pl.store.store_union import AnyCases


class PseudoLabelReader:
    """Completes the labels of cases that were annotated in part, from some epoch of a run on.

    What is read follows from the number of a patch alone, so that a run that goes on sees what it would have.

    Args:
        store: Of the cases.
        folder: With a folder of volumes for each round of pseudo-labels, see :func:`place_of`.
        epochs: From which on each round holds, ascending; they may change until the first patch is read.
        per_epoch: Patches of an epoch, over all ranks.
    """

    def __init__(self, store: AnyCases, folder: Path, epochs: Sequence[int], per_epoch: int) -> None:
        self.store, self.folder, self.epochs, self.per_epoch = store, folder, epochs, per_epoch
        self.opened: dict[int, CaseVolumes] = {}

    def complete(
        self,
        case: str,
        box: Box,
        number: int,
        label: Integer[np.ndarray, "z y x"],
        known: Bool[Tensor, " output"],
    ) -> tuple[Integer[np.ndarray, "z y x"], Bool[Tensor, " output"]]:
        """Give the label of a patch, and which outputs it tells, with what a network found.

        Args:
            case: Name of the case.
            box: Voxels of its grid that the label covers.
            number: Of the patch in the whole run, over all ranks, from 0.
            label: As it was annotated.
            known: Which outputs it tells.

        Raises:
            StoreError: If the pseudo-labels of the case cannot be read.
        """
        held = [epoch for epoch in self.epochs if epoch <= number // self.per_epoch]
        if not held or bool(known.all()):
            return label, known
        if held[-1] not in self.opened:
            self.opened[held[-1]] = CaseVolumes(place_of(self.folder, held[-1]), self.store)
        found = self.opened[held[-1]].read(case, box)
        return np.where(label == 0, found.astype(label.dtype), label), torch.ones_like(known)


def place_of(folder: Path, epoch: int) -> Path:
    """Give where the volumes of a round are.

    Args:
        folder: Of all rounds.
        epoch: At whose start they were made, from 0.
    """
    return folder / f"epoch_{epoch}"
