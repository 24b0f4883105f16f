"""Write the pages that come out of the code: every config key and exported name. scripts/docs runs it."""

import importlib
import inspect
import re
import sys
from pathlib import Path

from ingradient_pl.lightning.key_ranges import COMMENT, KEY, join_lines
from ingradient_pl.planning.plan_yaml import COMMENTS

ROOT = Path(__file__).parents[1]
CONF, DOCS = ROOT / "conf", ROOT / "docs"
CHANGES_OTHERS = "# @package _global_"
ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):(?=`|<code>)")
"""What docstrings put before a name that is ours; Markdown knows no such thing."""
RANGE = re.compile(r"\bin [\[(]")
"""What a comment holds that says all there is to say of a key."""
CODE = re.compile(r"<code>[^<]*</code>")
HYPHENED = re.compile(r"(?<![^\s>])[\w-]*-[\w-]*(?![^\s<])")
"""Options and commands: browsers would break the line at a hyphen."""
ORDER = ["data", "draws", "augment", "module", "network", "loss", "optimizer", "scheduler", "trainer"]
ROOMS = ["geometry", "images", "datasets", "store", "draws", "transforms", "networks", "losses", "metrics"]
ROOMS += ["optimizers", "planning", "loading", "inference", "nnunet", "lightning", "lightning.callbacks"]
HEAD = """\
# Every config key

Made from the comments in `conf/` and the docstrings of the constructors. A group is chosen by `GROUP=FILE`
(`recipe=fast`), or by `GROUP@PLACE=FILE` where it stands inside another (`loss@module.loss=focal`); a key by
`KEY=VALUE`. `ingradient-train ... --cfg job` shows the whole config of a run. Ranges are what the program
holds to: a number outside is refused, and one outside of what is said to be usual is remarked on.
"""


def config_page():
    """Every file of ``conf/``: its keys with default, and meaning from comment or docstring."""
    parts = [HEAD, "## train\n", *file_section(CONF / "train.yaml", "The whole run")]
    groups = {file.parent.name for file in CONF.glob("*/*.yaml")}
    for group in [name for name in ORDER if name in groups] + sorted(groups - set(ORDER)):
        parts.append(f"## {group}\n")
        for file in sorted((CONF / group).glob("*.yaml")):
            parts += file_section(file, f"`{group}: {file.stem}`")
    return "\n".join(parts)


def file_section(file, title):
    """A heading, what the file is for, and a table of its keys."""
    lines = file.read_text(encoding="utf-8").splitlines()
    about = [line.lstrip("# ") for line in lines[: head_length(lines)] if not line.startswith(("# @", "#  "))]
    rows = [row for row in keys(lines) if row[0].split(".")[0] not in ("defaults", "hydra")]
    table = ["| key | default | meaning |", "|---|---|---|"] if rows else []
    table += [f"| `{key}` | {f'`{value}`' if value else ''} | {meaning} |" for key, value, meaning in rows]
    return [f"### {title}\n", " ".join(about) + "\n", *table, ""]


def head_length(lines):
    return next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))


def keys(lines):
    """Path, default and meaning of each key of a YAML text, in order.

    What changes keys of other files says why: that comes behind what the key means.
    """
    path, found, known = [], [], {}
    changes_others = lines[0] == CHANGES_OTHERS
    for line in join_lines(lines):
        match = KEY.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        indent, name, rest = len(match[1]) + (2 if line.lstrip().startswith("- ") else 0), match[2], match[3]
        path = [(depth, part) for depth, part in path if depth < indent] + [(indent, name)]
        value, comment = (*COMMENT.split(rest.strip(), maxsplit=1), "")[:2]
        parent = ".".join(part for _, part in path[:-1])
        if name == "_target_":
            known[parent] = arguments(value)
            continue
        if name.startswith("_"):
            continue
        key = ".".join(part for _, part in path)
        before = recall(key)
        meaning = comment or known.get(parent, {}).get(name, "") or before
        if changes_others and comment and before and not RANGE.search(comment):
            meaning = before if comment in before else f"{before}. Here: {comment}"
        elif meaning:
            MEANINGS.setdefault(key, meaning)
        if value or meaning:
            found.append((key, cell(value), prose(meaning)))
    return found


MEANINGS = {f"plan.{name}": comment for name, comment in COMMENTS.items()}
"""What was said of a key before: a recipe or experiment sets keys of other files."""


def recall(key):
    """What was said of the key, or of its end: ``data.draws.affine.mirror`` is ``affine.mirror``."""
    parts = key.split(".")
    return next(filter(None, (MEANINGS.get(".".join(parts[i:])) for i in range(len(parts)))), "")


def cell(text):
    """Text that does not end a cell of a table."""
    return text.replace("|", "\\|")


def entry(path, name):
    """What stands at ``path``, under the name by which it is imported."""
    return f"::: {path}\n    options:\n      heading: {name}\n"


def prose(text):
    """Text whose stars outside of code are stars, not emphasis, and whose names of ours are plain code."""
    parts = re.split(r"(`+[^`]*`+)", ROLE.sub("", text))
    return cell("".join(part if part.startswith("`") else part.replace("*", "\\*") for part in parts))


def arguments(target):
    """What a constructor's docstring says of each argument."""
    if "${" in target or not target.startswith("ingradient_pl."):
        return {}
    module, _, name = target.rpartition(".")
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    section = text.partition("Args:\n")[2].split("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", section, re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def api_page():
    """Each exported name, the top level first, then room by room."""
    parts = ["# API\n", "## ingradient_pl\n"]
    shown = {"ingradient_pl.draws.planned.draws"}
    parts += [entry(path, "ingradient_pl.draws") for path in shown]
    for package in ["ingradient_pl", *(f"ingradient_pl.{room}" for room in ROOMS)]:
        module = importlib.import_module(package)
        if package != "ingradient_pl":
            parts += [f"## {package.partition('.')[2]}\n", f"{inspect.getdoc(module).splitlines()[0]}\n"]
        for name in sorted(module.__all__, key=lambda name: (name[0].isupper(), name)):
            value = getattr(module, name)
            path = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
            if (inspect.isclass(value) or inspect.isfunction(value)) and path not in shown:
                shown.add(path)
                parts.append(entry(path, f"{package}.{name}"))
    return "\n".join(parts)


def on_page_content(html, **_):
    """Called by mkdocs with each page that it has made.

    Args:
        html: The page.
    """
    plain = ROLE.sub("", html)
    return CODE.sub(lambda code: HYPHENED.sub(r'<span class="word">\g<0></span>', code[0]), plain)


PAGES = {"config.md": config_page, "api.md": api_page}


if __name__ == "__main__":
    for name, make in PAGES.items():
        (DOCS / name).write_text(make(), encoding="utf-8")
    print(*PAGES, "written", file=sys.stderr)
