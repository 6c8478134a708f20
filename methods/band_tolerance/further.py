"""Networks of other studies at the end of a page: their bits, pictures, and a link to their own page."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from methods.band_tolerance import tables
from methods.band_tolerance.report import FILES, picture_figures, pictured
from methods.band_tolerance.rows import FIT
from report.page import Part
from report.tables import read_table
from study.records import read_arrays

TEMPLATE = "methods/band_tolerance/further.html.j2"
MOST_PHOTOGRAPHS = 2  # of each study


def missing_file(root: Path) -> Path | None:
    """The first file of a study that a page of another one needs and that does not exist."""
    needed = [*(root / "band_tolerance" / name for name in FILES), root / "report" / "index.html"]
    return next((path for path in needed if not path.exists()), None)


def shown_files(root: Path) -> list[Path]:
    """The files of a study that a page of another one shows."""
    return [root / "band_tolerance" / name for name in ("bits.csv", "curve.csv", "order.json", "pictures.npz")]


def read(root: Path, title_of: Callable[[str], str], page: Path, position: int) -> Part:
    """The section on the networks of another study.

    Args:
        root: The folder of that study, of which :func:`missing_file` misses nothing.
        title_of: Returns the display name of a classifier.
        page: The folder that the page is in.
        position: The position of the study on the page, for the names of its figures.
    """
    bits_file, curve_file, order_file, pictures_file = files = shown_files(root)
    order: dict[str, Any] = json.loads(order_file.read_text(encoding="utf-8"))
    arrays = read_arrays(pictures_file)
    bits = tables.with_extents(read_table(bits_file), read_table(curve_file))
    first = bits[bits["kind"] == FIT].drop_duplicates("classifier").set_index("classifier")
    names = {name: title_of(name) for name in first.index if name not in order["controls"]}
    at_target = bool(np.isclose(first.loc[list(names), "retention"], order["retention"]).all())
    drawn, photographs = picture_figures(arrays, pictured(arrays["classifiers"].tolist(), first), names)
    shown = [name for photograph in photographs[:MOST_PHOTOGRAPHS] for name in photograph["figures"]]
    anchor = f"further_{position}"
    figures = {f"{anchor}_{number}": drawn[name] for number, name in enumerate(shown)}
    values = {
        "study": root.name,
        "anchor": anchor,
        "names": list(names.values()),
        "share": f"{100 * order['retention']:g} %",
        "at_target": at_target,
        "pixels": f"{order['pixels']:,}",
        "images": order["images"],
        "level": f"{100 * order['level']:g} %",
        "table": tables.bits_table(bits, first, names, at_target),
        "page": os.path.relpath(root / "report" / "index.html", page),
        "pictures": list(figures),
    }
    return Part(TEMPLATE, values, figures, files)
