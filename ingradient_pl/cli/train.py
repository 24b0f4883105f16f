"""``ingradient-train``: nothing heavy is imported before the command can be stopped in one line."""

import sys

from ingradient_pl.cli.failures import stop_in_one_line
from ingradient_pl.cli.requeue import requeue_when_told

COMMAND = "ingradient-train"


def main() -> None:
    """Console entry: import what trains, then train."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        from ingradient_pl.cli.training_help import describe_training  # without Hydra

        print(describe_training())
        return
    with requeue_when_told():
        with stop_in_one_line(COMMAND):
            from ingradient_pl.cli import training_command
        training_command.main()


if __name__ == "__main__":
    main()
