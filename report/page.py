"""The report page: one HTML file that opens from disk, laid out from templates."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from report.names import spaced
from report.text import address, visible
from report.words import Measure

REPOSITORY = Path(__file__).resolve().parents[1]
STYLE = REPOSITORY / "report" / "templates" / "page.css"


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
        HTML that refers only to files beside it, and tells the browser to run no script and to load nothing else.
    """
    style = Markup(STYLE.read_text(encoding="utf-8"))  # noqa: S704 - a file of the project
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
        style=style,
        policy=content_policy(style),
        lead=Markup(" ").join(lead.strip() for lead in leads),
        facts=[fact for part in parts for fact in part.facts],
        sections=sections,
        contents=contents,
        files=files,
        methods=list(dict.fromkeys(part.method for part in parts if part.method is not None)),
    )


def content_policy(style: str) -> str:
    """What a browser may do with the page: show images of its folder and use its style; no script, no other address.

    The page has no script, so that whatever a name may smuggle in cannot run.

    Args:
        style: The text between the tags of the page's only style.
    """
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def shown(value: Any) -> Any:
    """What a template shows of a value: text that is no HTML of the project without invisible characters."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def make_environment() -> jinja2.Environment:
    """The templates with their filters; every value is made visible, and escaped unless a filter has made it HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(REPOSITORY),
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do", Measure],
    )
    environment.filters |= {
        "rows": table_rows,
        "address": address,
        "name": typeset_html,
        "percent": lambda value, digits=0: f"{100 * value:.{digits}f} %",
        "number": lambda value, digits=3: f"{value:.{digits}f}".replace("-", "−"),
        "spaced": spaced,
        "listed": listed,
        "slug": lambda text: re.sub(r"\W+", "-", str(text).lower()).strip("-"),
    }
    return environment


def table_rows(table: pd.DataFrame) -> Iterator[tuple[object, list[object]]]:
    """The rows of a table with their names: floats to three digits, a dash for NaN."""
    for name, cells in zip(table.index, table.itertuples(index=False, name=None), strict=True):
        yield name, [cell_text(cell) for cell in cells]


def cell_text(cell: object) -> object:
    """A number as text; other things as they are."""
    if cell is None or cell is pd.NA or cell != cell:  # only NaN differs from itself
        return "–"
    return f"{cell:.3f}" if isinstance(cell, float | np.floating) else cell


def typeset_html(name: object) -> Markup:
    """A name as HTML: of ``A_…`` and ``B_…`` the rest becomes a subscript; in other names ``A_S`` and ``A_i``."""
    text = visible(name)
    if text.startswith(("A_", "B_")):
        return Markup("{}<sub>{}</sub>").format(text[0], text[2:])
    return Markup(re.sub(r"\bA_([Si])\b", r"A<sub>\1</sub>", str(escape(text))))  # noqa: S704 - escaped before


def listed(names: Sequence[object]) -> str:
    """Names in a sentence: ``a, b and c``."""
    words = [str(name) for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
