"""Cases segmented by the workers of a cluster: each case by one of them, as one process would do it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ingradient_pl.commands.load import WindowBatch, load, without_postprocess
from ingradient_pl.datasets.records import CaseFiles
from ingradient_pl.inference.postprocess import read_steps
from ingradient_pl.inference.predict_cases import SaveReport, save_cases
from ingradient_pl.inference.predictor import Predictor
from ingradient_pl.messages import say
from ingradient_pl.spec import TRUSTED
from ingradient_pl.workers.threads import Workers


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
    """

    checkpoints: tuple[Path, ...]
    device: str | None
    step: float
    window_batch: WindowBatch
    mirror: bool
    trust: tuple[str, ...]
    postprocess: Path | None


def save_cases_on(
    pool: AbstractContextManager[Workers | None],
    model: ModelOptions,
    cases: Sequence[CaseFiles],
    output: Path,
    **how: bool,
) -> SaveReport:
    """Segment cases on other machines and write each answer, as ``save_cases`` does on this one.

    Args:
        pool: Gives the workers of a cluster.
        model: What the workers open.
        cases: By paths that hold on every machine.
        output: Folder for the segmentations.
        **how: resume, probabilities, uncertainty and dicom, as ``save_cases`` takes them.
    """
    started, output = time.monotonic(), output.resolve()
    found: dict[int, SaveReport] = {}
    segment = partial(_segment, model, output, how)
    bar = tqdm(total=len(cases), desc="predict", unit="case", disable=None)
    with pool as workers, bar:
        assert workers is not None  # a cluster was named
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
    after = None if model.postprocess is None else read_steps(model.postprocess, (*TRUSTED, *model.trust))
    report = save_cases(_load(model), [case], output, after=after, say=remarks.append, **how)
    return report, remarks


@lru_cache(maxsize=1)
def _load(model: ModelOptions) -> Predictor:
    """Open a model, once for all cases of a worker."""
    checkpoints, device, step, window_batch, mirror, trust = model[:-1]
    opened = load(list(checkpoints), device, step, window_batch, mirror, list(trust))
    return opened if model.postprocess is None else without_postprocess(opened)
