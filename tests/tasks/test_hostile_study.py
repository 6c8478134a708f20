"""A whole study on folders with hostile names, run as people run it: from the folders to the tables and the page."""

import csv
import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import run
from report.tables import read_table
from report.text import visible
from stats.csv_text import FORMULA
from tests.report.hostile import PAYLOADS
from tests.studies import compose

CLASSES = sorted(
    {*{payload.replace("/", "÷").replace("\x00", "")[:60] for payload in PAYLOADS[:20]}, os.fsdecode(b"bytes \xff")}
    - {"null"}
)
TITLE = r"<img src=x onerror=alert(1)> $\frac{$ =1+1"


def make_folders(root: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        for number, name in enumerate(CLASSES):
            folder = root / split / name
            folder.mkdir(parents=True)
            for image in range(count):
                colour = np.random.default_rng(number).integers(0, 256, 3)
                noise = np.random.default_rng([number, image]).normal(0, 20, (24, 24, 3))
                pixels = (colour + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}-{image}.png")


@pytest.mark.slow
def test_hostile_folders_have_tables_and_a_page(tmp_path: Path) -> None:
    make_folders(tmp_path / "images")
    overrides = (
        "data=folder", f"data.root={tmp_path / 'images'}", "data.size=16", "data.resize=16", "data.workers=0",
        "autoencoder=segnet_compact",
        "measurements=[signal_statistics]", "analyses=[]", "intervals.resamples=20",
    )  # fmt: skip
    cfg = compose(tmp_path, *overrides)
    cfg.classifier_settings = {"vgg_compact": {"title": TITLE}}
    run.run(cfg)
    study = tmp_path / "smoke"
    classes = read_table(study / "signal_statistics" / "classes.csv")
    assert sorted(set(classes["name"])) == CLASSES
    for path in (path for path in study.rglob("*.csv") if "jobs" not in path.parts):
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert not [cell for cell in cells if FORMULA.match(cell) and not is_guarded_or_number(cell)], path
    page = (study / "report" / "index.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert elements.sources == {f"figures/{path.stem}.png" for path in (study / "report" / "figures").glob("*.png")}
    assert TITLE in elements.text
    changed = read_table(study / "signal_statistics" / "class_changes.csv")["name"]
    assert len(changed)
    assert all(visible(name).replace("_", " ") in elements.text for name in changed)
    assert not elements.tags & {"script", "iframe", "svg"}


def is_guarded_or_number(cell: str) -> bool:
    """Whether a spreadsheet does not take a cell for a formula."""
    try:
        return cell.startswith("'") or isinstance(float(cell), float)
    except ValueError:
        return False


class Elements(HTMLParser):
    """Names of the elements of a page, its text, and the images it shows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.sources, self.text = set[str](), set[str](), ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources |= {str(dict(attributes)["src"])} if tag == "img" else set()

    def handle_data(self, data: str) -> None:
        self.text += data
