"""The text of a part as the page shows it."""

import re

from report.page import Part, render_page


def rendered(*parts: Part) -> str:
    """The HTML of a page with these parts, with single spaces."""
    return re.sub(r"\s+", " ", render_page("title", parts, {}))


def anchors(page: str) -> set[str]:
    """Names of the sections of a page."""
    return set(re.findall(r'<section id="([^"]+)"', page))
