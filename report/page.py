"""The report page: one HTML file that opens from disk, laid out from templates."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from report.names import spaced

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Part:
    """What one task adds to the page.

    Attributes:
        template: Its prose: a Jinja file, as a path within the repository. It defines a macro ``sections`` and may
            define a macro ``lead`` with the text at the top of the page.
        values: What the template refers to: numbers, words and tables that a task has written; not named
            ``contents`` or ``figures``.
        figures: Figures by the name of their files, without ending: unique on the page, so they begin with the task.
        files: The data behind them, linked at the foot of the page.
        method: Where the method is published, for the foot of the page.
        facts: Numbers at the top of the page: what, and how much.
    """

    template: str
    values: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    files: Sequence[Path] = ()
    method: str | None = None
    facts: Sequence[tuple[str, str]] = ()


def render_page(title: str, parts: Sequence[Part], files: Mapping[str, str]) -> str:
    """Lay out a page.

    Args:
        title: Its title.
        parts: The parts, in order.
        files: Raw data to link to: text by path relative to the page.

    Returns:
        HTML that refers only to files beside it.
    """
    environment, contents = make_environment(), list[tuple[str, str]]()
    figures = {name for part in parts for name in part.figures}
    leads, sections = [], []
    for part in parts:
        module: Any = environment.get_template(part.template).make_module(
            {"contents": contents, "figures": figures, **part.values}
        )
        leads += [module.lead()] if hasattr(module, "lead") else []
        sections.append(module.sections())
    return environment.get_template("report/templates/page.html.j2").render(
        title=title,
        lead=Markup(" ").join(lead.strip() for lead in leads),
        facts=[fact for part in parts for fact in part.facts],
        sections=sections,
        contents=contents,
        files=files,
        methods=list(dict.fromkeys(part.method for part in parts if part.method is not None)),
    )


def make_environment() -> jinja2.Environment:
    """The templates with their filters; every value is escaped unless a filter has made it HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(REPOSITORY),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters |= {
        "table": table_html,
        "name": typeset_html,
        "percent": lambda value, digits=0: f"{100 * value:.{digits}f} %",
        "number": lambda value, digits=3: f"{value:.{digits}f}".replace("-", "−"),
        "spaced": spaced,
        "listed": listed,
        "slug": lambda text: re.sub(r"\W+", "-", str(text).lower()).strip("-"),
    }
    return environment


def table_html(table: pd.DataFrame) -> Markup:
    """A table as HTML: numbers to three digits, a dash for NaN, ``A_S`` and its like with their subscript."""
    named = table.rename_axis(index=None).rename(index=typeset_html, columns=typeset_html)
    escaped = named.map(lambda cell: html.escape(cell) if isinstance(cell, str) else cell)
    return Markup(escaped.to_html(float_format=lambda value: f"{value:.3f}", border=0, escape=False, na_rep="–"))  # noqa: S704


def typeset_html(name: object) -> Markup:
    """A name as HTML: of a name that begins with ``A_`` the rest becomes a subscript, in others ``A_S`` and ``A_i``."""
    text = html.escape(str(name))
    if text.startswith("A_"):
        return Markup(f"A<sub>{text.removeprefix('A_')}</sub>")  # noqa: S704
    return Markup(re.sub(r"\bA_([Si])\b", r"A<sub>\1</sub>", text))  # noqa: S704


def listed(names: Sequence[object]) -> str:
    """Names in a sentence: ``a, b and c``."""
    words = [str(name) for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
