"""A study of two dozen classifiers: from its tables to its page, with text that does not meet other text."""

import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from report.figures.images import image_grid
from report.figures.lattice import lattice
from report.figures.matrices import accuracy_matrix
from report.names import source_titles
from report.page import Part
from report.parts import study
from stats.concept_lattice import lattice_document
from stats.names import ORIGINAL
from stats.order import order_document
from study.console import show_table
from tasks.order import run as order
from tests.report.rendered import rendered
from tests.studies import compose

NAMES = """
alexnet vgg16 vgg16_bn resnet18 resnet50 resnet152 inception_v3 googlenet densenet121 densenet201 mobilenet_v2
mobilenet_v3_large efficientnet_b0 efficientnet_v2_s convnext_tiny convnext_large regnet_y_16gf squeezenet1_1
shufflenet_v2_x1_0 swin_t swin_v2_b vit_b_16 vit_l_32 maxvit_t
""".split()  # noqa: SIM905


def accuracies(names: Sequence[str]) -> pd.DataFrame:
    """Classifiers of different quality that miss what an autoencoder of smaller needs leaves out."""
    random, n = np.random.default_rng(0), len(names)
    quality, needs = np.sort(random.uniform(0.5, 0.9, n)), random.uniform(0, 1, n)
    own = quality * (1 - 0.6 * (needs[None] - needs[:, None]).clip(0)) + random.normal(0, 0.01, (n, n))
    rows = [*source_titles(dict.fromkeys(names, ""))]
    values = np.vstack([quality + 0.05, *[quality - 0.1] * 3, own]).clip(0.01, 0.99)
    return pd.DataFrame(values, pd.Index(rows, name="autoencoder"), list(names))


