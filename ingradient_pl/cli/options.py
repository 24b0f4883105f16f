"""How a function becomes a command: its arguments are the options, its docstring is the help."""

import inspect
import json
import shlex
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import auto_cli

from ingradient_pl.cli.command_help import PARSER, CommandHelp, describe_example
from ingradient_pl.cli.failures import FAILED, MISUSED, STOPPED, fail, plain_errors, stop_in_one_line
from ingradient_pl.cli.option_faults import plain_parser
from ingradient_pl.cli.pair_options import join_pairs, takes_pairs
from ingradient_pl.messages import LOGGER, FailureCounter, UsageError, nearest

NEEDS = {
    "prepare": {"cluster_options": "cluster"},
    "plan": {"take": "like", "multiple": "network"},
    "predict": {"cluster_options": "cluster"},
    "evaluate": {"cluster_options": "cluster", "tolerance": "surface", "overlap": "lesions"},
    "postprocess": {"labels": "learn"},
}
"""Options that do nothing without another one, by command."""

RESUMED: dict[str, tuple[str, ...]] = {"prepare": (), "predict": ("--resume",)}
"""Commands that go on where they were stopped, and the options with which they do."""

PLAIN = (str, int, float, bool, type(None))


def run(
    function: Callable[..., Any], arguments: Sequence[str], defaults: Mapping[str, Any] | None = None
) -> Any:
    """Call ``function`` with what ``arguments`` (the command's name first) say.

    Leaves with exit code 2 on bad usage, and with 1 where a failure was said.

    Args:
        function: What the command does.
        arguments: The command's name and its options.
        defaults: Values of options that a command line has and a call in Python has not.
    """
    command = f"ingradient {arguments[0]}"
    counter = FailureCounter()
    LOGGER.addFilter(counter)
    with plain_errors(command), stop_in_one_line(command, starting=False, told=explain_stop(arguments)):
        try:
            _check_names(function, arguments[1:], command)
            _check_needs(function, arguments)
            given = normalise_options(function, arguments[1:])
            plain = plain_function(function, defaults or {})
            result = auto_cli(
                plain,
                args=given,
                parser_class=plain_parser(plain, _options(arguments[1:]), command),
                as_positional=False,
                prog=command,
                formatter_class=CommandHelp,
                epilog=describe_example(arguments[0]),
            )
        except Exception as error:
            if type(error).__module__.split(".")[0] not in ("hydra", "omegaconf"):
                raise
            fail(command, error.__cause__ or error, MISUSED)  # only some commands import these
        finally:
            LOGGER.removeFilter(counter)
        if counter.failures:
            sys.exit(FAILED)
        return result


def explain_stop(arguments: Sequence[str]) -> str:
    """Say that a command was stopped, and where it can go on, the line that does.

    Args:
        arguments: The command's name and its options.

    >>> explain_stop(["prepare", "--source", "a b", "--store", "s"])[-43:]
    "ingradient prepare --source 'a b' --store s"
    """
    more = RESUMED.get(arguments[0])
    typed = {name for name, _ in _options(arguments[1:])}
    if more is None or (more and "--output" not in typed):
        return STOPPED
    line = [*arguments, *(word for word in more if word not in typed)]
    return f"{STOPPED} What is done is kept; go on with it: {shlex.join(['ingradient', *line])}"


def plain_function(function: Callable[..., Any], defaults: Mapping[str, Any]) -> Callable[..., Any]:
    """Give ``function`` with types and defaults that a command line can say: no paths or objects, only text.

    Args:
        function: Whose arguments may be text or objects.
        defaults: Values to take instead of the function's own defaults.
    """

    def command(**options: Any) -> Any:
        return function(**options)

    signature = inspect.signature(function)
    parameters = [
        parameter.replace(
            annotation=plain_type(parameter.annotation),
            default=defaults.get(name, parameter.default),
            kind=inspect.Parameter.KEYWORD_ONLY,
        )
        for name, parameter in signature.parameters.items()
    ]
    command.__name__ = command.__qualname__ = function.__name__
    command.__doc__, command.__module__ = function.__doc__, function.__module__
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def plain_type(hint: Any) -> Any:
    """Leave of a type what a command line can say.

    Args:
        hint: Of a parameter.

    >>> from pathlib import Path
    >>> plain_type(str | Path | None)
    str | None
    >>> plain_type(str | list[str | Path])
    str | list[str]
    """
    if get_origin(hint) in (Union, types.UnionType):
        kept = [plain_type(part) for part in get_args(hint) if _can_be_said(part)]
        return reduce(or_, kept)
    if get_origin(hint) is list:
        (entry,) = get_args(hint)
        return list[plain_type(entry)]  # type: ignore[misc]
    return hint


