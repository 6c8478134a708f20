"""The page in a real browser: no script of a name runs, no other script either, and its style and its images load."""

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from report.page import Part, render_page
from report.text import visible
from tests.report.hostile import MARK, SCRIPT, hostile
from tests.report.test_hostile_names import page_of, parts_of

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome")]
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=900,1200",
    "--virtual-time-budget=3000",
)  # fmt: skip


def browser(page: Path, *options: str) -> str:
    """What the browser prints about a page."""
    assert CHROMIUM is not None
    profile = page.parent / "profile"
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, errors="replace").stdout


class Title(HTMLParser):
    """The title of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.text, self.inside = "", False
        self.feed(document)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "title"

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""


def title_after(html: str, folder: Path) -> str:
    """The title of a page after its scripts have run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(html, encoding="utf-8")
    return Title(browser(folder / "index.html", "--dump-dom")).text


def test_no_script_of_a_name_runs(tmp_path: Path) -> None:
    rename = hostile()
    page = page_of(parts_of(tmp_path / "study", rename), rename)
    without_policy = page.replace("Content-Security-Policy", "X-Nothing")  # escaping alone is enough, too
    for number, html in enumerate((page, without_policy)):
        title = title_after(html, tmp_path / str(number))
        assert title == visible(rename("title of the page"))
        assert title != MARK


def test_a_script_that_is_smuggled_in_does_not_run(tmp_path: Path) -> None:
    page = render_page("a title", [], {})
    for number, smuggled in enumerate((
        f"<script>{SCRIPT}</script>",
        f'<img src=x onerror="{SCRIPT}">',
        f"<svg onload={SCRIPT}></svg>",
        f'<iframe srcdoc="<script>parent.{SCRIPT}</script>"></iframe>',
        f'<script src="data:text/javascript,{SCRIPT}"></script>',
    )):  # fmt: skip
        poisoned = page.replace("<main>", f"<main>{smuggled}")
        assert title_after(poisoned, tmp_path / f"with{number}") == "a title", smuggled
        if number < 3:  # the test would notice
            unprotected = poisoned.replace("Content-Security-Policy", "X-Nothing")
            assert title_after(unprotected, tmp_path / f"without{number}") == MARK, smuggled


def test_images_and_style_of_the_page_load(tmp_path: Path) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    Image.new("RGB", (600, 400), (255, 0, 0)).save(figures / "accuracy.png")
    page = render_page("a title", [Part("report/templates/noise.html.j2", NOISE)], {})
    page = page.replace("</main>", '<figure><img src="figures/accuracy.png"></figure></main>')
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    browser(tmp_path / "index.html", f"--screenshot={tmp_path / 'page.png'}")
    with Image.open(tmp_path / "page.png") as screenshot:
        pixels = np.array(screenshot.convert("RGB")).astype(int)
    red = (pixels == (255, 0, 0)).all(axis=2)
    assert red.sum() == pytest.approx(0.56**2 * 600 * 400, rel=0.05)  # the style shows figures at 56 %


NOISE = {"table": pd.DataFrame({"0.0": [0.5]}), "images": 5, "classifiers": 1, "helped": []}
