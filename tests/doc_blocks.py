"""The blocks of code in the documentation, and how they are run."""

import re
import shlex
import subprocess
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_ONLY = ("pip", "python3", "tensorboard", "git", "nnUNetv2")
"""Commands that install, or belong to others, or do not end."""
NOT_RUN = ("text", "yaml", "toml", "mermaid")


def blocks(page):
    """Language and text of each block of a page, in order."""
    return [(found[1], found[2]) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


def commands(text):
    """The command lines of a shell block, without comments, continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


def run_page(page, call):
    """Run all blocks of a page in the working directory.

    ``call`` takes the words of one of our commands and returns exit code, output and errors.
    """
    scope = {}
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page.name, "exec"), scope)
        elif language == "bash":
            for words in commands(text):
                run_command([word.replace("$PWD", str(Path.cwd())) for word in words], call)
        else:
            assert language in NOT_RUN, f"{page.name}: nobody runs {language}"


def run_command(words, call):
    if words[0].startswith("ingradient"):
        code, out, err = call(words)
        assert code == 0, f"{shlex.join(words)}\n{out}\n{err}"
    elif not words[0].startswith(SHOWN_ONLY):
        subprocess.run(words, check=True)
