"""What a worker reads beside image and label: a box of a case's further volume."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from ingradient_pl.geometry import Box
from ingradient_pl.store.case_volumes import CaseVolumes
from ingradient_pl.transforms.previous_stage import PreviousStageAugment
from ingradient_pl.transforms.stage_labels import NO_LABELS, StageLabels


@dataclass(frozen=True)
class VolumeReader:
    """Reads further volumes, and removes components of those of a previous stage in training.

    Args:
        volumes: Where they lie.
        augment: What is removed at random; None leaves volumes as they are.
        labels: Of which components are removed.
        seed: The run's.
    """

    volumes: CaseVolumes
    augment: PreviousStageAugment | None = None
    labels: StageLabels = NO_LABELS
    seed: int = 0

    def __call__(self, case: str, box: Box, number: int) -> Num[np.ndarray, "_ _ _"]:
        """Read a box.

        Args:
            case: Name of the case.
            box: Voxels of its grid, as the store was opened.
            number: Of the patch's draw.

        Raises:
            StoreError: If it cannot be read.
        """
        found = self.volumes.read(case, box)
        if self.augment is None:
            return found
        return self.augment.remove_components(found, self.labels, number, self.seed)
