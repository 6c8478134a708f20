"""The report page: one HTML file that opens from disk."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: Its heading, which says what is found there.
        text: What the reader should know to read the figure; may hold HTML.
        figure: Name of the figure's files, without suffix, in ``figures/``; or ``None``.
        tables: Tables by caption.
    """

    title: str
    text: str
    figure: str | None = None
    tables: Mapping[str, pd.DataFrame] | None = None


@dataclass(frozen=True)
class Part:
    """What one measurement adds to the page.

    Attributes:
        sections: Its sections, in order; their figures are among ``figures``.
        figures: Figures by the name of their files.
        files: The raw data behind them.
        method: Where the method is published, for the foot of the page; ``None`` names nothing new.
        lead: What it has to say at the very top of the page; may hold HTML.
    """

    sections: Sequence[Section]
    figures: Mapping[str, Figure]
    files: Sequence[Path]
    method: str | None = None
    lead: str = ""


def render_page(
    title: str,
    lead: str,
    facts: Sequence[tuple[str, str]],
    sections: Sequence[Section],
    files: Mapping[str, str],
    methods: Sequence[str] = (),
) -> str:
    """Lay out a page.

    Args:
        title: Its title.
        lead: What was found, in a sentence or two; may hold HTML.
        facts: Numbers at the top: what, and how much.
        sections: The parts, in order.
        files: Raw data to link to: text by path relative to the page.
        methods: Where the methods are published.

    Returns:
        HTML that refers only to files beside it.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = table_html
    values: dict[str, Any] = {"title": title, "lead": lead, "facts": facts, "sections": sections, "files": files}
    values["methods"] = methods
    return environment.get_template("page.html.j2").render(values)


def table_html(table: pd.DataFrame) -> str:
    """A table as HTML, numbers to three digits, ``A_S`` and its like with their subscript."""
    named = table.rename_axis(index=None).rename(index=typeset_html, columns=typeset_html)
    return named.to_html(float_format=lambda value: f"{value:.3f}", border=0, escape=False)


def typeset_html(name: object) -> str:
    """A name as HTML."""
    text = html.escape(str(name))
    return f"A<sub>{text.removeprefix('A_')}</sub>" if text.startswith("A_") else text
