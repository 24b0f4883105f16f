"""``ingradient crossval KEY=VALUE ...``: read what is typed and hand it on; help comes without torch."""

import sys
from collections.abc import Sequence
from typing import Any

import yaml

from ingradient_pl.cli.failures import FAILED
from ingradient_pl.cli.overrides import find, read_paths, without
from ingradient_pl.cli.several_runs import read_pairs, read_path, run_command
from ingradient_pl.messages import UsageError

COMMAND = "ingradient crossval"
KEYS = ("source", "store", "output", "configurations", "plan", "folds", "ensembles")
HELP = """\
ingradient crossval: train all folds of one or several configurations, choose the best of them or of their
pairs by nnU-Net's rule, learn its post-processing, and write one model that predicts with all of it.

  ingradient crossval source=DATASET                        everything, in crossvals/DATASET
  ingradient crossval store=DIR output=DIR recipe=nnunet    keys of ingradient-train go to every run
  ingradient crossval store=DIR configurations=[3d_fullres,3d_fullres:resenc_m]
  ingradient predict --checkpoint OUTPUT --source IMAGES --output SEGMENTATIONS

Its own keys:
  source          data set to prepare first (nnU-Net raw, MSD, npz + pkl pairs, DICOM, a table)
  store           folder written by `ingradient prepare`, or several: [DIR,DIR]; with source, where to
                  prepare it
  output          folder of the cross-validation; crossvals/NAME if not given
  configurations  list of 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres, each with :PRESET or without; all
                  that the data have if not given
  plan            your own plans instead: a YAML file, or a list of them
  folds           list of numbers from 0; all five, or those of data.split.*, if not given
  ensembles       whether pairs are averaged and compared as well; true if not given

All other keys are those of ingradient-train and of its planner: recipe=nnunet, epochs=50, trainer=gpu,
data.planner.memory_gb=24, data.split.count=3, hydra/launcher=joblib (ingradient-train --help).
The same command continues after a kill, and tries folds that failed again.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The command's name, and what is typed behind it.
    """
    run_command(COMMAND, HELP, arguments, _cross_validate)


def _cross_validate(arguments: Sequence[str]) -> None:
    own, overrides = read_keys(arguments)
    from ingradient_pl.cli.cross_validation import cross_validate  # torch comes along

    if cross_validate(**own, overrides=overrides).failures:
        sys.exit(FAILED)


def read_keys(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Sort what is typed into the keys of the command and those of the runs.

    >>> read_keys(["store=s", "configurations=2d,3d_fullres", "folds=[0,1]", "epochs=2"])[1]
    ['epochs=2']

    Args:
        arguments: As typed.

    Raises:
        UsageError: If a value is not what a key takes, or something is not ``KEY=VALUE``.
    """
    told = read_pairs(COMMAND, arguments)
    given = {key: find(told, key) for key in KEYS}
    own: dict[str, Any] = {key: read_path(key, given[key]) for key in ("source", "store", "output")}
    own["plan"] = None if given["plan"] is None else read_paths(given["plan"], swept=True)
    own["configurations"] = _read_list("configurations", given["configurations"], str)
    own["folds"] = _read_list("folds", given["folds"], int)
    own["ensembles"] = _read_switch(given["ensembles"])
    return own, without(told, *KEYS)


def _read_list(key: str, value: str | None, kind: type) -> list[Any] | None:
    """Read ``[a,b]``, ``a,b`` or ``a``; None where nothing was given."""
    if value in (None, "null"):
        return None
    text = str(value).strip()
    found = yaml.safe_load(text if text.startswith("[") else f"[{text}]")
    if not found or not all(type(entry) is kind for entry in found):
        raise UsageError(f"{key} takes a list of {'numbers' if kind is int else 'names'}; got {value}.")
    return list(found)


def _read_switch(value: str | None) -> bool:
    found = True if value is None else yaml.safe_load(value)
    if not isinstance(found, bool):
        raise UsageError(f"ensembles takes true or false; got {value}.")
    return found
