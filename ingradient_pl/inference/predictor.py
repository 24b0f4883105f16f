"""Predict one case: an array and its spacing in, a label on the same voxels out."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Num, UInt
from numpy.typing import ArrayLike
from torch import Tensor

from ingradient_pl.geometry import AXES, Box
from ingradient_pl.images.packed_masks import unpack_masks
from ingradient_pl.inference.average import Watch, decode_average
from ingradient_pl.inference.forward import finest, spread
from ingradient_pl.inference.model import Model
from ingradient_pl.inference.preprocess import preprocess
from ingradient_pl.inference.probabilities import scratch_maps
from ingradient_pl.inference.sliding_window import SlidingWindow, Tiling
from ingradient_pl.inference.to_native import (
    KeepProbabilities,
    LabelDecoder,
    NativeMap,
    NativeResampler,
    view_rows,
)
from ingradient_pl.inference.uncertainty import Uncertainty, add_partition, divergence, to_disagreement
from ingradient_pl.inference.window_batch import WindowBatch, choose_window_batch
from ingradient_pl.phrases import say_count
from ingradient_pl.short_repr import describe
from ingradient_pl.transforms.sampling_matrices import to_native_axes
from ingradient_pl.transforms.stage_labels import StageLabels


@dataclass(frozen=True)
class Predictor:
    """A trained model, ready to segment.

    Args:
        model: Networks, plan and task.
        device: Where networks run: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        window_batch: Windows (each mirrored pass counts) that go through the network together; "auto" takes
            two on a processor, eight elsewhere, on a CUDA device as many of them as its free memory holds.
        step: Largest step between windows as a fraction of the patch size, in (0, 1].
        mirror: Axes (0, 1, 2 for z, y, x of the network) whose mirrorings are averaged; None takes all that
            training mirrored, () none.
        slab_bytes: Memory for logits that are not final yet; see :class:`Tiling`.

    Raises:
        ValueError: If a number is out of its range, the device is not there or the task cannot be written.
    """

    model: Model
    device: str = "cpu"
    window_batch: WindowBatch = "auto"
    step: float = 0.5
    mirror: tuple[int, ...] | None = None
    slab_bytes: int = 2**29

    def __post_init__(self) -> None:
        if self.window_batch != "auto" and self.window_batch < 1:
            raise ValueError(f"window_batch must be auto or at least 1, got {self.window_batch}.")
        if not 0 < self.step <= 1:
            raise ValueError(f"step must be a share of the patch in (0, 1], got {self.step}.")
        if not set(self.mirror or ()) <= set(range(AXES)):
            raise ValueError(f"mirror names axes 0, 1, 2 (z, y, x), got {self.mirror}.")
        for model in self._stages():
            LabelDecoder.of(model.task)
        try:
            for network in (network for model in self._stages() for network in model.networks):
                network.to(self.device).eval()
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"The device '{self.device}' cannot be used: {error}. Try the device cpu."
            ) from error

    def __repr__(self) -> str:
        networks = sum(len(model.networks) for model in (self.model, *self.model.others))
        return describe(self, {"networks": networks, "device": self.device, "plan": self.model.plan})

    def _stages(self) -> Iterator[Model]:
        for one in (self.model, *self.model.others):
            model: Model | None = one
            while model is not None:
                yield model
                model = model.previous

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes whose mirrored passes are averaged."""
        return self.model.mirror if self.mirror is None else self.mirror

    @property
    def most_views(self) -> int:
        """The most windows that go through a network together, in any plan or stage of a cascade."""
        return max(replace(self, model=model).views for model in self._stages())

    @property
    def views(self) -> int:
        """How many windows go through the network together, as far as is known now."""
        if self.window_batch != "auto":
            return self.window_batch
        return choose_window_batch(self.model, torch.device(self.device), self.slab_bytes)

    def predict(
        self,
        image: ArrayLike,
        spacing: Sequence[float],
        probabilities: Float[np.ndarray, "output z y x"] | None = None,
        uncertainty: Uncertainty | None = None,
    ) -> UInt[np.ndarray, "*label z y x"]:
        """Segment a case.

        Args:
            image: An array or tensor (channel, z, y, x): channels in the task's order, on the axes that the
                plan's orientation names.
            spacing: Size of a voxel in mm along (z, y, x).
            probabilities: Filled in where it is given: one map for each output on the voxels of ``image``
                (shares of one, or for regions a probability each). An ``np.memmap`` keeps it out of memory.
            uncertainty: Filled in where it is given, on the voxels of ``image``.

        Returns:
            The task's integers on the voxels of ``image``, after the model's own post-processing. Where
            labels may overlap: zeros and ones (label, z, y, x), in the order of ``task.foreground``.

        Raises:
            ValueError: If the image has other channels or axes than the model, or the spacing is not a size.
            ArithmeticError: If the network's answer is not finite.
        """
        voxels = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        self._check(voxels, spacing)
        label = self.segment(voxels, spacing, probabilities, uncertainty)
        return label if self.model.task.overlap is None else unpack_masks(label, self.model.task.outputs)

    def segment(
        self,
        image: Num[np.ndarray, "channel z y x"],
        spacing: Sequence[float],
        probabilities: Float[np.ndarray, "output z y x"] | None = None,
        uncertainty: Uncertainty | None = None,
    ) -> UInt[np.ndarray, "*plane z y x"]:
        """Segment a case as :meth:`predict` does; labels that may overlap stay packed masks.

        Args:
            image: As for :meth:`predict`.
            spacing: As for :meth:`predict`.
            probabilities: As for :meth:`predict`.
            uncertainty: As for :meth:`predict`.

        Returns:
            Integers (z, y, x); where labels may overlap packed masks (plane, z, y, x).

        Raises:
            ValueError: If the image has other channels or axes than the model, or the spacing is not a size.
            ArithmeticError: If the network's answer is not finite.
        """
        self._check(image, spacing)
        way = self._average if self.model.others else self._predict
        label = way(image, spacing, probabilities, uncertainty)
        return self.model.postprocess(label, spacing)

    def _average(
        self,
        image: Num[np.ndarray, "channel z y x"],
        spacing: Sequence[float],
        probabilities: Float[np.ndarray, "output z y x"] | None,
        uncertainty: Uncertainty | None,
    ) -> UInt[np.ndarray, "*plane z y x"]:
        """Let the models of several plans segment a case, and average their probabilities."""
        shape = (self.model.plan.outputs, *image.shape[1:])
        maps = [scratch_maps(shape) for _ in range(1 + len(self.model.others))]
        alone = self.model._replace(others=())
        doubts = [None if uncertainty is None else Uncertainty.empty(shape[1:], shape[0]) for _ in maps]
        for model, found, doubt in zip((alone, *self.model.others), maps, doubts, strict=True):
            replace(self, model=model)._predict(image, spacing, found, doubt)
        watch: Watch | None = None
        if uncertainty is not None:
            parts = [one for one in doubts if one]
            watch = partial(uncertainty.join, maps=maps, parts=parts, regions=self.model.task.has_regions)
        return decode_average(maps, LabelDecoder.of(self.model.task), probabilities, watch)

    def _predict(
        self,
        image: Num[np.ndarray, "channel z y x"],
        spacing: Sequence[float],
        probabilities: Float[np.ndarray, "output z y x"] | None,
        uncertainty: Uncertainty | None,
    ) -> UInt[np.ndarray, "*plane z y x"]:
        """Segment a case with the networks of one plan."""
        plan, decoder = self.model.plan, LabelDecoder.of(self.model.task)
        before = self._before(image, spacing)
        with torch.inference_mode():
            case = preprocess(image, spacing, plan, before, torch.device(self.device))
            label = decoder.empty(image.shape[1:])
            outputs = plan.outputs + (uncertainty is not None)
            slabs = SlidingWindow(case.network.shape, self._tiling(), outputs)
            axes = to_native_axes(case.network, case.native, plan.rule)
            a, b, c = slabs.order
            ways = (axes[a], axes[b], axes[c])
            doubt = None if uncertainty is None else uncertainty.turn(case.box, plan.transpose, slabs.order)
            keep = self._keepers(probabilities, doubt, case.box, slabs.order)
            target = view_rows(label, plan.transpose, case.box, slabs.order)
            resampler = NativeResampler(ways, decoder, target, keep, self.model.calibration.temperature)
            further = None if doubt is None else NativeMap(ways, doubt.disagreement, to_disagreement)
            forward = self._forward if doubt is None else self._forward_in_passes
            for rows in slabs.logits(case.image, forward):
                if further is not None:
                    further.feed(divergence(rows, regions=decoder.regions))
                resampler.feed(rows[: plan.outputs])
        return label

    def _before(
        self, image: Num[np.ndarray, "channel z y x"], spacing: Sequence[float]
    ) -> UInt[np.ndarray, "z y x"] | None:
        """In a cascade, let the stage before segment the case; its mirroring and folds are its own."""
        previous = self.model.previous
        if previous is None:
            return None
        return StageLabels.of(previous.task).encode(replace(self, model=previous).segment(image, spacing))

    def _keepers(
        self,
        maps: Float[np.ndarray, "output _ _ _"] | None,
        doubt: Uncertainty | None,
        box: Box,
        order: Sequence[int],
    ) -> KeepProbabilities | None:
        """Give what is done with probabilities; None where nobody wants them."""
        wanted: list[KeepProbabilities] = []
        if maps is not None:
            wanted.append(self._fill_maps(maps, box, order))
        if doubt is not None:
            wanted.append(partial(doubt.keep, regions=self.model.task.has_regions))

        def keep(first: int, rows: Tensor) -> None:
            for one in wanted:
                one(first, rows)

        return keep if wanted else None

    def _fill_maps(
        self, maps: Float[np.ndarray, "output _ _ _"], box: Box, order: Sequence[int]
    ) -> KeepProbabilities:
        """Give what fills maps in; what was cut off is background."""
        if maps.shape[0] != self.model.plan.outputs:
            raise ValueError(f"probabilities needs {self.model.plan.outputs} maps, got {maps.shape[0]}.")
        maps[:] = 0
        if not self.model.task.has_regions:
            maps[0] = 1
        inside = view_rows(maps, self.model.plan.transpose, box, order)

        def keep(first: int, rows: Tensor) -> None:
            inside[:, first : first + rows.shape[1]] = rows.cpu().numpy()

        return keep

    def _tiling(self) -> Tiling:
        flips = itertools.chain.from_iterable(
            itertools.combinations(self.mirror_axes, count) for count in range(len(self.mirror_axes) + 1)
        )
        return Tiling(self.model.plan.patch, self.step, tuple(flips), self.views, self.slab_bytes)

    def _forward(
        self, views: Float[Tensor, "view channel z y x"]
    ) -> list[Float[Tensor, "view output z y x"]]:
        if self.model.previous is not None:
            views = spread(views, StageLabels.of(self.model.task))
        # As nnU-Net: half precision on CUDA, where it costs no accuracy that counts and doubles the speed
        with torch.autocast("cuda", enabled=views.device.type == "cuda"):
            return [finest(network, views) for network in self.model.networks]

    def _forward_in_passes(
        self, views: Float[Tensor, "view channel z y x"]
    ) -> list[Float[Tensor, "view _ z y x"]]:
        """Give with the logits of each pass what tells, averaged, how far passes lie apart."""
        return [add_partition(one, regions=self.model.task.has_regions) for one in self._forward(views)]

    def _check(self, image: Num[np.ndarray, "..."], spacing: Sequence[float]) -> None:
        names = self.model.task.channels
        if image.ndim != 1 + AXES:
            raise ValueError(
                f"An image has the axes (channel, z, y, x); got an array of shape {image.shape}."
            )
        if len(image) != len(names):
            raise ValueError(
                f"The model sees {say_count(len(names), 'channel')} ({', '.join(names)}), this image has "
                f"{len(image)}. Give each of them once, in this order."
            )
        if len(spacing) != AXES or not min(spacing) > 0:
            raise ValueError(f"spacing needs three sizes in mm, ordered (z, y, x); got {list(spacing)}.")
