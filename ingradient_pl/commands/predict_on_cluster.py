"""Cases segmented by the workers of a cluster: each case by one of them, as one process would do it."""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ingradient_pl.commands.image_formats import add_image_formats
from ingradient_pl.commands.load import WindowBatch, load, without_postprocess
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.inference.predict_cases import SaveReport, save_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.messages import say
from ingradient_pl.spec import TRUSTED
from ingradient_pl.workers.cluster import open_workers


class ModelOptions(NamedTuple):
    """What a worker opens a model with; plain values, for they travel.

    Args:
        checkpoints: Files, by paths that hold on every machine.
        device: As for :func:`ingradient_pl.commands.predict.predict`; None takes each worker's best.
        step: Between windows, as a fraction of the patch.
        window_batch: Windows that go through the network together, or auto.
        mirror: Whether mirrored passes are averaged.
        trust: Packages that checkpoints may name.
        postprocess: File of steps, or None.
        image_formats: Further file formats by dotted name.
    """

    checkpoints: tuple[Path, ...]
    device: str | None
    step: float
    window_batch: WindowBatch
    mirror: bool
    trust: tuple[str, ...]
    postprocess: Path | None
    image_formats: tuple[str, ...]

    @classmethod
    def of(
        cls,
        checkpoints: Sequence[Path],
        device: str | None,
        step: float,
        window_batch: WindowBatch,
        mirror: bool,  # noqa: FBT001
        trust: Sequence[str] | None,
        postprocess: str | PathLike[str] | None,
        image_formats: Sequence[str] | None,
    ) -> "ModelOptions":
        """Take the options of ``ingradient predict``, by paths that hold on every machine.

        Args:
            checkpoints: Files.
            device: None takes each worker's best.
            step: Between windows, as a fraction of the patch.
            window_batch: Windows that go through the network together.
            mirror: Whether mirrored passes are averaged.
            trust: Packages that checkpoints may name.
            postprocess: File of steps.
            image_formats: Further file formats by dotted name.
        """
        files = tuple(file.resolve() for file in checkpoints)
        steps = None if postprocess is None else Path(postprocess).resolve()
        names = tuple(image_formats or ())
        return cls(files, device, step, window_batch, mirror, tuple(trust or ()), steps, names)


def save_cases_on(
    cluster: str,
    cluster_options: Mapping[str, str | int] | None,
    model: ModelOptions,
    cases: Sequence[CaseFiles],
    output: Path,
    **how: bool,
) -> SaveReport:
    """Segment cases on other machines and write each answer, as ``save_cases`` does on this one.

    Args:
        cluster: As for :func:`ingradient_pl.workers.cluster.open_workers`.
        cluster_options: As there.
        model: What the workers open.
        cases: By paths that hold on every machine.
        output: Folder for the segmentations.
        **how: resume, probabilities, uncertainty and dicom, as ``save_cases`` takes them.
    """
    started, output = time.monotonic(), output.resolve()
    found: dict[int, SaveReport] = {}
    segment = partial(_segment, model, output.resolve(), how)
    bar = tqdm(total=len(cases), desc="predict", unit="case", disable=None)
    jobs = output.with_name(f"{output.name}_jobs")
    with open_workers(cluster, cluster_options, folder=jobs) as workers, bar:
        for number, (report, remarks) in workers.map(segment, cases):
            found[number] = report
            for remark in remarks:
                say(remark)
            bar.update()
    reports = [found[number] for number in range(len(cases))]
    return SaveReport(
        [path for report in reports for path in report.written],
        [name for report in reports for name in report.skipped],
        [failure for report in reports for failure in report.failures],
        time.monotonic() - started,
        {name: labels for report in reports for name, labels in report.estimates.items()},
    )


def _segment(
    model: ModelOptions, output: Path, how: Mapping[str, bool], case: CaseFiles
) -> tuple[SaveReport, list[str]]:
    """Segment one case where this runs; give what was written, and what is to be said of it."""
    remarks: list[str] = []
    add_image_formats(model.image_formats)
    after = None if model.postprocess is None else read_steps(model.postprocess, (*TRUSTED, *model.trust))
    report = save_cases(_load(model), [case], output, after=after, say=remarks.append, **how)
    return report, remarks


@lru_cache(maxsize=1)
def _load(model: ModelOptions) -> Predictor:
    """Open a model, once for all cases of a worker."""
    checkpoints, device, step, window_batch, mirror, trust = model[:6]
    opened = load(list(checkpoints), device, step, window_batch, mirror, list(trust))
    return opened if model.postprocess is None else without_postprocess(opened)
