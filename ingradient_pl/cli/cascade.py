"""``ingradient cascade KEY=VALUE ...``: read what is typed and hand it on; help comes without torch."""

from collections.abc import Sequence
from typing import Any

from ingradient_pl.cli.overrides import find, without
from ingradient_pl.cli.several_runs import read_pairs, read_path, run_command
from ingradient_pl.messages import UsageError

COMMAND = "ingradient cascade"
PATHS, NUMBERS = ("source", "store", "output", "first_plan", "second_plan"), ("folds", "coarser")
HELP = """\
ingradient cascade: train a coarse first stage, let a fold that was not trained on a case segment it,
and train a second stage at full resolution that sees these segmentations. One checkpoint holds both.

  ingradient cascade source=DATASET                          everything, in cascades/DATASET
  ingradient cascade store=DIR output=DIR recipe=nnunet      keys of ingradient-train go to both stages
  ingradient cascade store=DIR first.epochs=50 second.epochs=200
  ingradient predict --checkpoint OUTPUT/second --source IMAGES --output SEGMENTATIONS

Its own keys:
  source          data set to prepare first (nnU-Net raw, MSD, npz + pkl pairs, DICOM, a table)
  store           folder written by `ingradient prepare`, or several: [DIR,DIR]; with source, where to
                  prepare it
  output          folder of the cascade; cascades/NAME if not given
  folds           folds of the first stage, which divide the cases that the second trains on; 5 if not given
  coarser         plan the first stage with voxels so many times as large, where nnU-Net's rule plans none
  first_plan      your own plans instead, YAML files: of the first stage,
  second_plan     and of the second

All other keys are those of ingradient-train and of its planner: recipe=nnunet, epochs=50, trainer=gpu,
data.split.number=1, data.planner.memory_gb=24, hydra/launcher=joblib (ingradient-train --help). With first.
or second. before it a key is for one stage. The same command continues after a kill.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Args:
        arguments: The command's name, and what is typed behind it.
    """
    run_command(COMMAND, HELP, arguments, _train)


def _train(arguments: Sequence[str]) -> None:
    own, overrides = read_keys(arguments)
    from ingradient_pl.cli.cascade_training import train_cascade  # torch comes along

    train_cascade(**own, overrides=overrides)


def read_keys(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Sort what is typed into the keys of the command and those of the runs.

    >>> read_keys(["store=s", "folds=3", "first.epochs=2", "epochs=4"])[1]
    ['first.epochs=2', 'epochs=4']

    Args:
        arguments: As typed.

    Raises:
        UsageError: If a value is not what a key takes, or something is not ``KEY=VALUE``.
    """
    told = read_pairs(COMMAND, arguments)
    given = {key: find(told, key) for key in (*PATHS, *NUMBERS)}
    own: dict[str, Any] = {key: read_path(key, given[key]) for key in PATHS}
    for key, kind in zip(NUMBERS, (int, float), strict=True):
        try:
            own[key] = None if given[key] is None else kind(str(given[key]))
        except ValueError as error:
            raise UsageError(f"{key} takes a number; got {given[key]}.") from error
    return own, without(told, *PATHS, *NUMBERS)
