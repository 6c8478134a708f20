"""A study of two dozen classifiers: from its tables to its page, with text that does not meet other text."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from report.figures.lattice import lattice
from report.figures.study import image_grid
from report.page import render_page
from report.study import StudyTables, draw_figures, lead, row_names, sections
from stats.names import ORIGINAL
from stats.order import relative_rate_of_change
from study.console import show_table
from tasks.order import run as order
from tests.studies import compose

NAMES = """
alexnet vgg16 vgg16_bn resnet18 resnet50 resnet152 inception_v3 googlenet densenet121 densenet201 mobilenet_v2
mobilenet_v3_large efficientnet_b0 efficientnet_v2_s convnext_tiny convnext_large regnet_y_16gf squeezenet1_1
shufflenet_v2_x1_0 swin_t swin_v2_b vit_b_16 vit_l_32 maxvit_t
""".split()  # noqa: SIM905


def synthetic(names: list[str]) -> StudyTables:
    """Classifiers of different quality that miss what an autoencoder of smaller needs leaves out."""
    random, n = np.random.default_rng(0), len(names)
    quality, needs = np.sort(random.uniform(0.5, 0.9, n)), random.uniform(0, 1, n)
    own = quality * (1 - 0.6 * (needs[None] - needs[:, None]).clip(0)) + random.normal(0, 0.01, (n, n))
    rows = [*row_names(dict(zip(names, names, strict=True))).values()]
    accuracy = pd.DataFrame(np.vstack([quality + 0.05, *[quality - 0.1] * 3, own]).clip(0.01, 0.99), rows, names)
    spread = random.uniform(0.02, 0.5, (n + 4, 4))
    nmi = pd.DataFrame(spread, rows, ["intra_mean", "intra_std", "inter_mean", "inter_std"])
    rrc = pd.DataFrame(relative_rate_of_change(accuracy.iloc[4:].to_numpy()), rows[4:], names)
    views = pd.DataFrame({"sees": "224 × 224 pixels"}, index=names)
    return StudyTables(accuracy, accuracy, nmi, rrc, 100, views, None)


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
def test_texts_do_not_meet(count: int) -> None:
    study = synthetic(NAMES[:count])
    images = {name: [torch.rand(3, 6, 8), torch.rand(3, 6, 6)] for name in study.accuracy.index}
    photographs = {name: pictures[:1] for name, pictures in images.items()}
    drawn = draw_figures(study, photographs, images, ["hubble\ndeep\nfield", "grass"])
    ordered = pd.DataFrame(np.triu(np.ones((count, count), bool)), study.rrc.columns, study.rrc.index)
    drawn["longest chain"] = lattice(ordered)
    drawn["one group"] = lattice(ordered | True)
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
    images = {f"A_{name}": [torch.full((3, 4, 4), number / 24)] for number, name in enumerate(NAMES)}
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


def test_the_page_shows_the_widest_ranges_and_says_where_the_others_are() -> None:
    study = synthetic(NAMES)
    page = render_page("many", lead(study), [], sections(study), {})
    assert f"The 20 widest of {len(study.intervals)} ranges of thresholds (all are in order.json)" in page
    few = synthetic(NAMES[:4])
    assert "Every threshold" in render_page("few", lead(few), [], sections(few), {})


def test_a_narrow_order_is_called_a_hint_and_without_whole_images_there_is_no_figure_of_them() -> None:
    study = synthetic(NAMES[:4])
    for high, narrow in ((0.9, False), (0.52, True)):
        rrc = pd.DataFrame(np.where(np.triu(np.ones((4, 4))) > 0, high, 0.5), study.rrc.index, study.rrc.columns)
        text = lead(replace(study, rrc=rrc))
        assert ("That range is only 0.020 wide: take the order as a hint." in text) == narrow
    images = {name: [torch.rand(3, 6, 8)] for name in study.accuracy.index}
    drawn = draw_figures(study, {name: [] for name in images}, images, ["grass"])
    assert "photographs" not in drawn
    assert "test_images" in drawn


def test_the_task_prints_few_of_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = synthetic(NAMES)
    table = study.accuracy.iloc[4:].set_axis(NAMES).rename_axis("autoencoder")
    table.to_csv(tmp_path / "mine.csv")
    order(compose(tmp_path, "task=order", f"accuracy={tmp_path / 'mine.csv'}"))
    printed = capsys.readouterr().out
    assert f"and {len(study.intervals) - 20} narrower ones" in printed
    assert printed.count("(0.") + printed.count("(1.") < 30


def test_wide_tables_go_on_below(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("matrix", ["", *NAMES], [[ORIGINAL, *(f"{number}.5%" for number in range(24))]])
    printed = capsys.readouterr().out
    assert printed.count(ORIGINAL) == 3
    assert printed.count("matrix") == 1
    assert [f"{number}.5%" for number in range(24)] == [word for word in printed.split() if word.endswith("%")]
