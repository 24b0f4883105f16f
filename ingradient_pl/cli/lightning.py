"""``ingradient fit | validate | test``: the same classes under LightningCLI."""

from collections.abc import Sequence

from ingradient_pl.cli.failures import plain_errors
from ingradient_pl.lightning.command_line import run_lightning_cli


def main(arguments: Sequence[str]) -> None:
    """Run one of LightningCLI's subcommands, which reads the line itself; ``--help`` is its own.

    Args:
        arguments: The subcommand and its options, without the program's name.
    """
    with plain_errors(f"ingradient {arguments[0]}"):
        run_lightning_cli()
