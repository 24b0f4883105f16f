"""Commands, options and keys that a text names, and those that there are."""

import importlib
import inspect
import re

from ingradient_pl.cli.command_help import PARSER
from ingradient_pl.cli.main import COMMANDS, OWN_MODULES

OPTION = re.compile(r"(?<![\w-])--([a-z][\w-]*)")
KEY = re.compile(r"(?<![\w.\[{/@-])([a-z][\w./@]*)=(?=[\w\[{<])")
LINE = re.compile(r"ingradient ([a-z-]+)((?: (?!ingradient)[^\s;:,]+)*)")
FOREIGN = {"shm-size", "ipc", "nthreads", "scheduler-file", "config-path", "config-name", "porcelain"}
"""Options of other programs."""


def parameters(command: str) -> set[str]:
    name = command.replace("-", "_")
    function = getattr(importlib.import_module(f"ingradient_pl.commands.{name}"), name)
    return {*inspect.signature(function).parameters, *PARSER}


OPTIONS = {command: parameters(command) for command in COMMANDS if command not in OWN_MODULES}


def named_options(text: str) -> set[str]:
    return {name.replace("-", "_").rstrip("_") for name in OPTION.findall(text) if name not in FOREIGN}
