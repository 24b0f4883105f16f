"""Tables of the docs that are made of rows: Markdown, written between the marks of a page."""

import re
from collections.abc import Mapping, Sequence


def markdown_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Give a table of Markdown.

    Args:
        columns: Heading of each column.
        lines: The entries of each line, one a column.
    """
    ruled = [columns, ["---"] * len(columns), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in ruled)


def fill(page: str, tables: Mapping[str, str]) -> str:
    """Give a page with the text between ``<!-- NAME -->`` and the next ``<!-- end -->`` made anew.

    Args:
        page: Text of the page.
        tables: What stands there, by the name of the mark.
    """
    for name, made in tables.items():
        block = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
        page = re.sub(block, lambda match, made=made: f"{match[1]}{made}\n{match[2]}", page, flags=re.DOTALL)
    return page
