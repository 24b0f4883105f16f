"""What the parser of a command refuses, in one line: the option, what it takes, what it was given."""

import inspect
import re
import shlex
import types
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, Union, get_args, get_origin

from jsonargparse import ArgumentParser
from typing_extensions import override

from ingradient_pl.cli.pair_options import PAIRS, takes_pairs
from ingradient_pl.messages import UsageError, nearest

REFUSED = re.compile(r"Parser key \"([\w.]+)\"")
BEHIND = re.compile(r"[Uu]nrecognized arguments: (.*)")
MISSING = re.compile(r"arguments are required: ([\w, .-]+)")
WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a word or a path",
    type(None): "null",
}
"""What a person calls the types that a command line can say."""

Typed = Sequence[tuple[str, list[str]]]
"""Options as typed, each with the words behind it."""


def plain_parser(function: Callable[..., Any], typed: Typed, command: str) -> type[ArgumentParser]:
    """Give a parser that says what it refuses in one line, and leaves the exit to its caller.

    Args:
        function: Whose parameters are the options.
        typed: The options of the line.
        command: As users call it.
    """

    class PlainParser(ArgumentParser):
        @override
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise UsageError(f"{explain_option(message, function, typed)} ({command} --help)") from ex

    return PlainParser


def explain_option(message: str, function: Callable[..., Any], typed: Typed) -> str:
    """Say what is wrong with an option, as far as it is known; else what the parser says.

    Args:
        message: Of the parser.
        function: Whose parameters are the options.
        typed: The options of the line.
    """
    missing = MISSING.search(message)
    if missing:
        names = [f"--{name.strip()}" for name in missing[1].split(",")]
        return f"{' and '.join(names)} must be given."
    behind = BEHIND.search(message)
    many = next(
        (one for one in typed if behind and len(one[1]) > 1 and one[1][-1] in behind[1].split()), None
    )
    if many is not None:
        return f"{many[0]} takes one value; got {shlex.join(many[1])}."
    refused = REFUSED.search(message)
    hints = {name: option.annotation for name, option in inspect.signature(function).parameters.items()}
    if refused is None or refused[1] not in hints:
        return " ".join(message.split())
    name, hint = refused[1], hints[refused[1]]
    words = next((words for option, words in reversed(typed) if _stands_for(option, name)), [])
    choices = list(_choices(hint))
    near = next(filter(None, (nearest(word, choices) for word in words)), "") if choices else ""
    got = " ".join(words) or "nothing"
    return f"--{name} takes {describe_type(hint)}; got {got}.{near}"


def describe_type(hint: Any) -> str:
    """Say in words what an option of a type takes.

    Args:
        hint: Of the parameter.

    >>> describe_type(Literal["source", "target"] | list[float] | None)
    'one of source, target, or a list [...] of a number each'
    """
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        return ", or ".join(dict.fromkeys(map(describe_type, parts)))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is list:
        return f"a list [...] of {describe_type(get_args(hint)[0])} each"
    if takes_pairs(hint):
        return PAIRS
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))


def _choices(hint: Any) -> list[str]:
    """Give the words that a type names, wherever in it."""
    if get_origin(hint) is Literal:
        return [str(value) for value in get_args(hint)]
    return [word for part in get_args(hint) for word in _choices(part)]


def _stands_for(option: str, name: str) -> bool:
    """Whether an option as typed, whole or begun, is that of a name."""
    plain = option.removeprefix("--").removesuffix("+")
    return bool(plain) and name.startswith(plain)
