"""Sections to one page of HTML that loads nothing: charts by plotly, the page by Jinja2."""

import json
import re
from collections.abc import Sequence
from typing import Any

from ingradient_pl import __version__
from ingradient_pl.optional import require
from ingradient_pl.reports.parts import Section


class ReportError(ValueError):
    """Something of which no report can be made; the message says why, and what to do."""


def check_extra() -> None:
    """Refuse to begin where the libraries of the extra ``report`` are missing.

    Raises:
        ImportError: If one is; the message tells how to install it.
    """
    for package in ("jinja2", "plotly"):
        require(package, "Reports", "ingradient_pl[report]")


def render_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Give a page of HTML that stands alone: a browser that opens it asks no other address for anything.

    All text is escaped, and the page forbids itself to load what is not in it.

    Args:
        title: Of the page.
        subtitle: A line below.
        sections: What it holds; empty ones are left out.

    Raises:
        ImportError: If plotly or Jinja2 is missing.
    """
    check_extra()
    import jinja2
    import markupsafe
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ingradient_pl.reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": lambda figure: markupsafe.Markup(_figure_json(figure)), "cell": _cell}
    shown = [section for section in sections if section.parts]
    charts = any(part.kind == "chart" for section in shown for part in section.parts)
    asides = {name: markupsafe.Markup(_text(environment, name)) for name in ("page.css", "page.js")}
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        sections=[(f"{_anchor(section.title)}-{place}", section) for place, section in enumerate(shown, 1)],
        style=asides["page.css"],
        script=asides["page.js"],
        plotly=markupsafe.Markup(get_plotlyjs()) if charts else "",
        version=__version__,
    )


def _text(environment: Any, name: str) -> str:
    source: str = environment.loader.get_source(environment, name)[0]
    return source


def _figure_json(figure: Any) -> str:
    """Give a figure as JSON that may stand in a page: no ``<`` could end the element it is in."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _cell(value: str | float | None) -> str:
    """Give an entry of a table as text.

    >>> [_cell(value) for value in (None, 3, 0.12346, "a", float("nan"))]
    ['–', '3', '0.1235', 'a', '–']
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
