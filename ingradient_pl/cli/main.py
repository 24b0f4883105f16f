"""``ingradient COMMAND``: each calls the function of its name in ``ingradient_pl.commands``."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

from ingradient_pl import __version__
from ingradient_pl.cli.failures import MISUSED, plain_errors, stop_in_one_line
from ingradient_pl.messages import nearest
from ingradient_pl.working_directory import join_working_directory

COMMANDS = {
    "phantoms": "nothing -> a data set of synthetic patients, to try the other commands on",
    "prepare": "a folder of volumes, or a table of paths -> a case store",
    "show": "a case store -> a picture of each labelled case in three planes",
    "plan": "a case store -> plan.yaml: spacing, patch, network",
    "predict": "a checkpoint and images -> segmentations on the images' own grid",
    "calibrate": "a checkpoint and labelled cases -> the checkpoint, its confidence corrected",
    "evaluate": "segmentations and labels -> scores per case and per label",
    "compare": "two evaluations of the same cases -> their difference, with interval and p-value",
    "postprocess": "segmentations -> without stray pieces and holes; --learn true finds out what helps",
    "export": "a checkpoint -> its networks for other programs, as torch.export or ONNX files",
    "import-nnunet": "a model folder of nnU-Net -> a checkpoint",
    "export-nnunet": "a checkpoint -> a model folder that nnU-Net predicts with",
    "report": "a store, run, sweep or evaluation -> one page of HTML: charts, tables, slices to scroll",
    "cascade": "a data set or store -> two stages, coarse then fine, and one checkpoint that predicts",
    "crossval": "a data set or store -> all folds of configurations, the best of them, one model",
    "train": "a data set or store -> a trained network, by Hydra: ingradient-train by another name",
    "info": "a store, plan, run or checkpoint -> what it holds; --json for programs",
    "doctor": "this machine -> what it has, what is wrong with it, what to set; --json for programs",
    "lightning-config": "store, plan and overrides -> a config for the next three",
    "fit": "train by a LightningCLI config (ingradient-train is the Hydra way)",
    "validate": "validate a checkpoint by a LightningCLI config",
    "test": "test a checkpoint by a LightningCLI config",
}
OWN_MODULES = {
    "train": "train",
    "cascade": "cascade",
    "crossval": "crossval",
    "fit": "lightning",
    "validate": "lightning",
    "test": "lightning",
    "lightning-config": "lightning_config",
}
"""Commands that belong to the command line alone."""

FUNCTIONS = {"lightning-config": ("ingradient_pl.cli.lightning_config", "convert_config")}
"""Where the function of such a command is, if its words are the options of one."""

DEFAULTS: dict[str, dict[str, object]] = {
    "plan": {"output": "plan.yaml"},
    "evaluate": {"output": "summary.json"},
}
DEFAULTS |= {"info": {"json": False}, "doctor": {"json": False}}
"""Files that a command writes, and text that it prints, where the function, called in Python, does not."""

FIRST = {"info": "--path", "doctor": "--path", "show": "--store", "plan": "--store", "report": "--path"}
"""Options whose name may be left out where they come first."""


TRAINING = "ingradient-train"
"""The program that ``ingradient train`` is."""


def main() -> None:
    """Console entry: find the command's module and hand it the rest of the line."""
    join_working_directory()
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return
    if arguments[0] == "--version":
        print(__version__)
        return
    if arguments[0] == "--completion":
        write = importlib.import_module("ingradient_pl.cli.completion").write_completion
        with plain_errors("ingradient"):
            print(write(arguments[1] if arguments[1:] else "", COMMANDS, list(OWN_MODULES)))
        return
    command = arguments[0]
    if command not in COMMANDS:
        near = nearest(command, COMMANDS)
        print(f"ingradient: there is no command '{command}'.{near}\n\n{_overview()}", file=sys.stderr)
        sys.exit(MISUSED)
    if command == "train":
        _train(arguments[1:])
        return
    with stop_in_one_line(f"ingradient {command}"):
        run = _import_help(command) if _asks_for_help(arguments) else _import_command(command)
    if command in FIRST and arguments[1:] and not arguments[1].startswith("-"):
        arguments.insert(1, FIRST[command])
    run(arguments)


def _asks_for_help(arguments: list[str]) -> bool:
    """Whether a line asks for the help of a command that is a function."""
    own = arguments[0] in OWN_MODULES and arguments[0] not in FUNCTIONS
    return not own and any(word in ("-h", "--help") for word in arguments[1:])


def _import_help(command: str) -> Callable[[list[str]], object]:
    """Give what shows the help of a command, without importing what the command does."""
    return _run_function(command, importlib.import_module("ingradient_pl.cli.signatures").read_signature)


def _import_command(command: str) -> Callable[[list[str]], object]:
    """Give what a command does with the words of its line, its own name first."""
    if OWN_MODULES.get(command) == "lightning":
        return _run_lightning
    if command in OWN_MODULES:
        main: Callable[[list[str]], object] = importlib.import_module(
            f"ingradient_pl.cli.{OWN_MODULES[command]}"
        ).main
        return main
    return _run_function(command, lambda module, name: getattr(importlib.import_module(module), name))


def _run_function(
    command: str, find: Callable[[str, str], Callable[..., object]]
) -> Callable[[list[str]], object]:
    """Give what runs the function of a command, which ``find`` gives for its module and its name there."""
    name = command.replace("-", "_")
    function = find(*FUNCTIONS.get(command, (f"ingradient_pl.commands.{name}", name)))
    run = importlib.import_module("ingradient_pl.cli.options").run
    return lambda arguments: run(function, arguments, DEFAULTS.get(command))


def _run_lightning(arguments: list[str]) -> None:
    """Run a command of LightningCLI, whose own help has 1,700 lines and takes seconds; say it in short."""
    if arguments[1:] in (["-h"], ["--help"]):
        print(importlib.import_module("ingradient_pl.cli.command_help").describe_lightning(arguments[0]))
        return
    with stop_in_one_line(f"ingradient {arguments[0]}"):
        main = importlib.import_module("ingradient_pl.cli.lightning").main
    main(["--help" if word == "--help-all" else word for word in arguments])


def _train(arguments: list[str]) -> None:
    """Train in this process under the name of the program of its own.

    Further ranks of a run are started by ``sys.argv``: they must be that program, and not this one, which
    would take their first override for a command. Where it is not beside this one, they are its module.
    """
    program = Path(sys.argv[0]).with_name(TRAINING)
    if not program.is_file():
        sys.modules["__main__"].__spec__ = importlib.util.find_spec("ingradient_pl.cli.train")
    sys.argv = [str(program), *arguments]
    importlib.import_module("ingradient_pl.cli.train").main()


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        [
            "usage: ingradient COMMAND [options]     (ingradient COMMAND --help for details)",
            "",
            *lines,
            "",
            "From data to a model in one line: ingradient train source=DATASET   (ingradient train --help)",
            "Shell completion: ingradient --completion bash (or zsh, fish) prints it, and where to put it.",
        ]
    )


if __name__ == "__main__":
    main()
