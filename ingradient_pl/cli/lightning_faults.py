"""What the parser of LightningCLI refuses, in a line: the option, what it takes, what was given."""

import re
from argparse import Action
from collections.abc import Sequence
from typing import Any

from ingradient_pl.cli.option_faults import describe_type
from ingradient_pl.messages import nearest

UNKNOWN = re.compile(r"[Uu]nrecognized arguments: (.*)", re.DOTALL)
MISSING = re.compile(r"arguments are required: ([\w, .-]+)")
REFUSED = re.compile(r"Parser key \"([\w.]+)\"")
GIVEN = re.compile(r"(?:Given value|Got value): (.*?)\.?$", re.MULTILINE)
SIMPLE = (bool, int, float, str, type(None))
LONGEST = 300
"""Letters that are told of what the parser says in its own words."""


def explain_refused(message: str, options: Sequence[Action]) -> str:
    """Say what is wrong with the line of a command of LightningCLI.

    >>> explain_refused("unrecognized arguments: --data.wokers 3", [Action(["--data.workers"], "workers")])
    'There is no option --data.wokers. Did you mean --data.workers?'

    Args:
        message: Of the parser.
        options: That it has.
    """
    unknown, missing, refused = (one.search(message) for one in (UNKNOWN, MISSING, REFUSED))
    if unknown is not None:
        word = next(iter(unknown[1].split()), "").partition("=")[0]
        names = [name for option in options for name in option.option_strings if name.startswith("--")]
        if word.startswith("-"):
            return f"There is no option {word}.{nearest(word, names)}"
        return f"{unknown[1].strip()} stands behind no option."
    if missing is not None:
        names = [re.sub(r"^(fit|validate|test)\.", "", name.strip()) for name in missing[1].split(",")]
        return f"{' and '.join(f'--{name}' for name in names)} must be given."
    if refused is None:
        return _shorten(message)
    given = GIVEN.findall(message)
    hint = next((_hint(option) for option in options if option.dest == refused[1]), None)
    if hint is not None and given:
        return f"--{refused[1]} takes {describe_type(hint)}; got {given[-1]}."
    return f"--{refused[1]}: {_shorten(REFUSED.sub('', message, count=1).lstrip(' :'))}"


def _hint(option: Action) -> Any:
    """Give the type of an option that a line can say in a word; None of others, whose parser knows more."""
    hint = getattr(option, "_typehint", None)
    return hint if hint in SIMPLE or _are_simple(getattr(hint, "__args__", ())) else None


def _are_simple(parts: Sequence[Any]) -> bool:
    return bool(parts) and all(isinstance(part, type) and part in SIMPLE for part in parts)


def _shorten(message: str) -> str:
    """Give the parser's own words in one line, its longest lists left out."""
    plain = re.sub(r"<class '([\w.]+)'>", r"\1", " ".join(message.split()))
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."
