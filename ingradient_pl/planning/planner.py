"""Planner: from a data set's fingerprint to plans, one for each configuration that suits it."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ingradient_pl.geometry import AXES
from ingradient_pl.planning.fingerprint import Fingerprint
from ingradient_pl.planning.intensity import normaliser
from ingradient_pl.planning.memory import Architecture, Memory
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.presets import DEFAULT, Preset
from ingradient_pl.planning.seen_cases import SEEN, describe_seen
from ingradient_pl.planning.spacing import NnunetSpacing, SpacingRule, check_spacing
from ingradient_pl.planning.topology import Topology, topology
from ingradient_pl.short_repr import describe
from ingradient_pl.transforms.stage_labels import MOST

LARGEST_EDGE = {2: 2048, 3: 256}
"""Edge in voxels of the square or cube whose content the first patch has, by axes; it only shrinks."""
SMALLEST_BATCH = 2
MASK_BELOW = 0.75
"""Z-scores look at the body only where the crop left less than this share of a case."""
LOWRES_BELOW = 0.25
"""A coarse first stage is planned where a patch shows less than this share of a case,"""
WORTHWHILE = 2
"""and kept where it has this many times fewer voxels."""
COARSER = 1.03
ALIKE = 2


class ResampledDataset(NamedTuple):
    """The data set as a network sees it.

    Args:
        spacing: Size of its voxels in mm, two or three axes.
        shape: Voxels of the median case.
        total: Voxels of the data set.
    """

    spacing: tuple[float, ...]
    shape: tuple[float, ...]
    total: float


class SizedArchitecture(NamedTuple):
    """A network, the data as it sees them, and how many patches of it fit into memory."""

    dataset: ResampledDataset
    architecture: Architecture
    patches: float


@dataclass(frozen=True)
class Planner:
    """nnU-Net's way from a fingerprint to plans; the rule for the spacing is a part of its own.

    Args:
        spacing: Chooses the network's spacing.
        preset: The kind of network and its budget.
        memory_gb: Memory of the GPU that is planned for; None takes what the preset was made for.
        memory: Judges how many patches fit into it; None takes the preset's judge, who knows our networks.

    Raises:
        ValueError: If the memory is not positive.
    """

    spacing: SpacingRule = field(default_factory=NnunetSpacing)
    preset: Preset = DEFAULT
    memory_gb: float | None = None
    memory: Memory | None = None

    def __post_init__(self) -> None:
        if self.memory_gb is not None and not self.memory_gb > 0:
            raise ValueError(f"memory_gb is the memory of a GPU in gigabytes, got {self.memory_gb}.")

    def __repr__(self) -> str:
        gigabytes = self.preset.memory_gb if self.memory_gb is None else self.memory_gb
        return describe(
            self, {"spacing": self.spacing, "memory_gb": gigabytes, "residual": self.preset.residual}
        )

    @property
    def gigabytes(self) -> float:
        """Memory that is planned for."""
        return self.preset.memory_gb if self.memory_gb is None else self.memory_gb

    @property
    def judge(self) -> Memory:
        """Who judges how many patches fit."""
        return self.preset.memory if self.memory is None else self.memory

    def plans(self, fingerprint: Fingerprint, axes: Sequence[int] = (2, AXES)) -> dict[str, Plan]:
        """Plan every configuration that suits the data set.

        Args:
            fingerprint: Of the data set.
            axes: Only networks that convolve along so many axes are planned: 2, 3 or both.

        Returns:
            Plans by name: ``2d``; ``3d_fullres`` where cases have more than a slice; ``3d_lowres`` and
            ``3d_cascade_fullres`` where a patch of the full resolution shows too little of a case; the latter
            not where more labels may overlap than a cascade hands on.

        Raises:
            ValueError: If the memory is too small for any patch, a CT channel has no foreground, or voxels of
                the rule's spacing are nothing like the cases'.
        """
        target = self.spacing.target(fingerprint.grids)
        check_spacing(target.spacing, fingerprint.median_spacing)
        transpose = _coarsest_first(target.spacing)
        spacing = tuple(target.spacing[axis] for axis in transpose)
        shapes = [grid.respaced(target.spacing).shape for grid in fingerprint.grids]
        shape = tuple(np.median(shapes, axis=0)[list(transpose)].tolist())
        dataset = ResampledDataset(spacing, shape, float(np.prod(shape)) * len(shapes))
        plans = {}
        if AXES in axes and dataset.shape[0] != 1:
            plans = self._in_space(dataset, fingerprint)
        if 2 in axes:  # noqa: PLR2004
            flat = self._fit(ResampledDataset(spacing[1:], dataset.shape[1:], dataset.total), fingerprint)
            plans["2d"] = self._plan(flat, fingerprint, batch_dice=True)
        common = {
            "data_set": fingerprint.task.name,
            "cases": len(shapes),
            "median_shape": list(fingerprint.median_shape),
            "median_spacing_mm": list(fingerprint.median_spacing),
            "spacing_rule": repr(self.spacing),
            "anisotropic_axis": target.anisotropic_axis,
            SEEN: describe_seen(fingerprint),
        }
        return {
            name: dataclasses.replace(
                plan,
                transpose=transpose,
                notes={"configuration": name, **common, **plan.notes},
            )
            for name, plan in sorted(plans.items())
        }

    def with_batch_size(self, plan: Plan, fingerprint: Fingerprint) -> Plan:
        """Give a plan the batch size that its patch and network leave memory for.

        Args:
            plan: Whose patch, network or spacing was chosen otherwise than here.
            fingerprint: Of the data set.
        """
        flat = plan.patch[0] == 1 and all(kernel[0] == 1 for kernel in plan.kernels)
        shape = Topology(
            plan.patch[flat:],
            tuple(stride[flat:] for stride in plan.strides),
            tuple(kernel[flat:] for kernel in plan.kernels),
        )
        task = fingerprint.task
        architecture = Architecture(
            shape,
            plan.widths,
            plan.blocks,
            plan.decoder_blocks,
            plan.residual,
            plan.channels,
            plan.outputs,
            len(task.labels),
        )
        patches = self.judge.patches(architecture, self.gigabytes)
        sizes = [plan.grid(grid.transposed(plan.transpose)).shape for grid in fingerprint.grids]
        total = float(np.prod(np.median(sizes, axis=0))) * len(sizes)
        most = round(total * self.preset.data_share / math.prod(plan.patch))
        notes = {"patches_that_fit": round(patches, 2), "patches_for_share_of_data": most}
        return dataclasses.replace(
            plan, batch_size=max(min(round(patches), most), SMALLEST_BATCH), notes={**plan.notes, **notes}
        )

    def _in_space(self, dataset: ResampledDataset, fingerprint: Fingerprint) -> dict[str, Plan]:
        """Plan the configurations that convolve along three axes."""
        full = self._fit(dataset, fingerprint)
        low = self._coarser(full, fingerprint)
        plans = {"3d_fullres": self._plan(full, fingerprint, batch_dice=low is not None)}
        if low is not None:
            plans["3d_lowres"] = self._plan(low, fingerprint, batch_dice=False)
        if low is not None and (fingerprint.task.overlap is None or fingerprint.task.outputs <= MOST):
            plans["3d_cascade_fullres"] = dataclasses.replace(plans["3d_fullres"], previous_stage="3d_lowres")
        return plans

    def _coarser(self, full: SizedArchitecture, fingerprint: Fingerprint) -> SizedArchitecture | None:
        """Choose a coarser network that sees enough of a case at once; None where none is needed."""
        fine = np.array(full.dataset.spacing)
        sized, spacing, voxels = full, fine, float(np.prod(full.dataset.shape))
        while math.prod(sized.architecture.topology.patch) / voxels < LOWRES_BELOW:
            coarse = spacing.max() / spacing <= ALIKE
            spacing = spacing * (COARSER if coarse.all() else np.where(coarse, 1, COARSER))
            shape = fine / spacing * full.dataset.shape
            voxels = float(np.prod(shape))
            total = voxels * len(fingerprint.grids)
            dataset = ResampledDataset(tuple(spacing.tolist()), tuple(round(size) for size in shape), total)
            sized = self._fit(dataset, fingerprint)
        return sized if float(np.prod(full.dataset.shape)) / voxels >= WORTHWHILE else None

    def _fit(self, dataset: ResampledDataset, fingerprint: Fingerprint) -> SizedArchitecture:
        """Choose the largest patch of which enough fit into memory."""
        axes = len(dataset.shape)
        fit = self.preset.fit_3d if axes == AXES else self.preset.fit_2d
        shape = 1 / np.array(dataset.spacing)
        shape = shape * (LARGEST_EDGE[axes] ** axes / np.prod(shape)) ** (1 / axes)
        first = [min(round(size), most) for size, most in zip(shape, dataset.shape, strict=True)]
        architecture = self._design(topology(first, dataset.spacing, self.preset.edge), fingerprint)
        seen = set()
        while (patches := self.judge.patches(architecture, self.gigabytes)) < fit:
            seen.add(architecture.topology.patch)
            smaller = _shrink(architecture.topology, dataset, self.preset.edge)
            if smaller.patch in seen or len(smaller.strides) == 1:
                raise ValueError(
                    f"{self.gigabytes} GB hold no {fit} patches of {architecture.topology.patch} voxels, and "
                    "smaller patches make no network. Plan for more memory, or for a coarser spacing."
                )
            architecture = self._design(smaller, fingerprint)
        return SizedArchitecture(dataset, architecture, patches)

    def _design(self, shape: Topology, fingerprint: Fingerprint) -> Architecture:
        preset, task, stages = self.preset, fingerprint.task, len(shape.strides)
        widest = preset.widest_3d if len(shape.patch) == AXES else preset.widest_2d
        blocks = preset.blocks + preset.blocks[-1:] * stages
        return Architecture(
            topology=shape,
            widths=tuple(min(widest, preset.width * 2**stage) for stage in range(stages)),
            blocks=blocks[:stages],
            decoder_blocks=(preset.decoder_blocks,) * (stages - 1),
            residual=preset.residual,
            channels=len(task.channels),
            outputs=task.outputs,
            labels=len(task.labels),
        )

    def _plan(self, sized: SizedArchitecture, fingerprint: Fingerprint, *, batch_dice: bool) -> Plan:
        dataset, architecture, patches = sized
        most = round(dataset.total * self.preset.data_share / math.prod(architecture.topology.patch))
        shape = architecture.topology.within(AXES)
        kept: list[float | None] = [None] * (AXES - len(dataset.spacing))
        masked = fingerprint.relative_size < MASK_BELOW
        named = zip(fingerprint.task.channels, fingerprint.foreground, strict=True)
        notes = {
            "median_shape_at_spacing": list(dataset.shape),
            "memory_gb": self.gigabytes,
            "patches_that_fit": round(patches, 2),
            "patches_for_share_of_data": most,
            **self.judge.notes(architecture),
        }
        return Plan(
            channels=architecture.channels,
            outputs=architecture.outputs,
            spacing=(*kept, *dataset.spacing),  # type: ignore[arg-type]
            patch=self.judge.patch(shape.patch),  # type: ignore[arg-type]
            batch_size=max(min(round(patches), most), SMALLEST_BATCH),
            widths=architecture.widths,
            strides=shape.strides,  # type: ignore[arg-type]
            kernels=shape.kernels,  # type: ignore[arg-type]
            blocks=architecture.blocks,
            decoder_blocks=architecture.decoder_blocks,
            normalisation=tuple(normaliser(name, one, masked=masked) for name, one in named),
            residual=architecture.residual,
            batch_dice=batch_dice,
            orientation=fingerprint.orientation,
            ignore=fingerprint.task.ignore,
            regions=fingerprint.task.regions,
            notes=notes,
        )


def _coarsest_first(spacing: Sequence[float]) -> tuple[int, int, int]:
    """Give the order of axes that starts with the coarsest and leaves the others as they are."""
    first = max(range(AXES), key=lambda axis: spacing[axis])
    second, third = (axis for axis in range(AXES) if axis != first)
    return first, second, third


def _shrink(shape: Topology, dataset: ResampledDataset, edge: int) -> Topology:
    """Shorten the axis that is longest beside the median case by one step of what it can be halved by.

    The step is that of the shorter patch, which is often halved once less: so no size is left out.
    """
    ratios = [size / most for size, most in zip(shape.patch, dataset.shape, strict=True)]
    axis = max(range(len(ratios)), key=lambda axis: (ratios[axis], axis))  # of equals the last
    shorter = topology(_less(shape.patch, axis, shape.factors[axis]), dataset.spacing, edge)
    return topology(_less(shape.patch, axis, shorter.factors[axis]), dataset.spacing, edge)


def _less(patch: Sequence[int], axis: int, step: int) -> list[int]:
    return [size - step if index == axis else size for index, size in enumerate(patch)]
