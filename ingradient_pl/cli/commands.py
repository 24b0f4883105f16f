"""How a function becomes a command: its arguments are the options, its docstring is the help."""

from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import auto_cli

from ingradient_pl.cli.failures import plain_errors


def run(function: Callable[..., Any], arguments: Sequence[str]) -> Any:
    """Call ``function`` with what ``arguments`` (the command's name first) say; leave on bad usage with 2."""
    command = f"ingradient {arguments[0]}"
    with plain_errors(command):
        return auto_cli(function, args=list(arguments[1:]), as_positional=False, prog=command)
