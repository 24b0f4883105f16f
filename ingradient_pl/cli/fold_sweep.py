"""Folds of one or several plans, trained by one sweep of Hydra's."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ingradient_pl.cli.data_first import with_loss, write_store
from ingradient_pl.cli.fold_job import FoldJob
from ingradient_pl.cli.overrides import quote
from ingradient_pl.cli.python_run import errors_as_raised
from ingradient_pl.cli.training_command import prepare_arguments, run_hydra
from ingradient_pl.lightning.run_files import REASON
from ingradient_pl.planning.plan import Plan
from ingradient_pl.planning.plan_yaml import write_plan
from ingradient_pl.scratch import scratch_folder
from ingradient_pl.store.store_union import AnyCases

NUMBER, FOLD = "data.split.number", "fold_"
SUBFOLDER = f"{FOLD}${{{NUMBER}}}"
"""Folder of a fold's run, as Hydra reads it."""
SUBFOLDERS = f"${{hydra.runtime.choices.plan}}/{SUBFOLDER}"
"""The same where several plans are trained: below a folder of the plan's name."""


def sweep_folds(
    store: AnyCases,
    plans: Mapping[str, Plan],
    folder: Path,
    held_out: Mapping[int, tuple[str, ...]],
    overrides: Sequence[str],
    *,
    subfolder: str,
    mapped: Sequence[str] = (),
) -> None:
    """Train folds of one or several plans by one sweep, and have each segment the cases that it held out.

    Jobs that fail leave why in their folders, and do not hold up the others.

    Args:
        store: The cases.
        plans: By names that Hydra takes for options.
        folder: Of the sweep.
        held_out: Names of the cases that each fold holds out.
        overrides: As behind ``ingradient-train``.
        subfolder: Of each run, as Hydra reads it: ``SUBFOLDER`` or ``SUBFOLDERS``.
        mapped: Names of the folders whose runs keep maps of probabilities.

    Raises:
        Stopped: If it was interrupted.
    """
    above = [folder] if subfolder == SUBFOLDER else [folder / name for name in plans]
    reasons = [place / f"{FOLD}{number}" / REASON for place in above for number in held_out]
    with scratch_folder() as temporary:
        for file in reasons:
            file.unlink(missing_ok=True)
        files = [temporary / "plans" / f"{name}.yaml" for name in plans]
        for file, made in zip(files, plans.values(), strict=True):
            write_plan(file, made)
        line = [f"plan={','.join(map(str, files))}", f"{NUMBER}={','.join(map(str, held_out))}"]
        line += [write_store(store), *with_loss(overrides, next(iter(plans.values())))]
        line += [f"hydra.sweep.subdir={subfolder}", f"hydra.sweep.dir={quote(str(folder))}", "-m"]
        try:
            sweep(line, FoldJob(tuple(mapped)), temporary)
        except Exception:
            if not any(file.is_file() for file in reasons):
                raise  # no job's fault


def sweep(line: Sequence[str], job: FoldJob, temporary: Path) -> None:
    """Have Hydra run a job for each value of a sweep, in this process or by the launcher that is named.

    Args:
        line: As behind ``ingradient-train``, with ``-m``.
        job: What is run.
        temporary: For copies of the plan until the sweep's folder has them.
    """
    with errors_as_raised():
        run_hydra(prepare_arguments(list(line), temporary), job)
