"""A study in which every name is hostile: its page has the elements of the same study with plain names."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.text import Text

from report.figures.images import image_grid
from report.figures.style import SUBSCRIPT, save_figure, typeset
from report.figures.sweep import sweep_figure
from report.page import Part, cell_text, content_policy, render_page, table_rows, typeset_html
from report.parts import classifiers, disagreement, study
from report.text import LONGEST, address, characters_of_font, figure_text, file_key, visible
from tasks.report import written_parts
from tests.methods.band_tolerance.made_bands import write_bands
from tests.methods.class_patterns.test_report import write as write_patterns
from tests.methods.concepts.test_report import write as write_concepts
from tests.methods.concepts.test_report import write_more as write_more_concepts
from tests.report import test_disagreement
from tests.report.hostile import MARK, PAYLOADS, Rename, hostile, rename_texts, write_features
from tests.report.test_many_classifiers import accuracies, write_study
from tests.report.test_templates import write_results
from tests.stats.compressed import COLUMNS

NAMES = list("abcd")
OWN_MATHEMATICS = {"$A_i$", "$A_S$", "A$_S$", "A$_i$", "$L_\\infty$", "$L_2$"}


def write_everything(root: Path) -> None:
    """The files of every task but disagreement."""
    root.mkdir(parents=True)
    write_results(root)
    write_concepts(root, ["a", "b"])
    write_more_concepts(root, ["a", "b"])
    write_patterns(root, ["a", "b"], planted=True)
    write_features(root, ["a", "b"], ["layer1", "layer2"])
    write_bands(root, NAMES)


def parts_of(root: Path, rename: Rename) -> list[Part]:
    """All parts of a study with renamed classes, layers and titles, and figures of images with names."""
    write_everything(root / "whole")
    test_disagreement.study(root / "compressed")
    rename_texts(root, rename)
    titles = {name: rename(f"title of {name}") for name in [*NAMES, *COLUMNS]}
    views = pd.DataFrame({"preprocessing": rename("preprocessing")}, index=NAMES)
    parts = [
        study.read(root / "whole", titles, views),
        classifiers.read(root / "whole", titles, views, 100, {name: rename(f"origin of {name}") for name in NAMES}),
        disagreement.read(root / "compressed", titles),
        *written_parts(root / "whole", titles),
    ]
    assert len({part.template for part in parts if part is not None}) == 13
    images = {titles[name]: [np.zeros((3, 4, 4))] * 2 for name in NAMES}
    many = {rename(f"source {number}"): pictures for number, pictures in enumerate([images[titles["a"]]] * 12)}
    names = [rename("first class"), rename("second class")]
    jobs = pd.DataFrame({"x": [rename("value 1"), rename("value 2")] * 2, rename("factor"): list("aabb")})
    jobs["y"] = [1.0, 2.0, 3.0, 4.0]
    figures = {"test_images": image_grid(images, names), "photographs": image_grid(many, names)}
    figures["sweep"] = sweep_figure(jobs, "y", ["x", str(jobs.columns[1])])
    assert parts[0] is not None
    parts[0] = Part(parts[0].template, parts[0].values, {**parts[0].figures, **figures}, facts=parts[0].facts)
    return [part for part in parts if part is not None]


def page_of(parts: list[Part], rename: Rename) -> str:
    files = {f"../{rename(name)}/table.csv": rename(name) for name in ("folder of a file", "another folder")}
    return render_page(rename("title of the page"), parts, files)


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, and the values of some attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, ...]] = []
        self.values: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag != "sub":  # of names that begin with A_
            self.elements.append((tag, *(name for name, _ in attributes)))
        for name, value in attributes:
            self.values.setdefault(name, []).append(value or "")

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment",))


@pytest.fixture(scope="module")
def attacked_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Part], str]:
    rename = hostile()
    parts = parts_of(tmp_path_factory.mktemp("hostile"), rename)
    return parts, page_of(parts, rename)


@pytest.mark.slow
def test_the_elements_are_those_of_plain_names(attacked_study: tuple[list[Part], str], tmp_path: Path) -> None:
    _, page = attacked_study
    plain = page_of(parts_of(tmp_path / "plain", str), str)
    attacked, expected = Elements(page), Elements(plain)
    assert attacked.elements == expected.elements
    assert not any(name.startswith("on") or name in ("style", "srcdoc") for name in attacked.values)
    for name in ("src", "id", "class", "http-equiv", "charset", "rel"):
        assert attacked.values.get(name) == expected.values.get(name)
    assert len(set(attacked.values["id"])) == len(attacked.values["id"]) - 1  # two parts here have a field of view
    links = attacked.values["href"]
    assert {link[1:] for link in links if link.startswith("#")} == set(attacked.values["id"])
    assert all(link.startswith(("#", "figures/", "../")) for link in links)
    assert all(link.isascii() and not set(link) & set(" <>\"'\\") for link in links)
    assert not set(page) & set(map(chr, [*range(9), *range(11, 32), 0x202E, 0x2066]))
    page.encode()
    assert page.count("{{") == plain.count("{{") + page.count("{{ 7 * 7 }}")


@pytest.mark.slow
def test_every_figure_is_drawn_and_its_mathematics_is_the_projects(
    attacked_study: tuple[list[Part], str], tmp_path: Path
) -> None:
    parts, page = attacked_study
    figures = {name: figure for part in parts for name, figure in part.figures.items()}
    assert len(figures) > 40
    for number, (name, figure) in enumerate(figures.items()):
        assert f"figures/{name}.png" in page or name == "sweep"
        # a warning of a lost glyph is an error here
        save_figure(figure, tmp_path / f"{number}.png", tmp_path / f"{number}.pdf")
        for text in texts_of(figure):
            for own in OWN_MATHEMATICS:
                text = text.replace(own, "")
            subscripts = text.replace("$B_{", "$A_{").split("$A_{\\mathrm{")
            rest = subscripts[0] + "".join(part.partition("}}$")[2] for part in subscripts[1:])
            of_axis = text.startswith(r"$\mathdefault{")  # numbers of a logarithmic axis
            assert of_axis or not is_math_text(rest), (name, text)
        wide, high = figure.get_size_inches()
        assert max(wide, high) < 25, name


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]


@pytest.mark.slow
def test_plain_names_in_figures_are_as_they_were(tmp_path: Path) -> None:
    write_study(tmp_path, accuracies(NAMES))
    part = study.read(tmp_path, {name: f"Net_{name} (b,n)" for name in NAMES}, pd.DataFrame(index=NAMES))
    assert part is not None
    assert r"$A_{\mathrm{Net\_a~(b,n)}}$" in texts_of(part.figures["accuracy"])
    assert "Net_a (b,n)" in texts_of(part.figures["accuracy"])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_name_is_one_line_of_text_wherever_it_stands(payload: str) -> None:
    seen = visible(payload)
    assert len(seen) == len(payload)
    assert len(seen.splitlines()) == 1
    seen.encode()
    assert not any(ord(letter) < 32 or letter in "\u202e\u2066" for letter in seen)
    for text in (figure_text(payload), typeset(payload)):
        assert not is_math_text(text)
        shown = text.replace(r"\$", "$").removeprefix(" ")
        assert len(shown) <= LONGEST
        assert all(ord(letter) in characters_of_font() for letter in shown)
    assert "<" not in typeset_html(payload).replace("<sub>", "").replace("</sub>", "")
    assert set(file_key(payload)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
    assert len(file_key(payload)) < 110


def test_different_names_have_different_files() -> None:
    names = ["a b", "a_b", "a/b", "a\udcff", "y" * 300, "y" * 301, *PAYLOADS]
    assert len({file_key(name) for name in names}) == len(names)
    assert file_key("resnet18_cifar10-1.b") == "resnet18_cifar10-1.b"


def test_an_address_is_a_path_and_nothing_else() -> None:
    assert address("../a b/ä.csv") == "../a%20b/%C3%A4.csv"
    assert address("javascript:alert(1)") == "./javascript%3Aalert%281%29"
    assert address("../bytes\udcff") == "../bytes%FF"


def test_every_character_of_a_subscript_is_drawn_as_itself(tmp_path: Path) -> None:
    letters = [
        chr(code)
        for code in [*range(33, 0x180), *range(0x2010, 0x2030), 0x2212, 0x221E, 0x2264, 0x2265]
        if code in characters_of_font()
    ]
    letters = [letter for letter in letters if SUBSCRIPT.fullmatch(letter)]
    assert len(letters) > 200
    figure = Figure(figsize=(8, 12))
    for row in range(0, len(letters), 40):
        figure.text(0, row / len(letters), typeset("A_" + "".join(letters[row : row + 40])))
    save_figure(figure, tmp_path / "text.png", tmp_path / "text.pdf")


def test_tables_show_numbers_to_three_digits_and_dashes() -> None:
    table = pd.DataFrame(
        {"a": [1.23456, np.nan], "b": [1, 2], "c": ["<x>", None], "d": [True, False]}, index=["A_S", "r"]
    )
    assert [(name, cells) for name, cells in table_rows(table)] == [
        ("A_S", ["1.235", 1, "<x>", True]),
        ("r", ["–", 2, "–", False]),
    ]
    assert cell_text(np.float32(0.5)) == "0.500"
    assert typeset_html("own A_i, A_S") == "own A<sub>i</sub>, A<sub>S</sub>"
    assert typeset_html("A_<b>") == "A<sub>&lt;b&gt;</sub>"
    assert typeset_html("B_<b>") == "B<sub>&lt;b&gt;</sub>"


def test_the_policy_names_the_style_of_the_page_and_allows_no_script() -> None:
    page = render_page("t", [], {})
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    policy = content_policy(style)
    assert policy.replace("'", "&#39;") in page
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "<script" not in page
    assert MARK not in page
