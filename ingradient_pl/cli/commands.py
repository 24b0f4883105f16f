"""How a function becomes a command: its arguments are the options, its docstring is the help."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from jsonargparse import auto_cli

from ingradient_pl.cli.failures import MISUSED, fail, plain_errors


def run(function: Callable[..., Any], arguments: Sequence[str]) -> Any:
    """Call ``function`` with what ``arguments`` (the command's name first) say; leave on bad usage with 2."""
    command, given = f"ingradient {arguments[0]}", normalise_options(function, arguments[1:])
    with plain_errors(command):
        try:
            return auto_cli(function, args=given, as_positional=False, prog=command)
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("hydra", "omegaconf"):
                raise
            fail(command, error.__cause__ or error, MISUSED)  # only some commands import these


def normalise_options(function: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """Let ``--save-probabilities`` stand for ``--save_probabilities true``, and so each other switch.

    >>> def command(resume: bool, window_batch: int): ...
    >>> normalise_options(command, ["--resume", "--window-batch", "2"])
    ['--resume=true', '--window_batch', '2']
    """
    switches = {name for name, option in signature(function).parameters.items() if option.annotation is bool}
    out = []
    for argument, after in zip(arguments, [*arguments, "--"][1:], strict=True):
        name, given, value = argument.partition("=")
        if name.startswith("--"):
            name = f"--{name[2:].replace('-', '_')}"
            if name[2:] in switches and not given and after.startswith("--"):
                given, value = "=", "true"
        out.append(f"{name}{given}{value}")
    return out