def write_study(root: Path, accuracy: pd.DataFrame) -> None:
    """The files that the first part of the page reads."""
    names = list(accuracy.columns)
    spread = np.random.default_rng(1).uniform(0.02, 0.5, (len(accuracy), 4))
    nmi = pd.DataFrame(spread, accuracy.index, ["intra_mean", "intra_std", "inter_mean", "inter_std"])
    document = order_document(accuracy.loc[names])
    rrc, widest = pd.DataFrame(document["rrc"]).T, document["widest"]
    nodes = widest and lattice_document(rrc.to_numpy(), names, (widest["from"] + widest["to"]) / 2)
    for folder in ("cross_evaluation", "order"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, table in (("accuracy", accuracy), ("accuracy_top5", accuracy), ("nmi", nmi)):
        table.to_csv(root / "cross_evaluation" / f"{name}.csv")
    np.savez(root / "cross_evaluation" / "predictions.npz", allow_pickle=False, labels=np.zeros(100))
    rrc.to_csv(root / "order" / "rrc.csv")
    (root / "order" / "order.json").write_text(json.dumps(document))
    (root / "order" / "lattice.json").write_text(json.dumps(nodes))


def read_study(root: Path, accuracy: pd.DataFrame) -> Part:
    write_study(root, accuracy)
    names = list(accuracy.columns)
    views = pd.DataFrame({"sees": "224 × 224 pixels"}, index=names)
    part = study.read(root, dict(zip(names, names, strict=True)), views)
    assert part is not None
    return part


def shown_texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of level texts that meet; slanted ones have boxes that meet though their letters do not."""
    FigureCanvasAgg(figure).draw()
    texts = [text for text in shown_texts(figure) if not text.get_rotation()]
    left, bottom, right, top = np.array([text.get_window_extent().extents for text in texts]).T[:, :, None]
    meet = (left < right.T) & (right > left.T) & (bottom < top.T) & (top > bottom.T)
    return [(texts[a].get_text(), texts[b].get_text()) for a, b in np.argwhere(np.triu(meet, 1))]


@pytest.mark.parametrize("count", [2, 4, 9, pytest.param(24, marks=pytest.mark.slow)])
def test_texts_do_not_meet(count: int, tmp_path: Path) -> None:
    names = NAMES[:count]
    drawn = dict(read_study(tmp_path, accuracies(names)).figures)
    sources = source_titles(dict(zip(names, names, strict=True))).values()
    images = {name: [np.random.rand(3, 6, 8), np.random.rand(3, 6, 6)] for name in sources}  # noqa: NPY002
    drawn["photographs"] = image_grid({name: pictures[:1] for name, pictures in images.items()}, width=1.75)
    drawn["test_images"] = image_grid(images, ["hubble\ndeep\nfield", "grass"])
    for name, rates in (("longest chain", np.triu(np.ones((count, count)))), ("one group", np.ones((count, count)))):
        document = lattice_document(rates, names, 0.5)
        nodes = [node | {"autoencoders": [f"A_{i}" for i in node["autoencoders"]]} for node in document["nodes"]]
        drawn[name] = lattice(nodes, document["covers"])
    for name, figure in drawn.items():
        assert figure.get_figwidth() < 15, name
        assert figure.get_figheight() < 15, name
        assert not overlapping(figure), name
        slanted = [text for text in shown_texts(figure) if text.get_rotation() not in (0, 90)]
        if slanted and name in ("accuracy", "nmi"):  # room between neighbouring lines of slanted letters
            inches = figure.axes[0].get_window_extent().width / figure.dpi / len(slanted)
            assert inches * 72 * np.sin(np.deg2rad(50)) > 1.2 * float(slanted[0].get_fontsize())
    assert mpl.rcParams["font.size"] != 9  # the style stays in the figures


def test_every_source_has_its_images_in_its_row() -> None:
    images = {f"A_{name}": [np.full((3, 4, 4), number / 24)] for number, name in enumerate(NAMES)}
    figure = image_grid(images, ["grass"])
    texts = {text.get_text(): text.get_position() for text in figure.texts}
    assert len(texts) == len(figure.axes) == 24
    for number, ax in enumerate(figure.axes):
        bottom, top = ax.get_position().y0, ax.get_position().y1
        pixel = ax.images[0].get_array()
        assert pixel is not None
        assert float(pixel[0, 0, 0]) == pytest.approx(number / 24)
        [level] = [y for text, (x, y) in texts.items() if text == list(texts)[number]]
        assert bottom < level < top


def test_the_page_shows_the_widest_ranges_and_says_where_the_others_are(tmp_path: Path) -> None:
    ranges = len(order_document(accuracies(NAMES).loc[NAMES])["intervals"])
    page = rendered(read_study(tmp_path / "many", accuracies(NAMES)))
    assert f"The 20 widest of {ranges} ranges of thresholds (all are in order.json)" in page
    assert "Every threshold" in rendered(read_study(tmp_path / "few", accuracies(NAMES[:4])))


def test_a_narrow_order_is_called_a_hint_and_without_whole_images_there_is_no_section_of_them(tmp_path: Path) -> None:
    names = NAMES[:4]
    for high, narrow in ((0.9, False), (0.52, True)):
        accuracy = accuracies(names)
        accuracy.loc[names] = np.where(np.triu(np.ones((4, 4)), 1) > 0, high / 2, 0.25) + np.eye(4) * 0.25
        page = rendered(read_study(tmp_path, accuracy))
        assert ("That range is only 0.020 wide: take the order as a hint." in page) == narrow
        assert "Whole photographs" not in page


def test_without_an_order_the_page_says_so_and_has_no_lattice(tmp_path: Path) -> None:
    accuracy = accuracies(["a", "b"])
    accuracy.loc[["a", "b"]] = [[0.5, 0.2], [0.2, 0.5]]
    write_study(tmp_path, accuracy)
    document = json.loads((tmp_path / "order" / "order.json").read_text())
    (tmp_path / "order" / "order.json").write_text(json.dumps(document | {"widest": None}))
    (tmp_path / "order" / "lattice.json").write_text("null")
    part = study.read(tmp_path, {"a": "A", "b": "B"}, pd.DataFrame(index=["a", "b"]))
    assert part is not None
    assert "lattice" not in part.figures
    assert "the classifiers have no total order" in rendered(part)


def test_the_task_prints_few_of_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = accuracies(NAMES).loc[NAMES]
    table.to_csv(tmp_path / "mine.csv")
    order(compose(tmp_path, "task=order", f"accuracy={tmp_path / 'mine.csv'}"))
    printed = capsys.readouterr().out
    assert f"and {len(order_document(table)['intervals']) - 20} narrower ones" in printed
    assert printed.count("(0.") + printed.count("(1.") < 30


def test_wide_tables_go_on_below(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("matrix", ["", *NAMES], [[ORIGINAL, *(f"{number}.5%" for number in range(24))]])
    printed = capsys.readouterr().out
    assert printed.count(ORIGINAL) == 3
    assert printed.count("matrix") == 1
    assert [f"{number}.5%" for number in range(24)] == [word for word in printed.split() if word.endswith("%")]


def test_the_accuracies_of_two_hundred_classifiers_fit_on_a_page() -> None:
    names = [f"net_{number}" for number in range(200)]
    figure = accuracy_matrix(pd.DataFrame(np.eye(200), names, names), baselines=0)
    assert max(figure.get_size_inches()) < 25
    assert not figure.axes[0].texts
    assert [len(axis.get_ticklabels()) for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)] == [50, 50]
    few = accuracy_matrix(pd.DataFrame(np.eye(60), names[:60], names[:60]), baselines=0)
    assert len(few.axes[0].texts) == 60 * 60


def test_a_long_chain_is_said_in_words(tmp_path: Path) -> None:
    names = [f"net_{number}" for number in range(70)]
    write_study(tmp_path, accuracies(names))
    nodes = [{"classifiers": [name], "autoencoders": []} for name in names]
    (tmp_path / "order" / "lattice.json").write_text(json.dumps({"threshold": 0.5, "nodes": nodes, "covers": []}))
    part = study.read(tmp_path, dict(zip(names, names, strict=True)), pd.DataFrame(index=names))
    assert part is not None
    assert "lattice" not in part.figures
    assert "a chain of 70 concepts, too many to draw" in rendered(part)