def _can_be_said(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(map(_can_be_said, get_args(hint)))
    if get_origin(hint) is list:
        return all(map(_can_be_said, get_args(hint)))
    return hint in PLAIN or get_origin(hint) is Literal


def normalise_options(function: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """Let an option be said as people say it: dashes, bare switches, several words where a list is wanted.

    ``--save-probabilities`` stands for ``--save_probabilities true``, ``--spacing 2,1,1`` and ``--spacing 2 1
    1`` for ``--spacing [2,1,1]``, ``--checkpoint a.ckpt b.ckpt`` for a list of both, and ``--cluster_options
    jobs=2 timeout_min=60`` for a mapping.

    Args:
        function: Whose parameters the options are.
        arguments: As typed, without the command's name.

    >>> def command(resume: bool, window_batch: int, spacing: list[float] | None): ...
    >>> normalise_options(command, ["--resume", "--window-batch", "2", "--spacing", "2,1", "1"])
    ['--resume=true', '--window_batch', '2', '--spacing', '["2", "1", "1"]']
    >>> normalise_options(command, ["--res", "--spac", "2,1,1"])
    ['--resume=true', '--spacing', '["2", "1", "1"]']
    """
    hints = {name: option.annotation for name, option in inspect.signature(function).parameters.items()}
    out = []
    for typed, values in _options(arguments):
        name = _whole_name(typed, hints)
        hint = hints.get(name.removeprefix("--"))
        if hint in (bool, bool | None) and not values:
            out.append(f"{name}=true")
            continue
        if name and values and _takes_list(hint):
            values = [_join_as_list(values, hint)]
        whole = name.partition(".")[0]
        if takes_pairs(hints.get(whole.removeprefix("--"))):
            values = [join_pairs(whole, values if name == whole else [name])]
        if name and len(values) == 1 and values[0].startswith("-"):
            out.append(f"{name}={values[0]}")
        else:
            out += ([name] if name else []) + values
    return out


def _whole_name(typed: str, names: Iterable[str]) -> str:
    """Give an option's whole name: it may be typed as far as it is the only one."""
    begun = [f"--{name}" for name in names if f"--{name}".startswith(typed)] if typed else []
    return begun[0] if len(begun) == 1 else typed


def _check_names(function: Callable[..., Any], arguments: Sequence[str], command: str) -> None:
    """Refuse an option that the command does not have, with the nearest that it has."""
    known = [*inspect.signature(function).parameters, *PARSER]
    for name, values in _options(arguments):
        if name == "" and values:
            option = next(iter(known))
            raise UsageError(
                f"{' '.join(values)!r} stands before any option. Say what it is, such as --{option} "
                f"{shlex.join(values)} ({command} --help)."
            )
        plain = name.removeprefix("--").removesuffix("+").split(".")[0]
        if name.startswith("--") and plain and not any(option.startswith(plain) for option in known):
            raise UsageError(
                f"There is no option {name}.{nearest(name, [f'--{option}' for option in known])} "
                f"({command} --help lists them.)"
            )


def _check_needs(function: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Refuse an option that does nothing without another, which was not given."""
    names = inspect.signature(function).parameters
    told = {_whole_name(typed, names).removeprefix("--") for typed, _ in _options(arguments[1:])}
    for option, other in NEEDS.get(arguments[0], {}).items():
        if option in told and not told & {other, "config"}:
            raise UsageError(f"--{option} does nothing without --{other}: give both, or leave it out.")


def _options(arguments: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Sort a command line into options with the words after each; words before the first have no option."""
    found: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            name, given, value = argument.partition("=")
            found.append(
                (f"--{name[2:].replace('-', '_')}" if name != "--" else name, [value] if given else [])
            )
        elif found:
            found[-1][1].append(argument)
        else:
            found.append(("", [argument]))
    return found


def _takes_list(hint: Any) -> bool:
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return any(get_origin(part) is list for part in parts)


def _join_as_list(values: Sequence[str], hint: Any) -> str:
    """Give several words as one list; one word stays where it may be one thing, or is a list already."""
    if len(values) == 1 and (values[0].lstrip().startswith("[") or str in get_args(hint)):
        return values[0]
    others = () if get_origin(hint) is list else get_args(hint)
    words = [word for part in others if get_origin(part) is Literal for word in get_args(part)]
    if len(values) == 1 and values[0] in ("null", "None", *words):
        return values[0]
    parts = [values] if str in get_args(hint) else [value.split(",") for value in values]
    return json.dumps([part.strip() for entry in parts for part in entry if part.strip()])
