"""What completes commands and options in a shell: the script of ``ingradient --completion SHELL``."""

import inspect
from collections.abc import Mapping, Sequence

from ingradient_pl.cli.signatures import read_signature
from ingradient_pl.messages import UsageError, nearest

SHELLS = {
    "bash": "~/.local/share/bash-completion/completions/ingradient",
    "zsh": "~/.ingradient-completion; ~/.zshrc has the line: source ~/.ingradient-completion",
    "fish": "~/.config/fish/completions/ingradient.fish",
}
"""The shells, and where the script of each belongs."""

BASH = """_ingradient() {{
    local words=
    if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"
    else case "${{COMP_WORDS[1]}}" in
{cases}
    esac; fi
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _ingradient ingradient"""


def write_completion(shell: str, commands: Mapping[str, str], others: Sequence[str]) -> str:
    """Give a script that completes commands and their options, and files elsewhere.

    Args:
        shell: bash, zsh or fish.
        commands: What each does, by its name.
        others: Those whose words are no options of a function.

    Raises:
        UsageError: If it is another shell.
    """
    if shell not in SHELLS:
        raise UsageError(
            f"--completion takes {', '.join(SHELLS)}; got '{shell}'.{nearest(shell, SHELLS)} Such as: "
            f"ingradient --completion bash > {SHELLS['bash']}"
        )
    place = f"# Keep this as {SHELLS[shell]}\n"
    options = {name: _options(name) for name in commands if name not in others}
    if shell == "fish":
        return place + "\n".join(_fish(commands, options))
    cases = "\n".join(f'        {name}) words="{" ".join(known)}" ;;' for name, known in options.items())
    script = BASH.format(commands=" ".join(commands), cases=cases)
    return place + ("" if shell == "bash" else "autoload -Uz bashcompinit && bashcompinit\n") + script


def _options(command: str) -> list[str]:
    name = command.replace("-", "_")
    function = read_signature(f"ingradient_pl.commands.{name}", name)
    return [f"--{option}" for option in inspect.signature(function).parameters] + ["--help"]


def _fish(commands: Mapping[str, str], options: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [
        f"complete -c ingradient -n __fish_use_subcommand -a {name} -d {purpose!r}"
        for name, purpose in commands.items()
    ]
    return lines + [
        f"complete -c ingradient -n '__fish_seen_subcommand_from {name}' -l {option.removeprefix('--')}"
        for name, known in options.items()
        for option in known
    ]
