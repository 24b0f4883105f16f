"""Commands of several runs, told as KEY=VALUE: help without torch, and how a stopped one goes on."""

import shlex
from collections.abc import Callable, Sequence

from ingradient_pl.cli.failures import ignore_useless_warnings, plain_errors, stop_in_one_line
from ingradient_pl.cli.overrides import check_form, is_list, read_arguments, read_paths
from ingradient_pl.cli.requeue import requeue_when_told
from ingradient_pl.messages import UsageError
from ingradient_pl.workers.stopped import Stopped


def run_command(
    command: str, help_text: str, arguments: Sequence[str], work: Callable[[Sequence[str]], None]
) -> None:
    """Run a command that may be stopped and called again.

    Args:
        command: As users call it, such as ``ingradient crossval``.
        help_text: Printed where it is asked for.
        arguments: The command's name, and what is typed behind it.
        work: Called with what is typed behind the name.
    """
    if any(argument in ("-h", "--help") for argument in arguments[1:]):
        from ingradient_pl.cli.command_help import paint_on_terminal  # jsonargparse comes along

        print(paint_on_terminal(help_text), end="")
        return
    ignore_useless_warnings()
    told = f"it was stopped. The same line goes on with it: {shlex.join(['ingradient', *arguments])}"
    with (
        plain_errors(command),
        stop_in_one_line(command, starting=False, told=told),
        requeue_when_told(),
    ):
        try:
            work(arguments[1:])
        except Stopped as stopped:
            raise Stopped(told, by_signal=stopped.by_signal) from None


def read_pairs(command: str, arguments: Sequence[str]) -> list[str]:
    """Give what is typed as ``KEY=VALUE``.

    Args:
        command: As users call it.
        arguments: As typed.

    Raises:
        UsageError: If something is not ``KEY=VALUE``.
    """
    told, flags = read_arguments(list(arguments))
    odd = [*flags, *(entry for entry in told if entry.startswith("~") and "=" not in entry)]
    if odd:
        raise UsageError(f"'{odd[0]}' is not KEY=VALUE. {command} --help shows the keys.")
    check_form(told, command)
    return list(told)


def read_path(key: str, value: str | None) -> str | list[str] | None:
    """Read the path that a key takes; of ``store`` several in brackets; None where nothing was given.

    Args:
        key: As typed.
        value: As typed, behind the ``=``.

    Raises:
        UsageError: If there are several where one is wanted.
    """
    if value is None:
        return None
    found = read_paths(value, swept=key == "store")
    if len(found) == 1:
        return found[0]
    if key == "store" and is_list(value):
        return found
    several = " Several stores that train together: store=[DIR,DIR]." if key == "store" else ""
    raise UsageError(f"{key} takes one path; got {len(found)}: {value}.{several}")
