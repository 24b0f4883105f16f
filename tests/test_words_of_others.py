"""The words people search for are in the documentation, and the commands, options and keys it names exist."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest
from command_lines import LINE, OPTIONS, named_options
from doc_blocks import DOCS, FENCE
from pytorch_lightning import Trainer

from ingradient_pl.cli.overrides import quote_paths
from ingradient_pl.cli.run_folders import compose_config
from ingradient_pl.planning.plan import Plan

SECTION = re.compile(r"^\[(.+)\]\n([^\[]+)", re.MULTILINE)
WORDS = {
    name: [word.strip() for word in text.replace("\n", " ").split(",")]
    for name, text in SECTION.findall(Path(__file__).with_name("words_of_others.txt").read_text("utf-8"))
}
PAGES = {
    page.name: page.read_text(encoding="utf-8") for page in [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
}


@pytest.mark.parametrize("origin", WORDS)
def test_a_word_that_people_know_is_found(origin):
    text = " ".join(" ".join(PAGES.values()).casefold().split())
    assert len(WORDS[origin]) > 25
    assert not [word for word in WORDS[origin] if word.casefold() not in text]


SPANS = sorted(
    {
        (name, span)
        for name, text in PAGES.items()
        for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCE.sub("", text))
    }
)


def test_commands_in_sentences_and_tables_take_the_options_they_are_shown_with():
    found = [(name, line) for name, span in SPANS for line in LINE.finditer(span) if line[1] in OPTIONS]
    assert len(found) > 40
    assert not [(name, line[0]) for name, line in found if not named_options(line[2]) <= OPTIONS[line[1]]]


OVERRIDE = re.compile(r"(?=~|.*=)[+~]*([a-z][\w.]*(?:@[\w.]+)?)(?:=(\S+))?$")
PLACEHOLDER = re.compile(r"\[?[A-Z]+\b|.*\.\.\.")
"""Values that stand for any."""
KNOWN = {"store", "source", "plan", "resume", "folds", "coarser", "ensembles", "weights_only"}.union(
    *OPTIONS.values()
)
"""Words that are put in the place of others before a config is composed, and keywords of functions."""


def overrides(span):
    """What a span of code tells Hydra; nothing if it is something else."""
    words = re.sub(r"^ingradient[- ]train (-m )?(\.\.\. )?", "", span).split(" ")
    found = [OVERRIDE.match(word) for word in words]
    if not all(found):
        return []
    told = [(match[0], *match.groups()) for match in found]
    fields = {field.name for field in dataclasses.fields(Plan)}
    return [
        text
        for text, key, value in told
        if key not in KNOWN
        and not key.startswith(("hydra", "data.planner"))
        and not PLACEHOLDER.match(value or "")
        and (key.partition(".")[0] != "plan" or key.split(".")[1] not in fields)
    ]


LINES = {" ".join(told): name for name, span in SPANS if (told := overrides(span))}


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_keys_in_sentences_and_tables_are_those_of_the_config(line):
    told = line.split(" ")
    swept = "," in re.sub(r"\[.*\]", "", line)
    names = {found[1] for word in told if (found := re.match(r"[+~]*(?:trainer|logger)\.(\w+)", word))}
    trainer = {*inspect.signature(Trainer).parameters}
    loggers = [f"logger={name}" for name in names - trainer]
    compose_config(quote_paths([*loggers, *told, "store=there"], swept=swept), swept=swept)
