"""The part of the page on band tolerance, from made-up tables with a known outcome."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from methods.band_tolerance.report import LARGEST_PICTURE, pictured, read
from report.figures.style import save_figure
from report.page import Part
from tests.methods.band_tolerance.made_bands import CONTROL, write_bands
from tests.report.rendered import anchors, rendered
from tests.report.test_many_classifiers import overlapping, shown_texts
from tests.stats.drawn import drawn_predictions, planted_cues

NAMES = list("abcd")
TITLES = {name: f"Net {name}" for name in NAMES}
INF = float("inf")


def part_of(root: Path, titles: dict[str, str] = TITLES) -> Part:
    part = read(root, titles)
    assert part is not None
    return part


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in shown_texts(figure)]


def bars_of(figure: Figure) -> list[float]:
    """Right ends of the bars, from the top."""
    rectangles = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    bars = [patch for patch in rectangles if patch.get_height() == pytest.approx(0.62)]
    return [float(bar.get_x() + bar.get_width()) for bar in bars]


def test_there_is_no_part_before_the_task_has_run(tmp_path: Path) -> None:
    assert read(tmp_path, TITLES) is None
    write_bands(tmp_path, NAMES)
    assert part_of(tmp_path).template == "methods/band_tolerance/report.html.j2"
    (tmp_path / "band_tolerance" / "bits.csv").unlink()
    assert read(tmp_path, TITLES) is None


def test_bars_and_table_show_the_bits_and_controls_stand_apart(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES)
    part = part_of(tmp_path)
    assert bars_of(part.figures["band_bits"]) == pytest.approx([1000, 2000, 3000, 4000, 2000])
    assert "random weights (control)" in words(part.figures["band_bits"])
    table = part.values["bits_table"]
    assert table.loc["Net b"].tolist() == [
        "2,000 [1,600, 2,500]", f"{2000 / 2304:.3f}", "1.50 [1.35, 1.65]", "2.00 [1.80, 2.10]",
    ]  # fmt: skip
    assert table.loc["random weights (control)", "bits per image"] == "more than 2,000"
    assert list(table.index) == [*TITLES.values(), "random weights (control)"]
    controls = part.values["control_table"]
    assert len(controls) == 4 * len(NAMES)
    assert controls.loc["Net a: bits spread evenly", "ratio"] == "8.00 [7.20, 8.80]"
    assert controls.loc["Net a: wavelet haar"].tolist()[:3] == ["87 %", "720 [600, 800]", "700"]
    assert "a network needs between 1,000 (Net a) and 4,000 bits per image (Net d)" in rendered(part)
    assert part.facts == [("bits per image, 95 % kept", "1,000 to 4,000")]
    assert "above 1 for 4 of 4 networks, below 1 for 0, and contains 1 for 0" in rendered(part)


def test_bits_beyond_the_curve_are_bounds_in_words(tmp_path: Path) -> None:
    beyond = {"a": (INF, INF, INF), "b": (0.0, 0.0, 0.0), "c": (3000.0, 0.0, INF)}
    write_bands(tmp_path, NAMES, beyond)
    part = part_of(tmp_path)
    assert part.values["bits_table"]["bits per image"].tolist()[:3] == [
        "more than 2,000", "fewer than 200", "3,000 [fewer than 300, more than 6,000]",
    ]  # fmt: skip
    texts = words(part.figures["band_bits"])
    assert {"more than 2,000", "fewer than 200"} <= set(texts)
    assert bars_of(part.figures["band_bits"])[:3] == pytest.approx([2000, 200, 3000])
    page = rendered(part)
    assert "the bits are only bounded (“more than”, “fewer than”): Net a and Net b" in page
    assert "a network needs between" not in page  # the bounds do not say which needs the fewest
    assert part.facts == []
    for shown in (page[page.index("<body>") :], *texts):
        assert not re.search(r"\b(inf|nan)\b", shown.lower())


def test_several_seeds_have_their_range(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES, seeds=(0, 1, 2))
    part = part_of(tmp_path)
    ranges = part.values["bits_table"]["range over 3 seeds"]
    assert ranges.iloc[0] == "1,000 to 1,200"
    assert ranges.isna().iloc[-1]
    ends = [
        line for line in figure_lines(part.figures["band_bits"]) if line.get_marker() == "|" and len(line.get_xdata())
    ]
    assert np.asarray(ends[0].get_xdata()).tolist() == pytest.approx([1000, 1200])
    assert "Net a, seed 2, 0.15 nats" in part.values["curve_table"].index


def figure_lines(figure: Figure) -> list[Any]:
    return [line for ax in figure.axes for line in ax.get_lines()]


def test_curves_have_a_line_for_each_network_and_a_dotted_one_for_water_filling(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES)
    lines = figure_lines(part_of(tmp_path).figures["band_curves"])
    solid = [line for line in lines if line.get_marker() == "o"]
    assert np.asarray(solid[1].get_xdata()).tolist() == pytest.approx([200, 1400, 4000])
    assert np.asarray(solid[1].get_ydata()).tolist() == pytest.approx([0.4, 0.695, 0.99])
    assert sum(line.get_linestyle() == ":" for line in lines) == len(NAMES)
    assert sum(line.get_linestyle() == "--" for line in lines) == 1


def test_the_spectrum_has_the_bits_of_the_compared_tolerance_in_its_cells(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES)
    part = part_of(tmp_path)
    block = part.figures["band_spectra"].axes[1]
    assert block.get_title() == "Net b\n1,400 bits, 70 % kept"
    numbers = {text.get_position(): text.get_text() for text in block.texts if text.get_text()[0].isdigit()}
    assert len(numbers) == 27 + 3
    assert numbers[3.5, 0.5] == "700"  # horizontal red–green of the finest octave
    assert numbers[1.5, 3.5] == f"{0.5 * 1400 / 29:.0f}"  # low-pass of luminance
    labels = [label.get_text() for label in part.figures["band_spectra"].axes[0].get_yticklabels()]
    assert labels == ["12–24 (1/4–1/2)", "6–12 (1/8–1/4)", "3–6 (1/16–1/8)", "below 3 (below 1/16)"]
    table = part.values["octave_table"]
    assert table.loc["Net b"].tolist() == octave_row(1)
    assert "Net b: second seed of the fit (control)" in table.index


def octave_row(number: int) -> list[str]:
    """Shares of the low-pass, of three octaves and of three colours, by a loop over bands."""
    shares = np.full((10, 3), 0.5 / 29)
    shares[divmod(number, 3)] = 0.5
    octaves = [shares[9].sum(), shares[6:9].sum(), shares[3:6].sum(), shares[:3].sum()]
    return [f"{100 * share:.1f} %" for share in [*octaves, *shares.sum(axis=0)]]


def test_bandwidths_stand_beside_one_octave(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES)
    part = part_of(tmp_path)
    left, right = part.figures["band_octaves"].axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["below 3", "3–6", "6–12", "12–24"]
    dots = [line for line in right.get_lines() if line.get_marker() == "o"]
    assert np.asarray(dots[0].get_xdata()).tolist() == [2.0] * 4
    [people] = [line for line in right.get_lines() if line.get_label() == "people: one octave"]
    assert np.asarray(people.get_xdata()).tolist() == [1, 1]
    assert "must not be equated" in rendered(part)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.4, 1.0, 0.1, 0.9), "agree</strong>, also for other networks"),
        ((-1.0, -0.5, -0.9, -0.1), "disagree</strong>: they tend to order networks in opposite ways"),
        ((0.2, 1.0, -0.3, 0.9), "So they <strong>agree</strong> on these networks; whether they do so on others"),
        ((-1.0, -0.2, -0.9, 0.9), "So they <strong>disagree</strong> on these networks"),
        ((-0.5, 0.5, -0.9, 0.9), "whether the two methods agree <strong>cannot be told</strong>"),
    ],
)
def test_the_page_says_whether_the_orders_agree(
    ends: tuple[float, float, float, float], said: str, tmp_path: Path
) -> None:
    document = write_bands(tmp_path, NAMES)
    keys = ("lower_images", "upper_images", "lower", "upper")
    document["autoencoders"]["positions"] = {"spearman": 0.5, **dict(zip(keys, ends, strict=True))}
    (tmp_path / "band_tolerance" / "order.json").write_text(json.dumps(document))
    page = rendered(part_of(tmp_path))
    assert said in page
    assert ("cannot be told" in page) == (ends[2] <= 0 <= ends[3])
    assert f"{ends[0]:.2f}".replace("-", "−") in page


def test_without_an_order_the_page_gives_the_reason(tmp_path: Path) -> None:
    predictions = drawn_predictions(seeds=1, names=NAMES, controls=[CONTROL])
    never = predictions.top1.copy()
    never[:, predictions.sources.index("b"), 1] = False
    write_bands(tmp_path, NAMES, predictions=replace(predictions, top1=never))
    part = part_of(tmp_path)
    assert "There is no order of the networks</strong>, because b keeps no decision on its own channel." in rendered(
        part
    )
    assert "band_law" not in part.figures
    assert list(part.values["reading_tables"]) == ["Decisions kept"]


def test_without_autoencoders_or_with_equal_positions_the_page_says_so(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES, autoencoders=False)
    assert "has no autoencoders of these networks" in rendered(part_of(tmp_path))
    document = write_bands(tmp_path, NAMES)
    document["autoencoders"]["positions"] = dict.fromkeys(document["autoencoders"]["positions"])
    document["autoencoders"]["order"], document["order"]["widest"], document["certainty"]["widest"] = None, None, None
    for law in document["law"].values():
        law |= dict.fromkeys(law)
    (tmp_path / "band_tolerance" / "order.json").write_text(json.dumps(document))
    page = rendered(part_of(tmp_path))
    assert "is not defined, because all positions in one of them are equal" in page
    assert "At no threshold of the RRC do the networks have a total order." in page
    assert "they have no total order" in page
    assert "No rank correlation with the measured RRC is defined" in page


def test_planted_cues_have_a_section(tmp_path: Path) -> None:
    cued = planted_cues(seeds=1)
    write_bands(tmp_path, NAMES, predictions=replace(cued, controls=["control"]))
    part = part_of(tmp_path, {"a": "colour A"})
    assert "$B_{\\mathrm{colour~A}}$" in words(part.figures["band_cues"])
    assert "own kept, colour A" in rendered(part)
    assert "band_cues" in anchors(rendered(part))


def test_every_pixel_of_a_picture_is_one_of_the_file(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES, photograph=(150, 230))
    part = part_of(tmp_path)
    save_figure(part.figures["band_pictures_0_0"], tmp_path / "shown.png", tmp_path / "shown.pdf")
    shown = (imread(tmp_path / "shown.png")[..., :3] * 255).round().astype(np.uint8)
    arrays = np.load(tmp_path / "band_tolerance" / "pictures.npz")
    windows = np.lib.stride_tricks.sliding_window_view(shown[:, :, 0], (3, 3))
    for picture in (arrays["original_0"], *arrays["passed_0"].reshape(-1, 3, 150, 230)):
        wanted = picture.transpose(1, 2, 0)
        corners = np.argwhere((windows == wanted[:3, :3, 0]).all(axis=(2, 3)))
        assert any((shown[top : top + 150, left : left + 230] == wanted).all() for top, left in corners)
    texts = words(part.figures["band_pictures_0_0"])
    assert texts.count("98.7 % kept") == 1
    assert texts.count("99 % kept") == len(NAMES) - 1
    assert texts.count("50 % kept") == len(NAMES)


def test_of_a_large_photograph_the_middle_is_shown_and_the_page_says_so(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES[:2], photograph=(700, 500))
    part = part_of(tmp_path)
    assert [name for name in part.figures if "pictures" in name] == ["band_pictures_0_0", "band_pictures_0_1"]
    [first, *_] = part.figures["band_pictures_0_0"].axes
    original = np.load(tmp_path / "band_tolerance" / "pictures.npz")["original_0"]
    middle = original[:, 110 : 110 + LARGEST_PICTURE, 10 : 10 + LARGEST_PICTURE].transpose(1, 2, 0) / 255
    assert np.array_equal(np.asarray(first.images[0].get_array()), middle)
    page = rendered(part)
    assert "The middle of the photograph, 480 × 480 pixels" in page
    assert page.count("figures/band_pictures_0_0.png") == 2  # link and image


def test_of_many_networks_those_between_the_fewest_and_the_most_bits_have_pictures(tmp_path: Path) -> None:
    names = [f"net_{number}" for number in range(10)]
    write_bands(tmp_path, names[::-1])
    part = part_of(tmp_path, {})
    assert part.values["pictured"] == ["net 9", "net 6", "net 3", "net 0"]
    assert "Shown are 4 of 10 networks" in rendered(part)
    write_bands(tmp_path, names, photograph=None)
    assert not [name for name in part_of(tmp_path, {}).figures if "pictures" in name]
    assert pictured(names[:4], part.values["bits_table"]) == names[:4]


@pytest.mark.parametrize("count", [1, 2, 6, 12, pytest.param(40, marks=pytest.mark.slow)])
def test_one_network_and_many_have_figures_of_readable_size(count: int, tmp_path: Path) -> None:
    names = [f"resnet{number}_v2" for number in range(count)]
    write_bands(tmp_path, names)
    part = part_of(tmp_path, {})
    page = rendered(part)
    assert anchors(page) == {name.removesuffix("_0") if "pictures" in name else name for name in part.figures}
    assert ("there is one classifier" in page) == (count == 1)
    for name, figure in part.figures.items():
        assert figure.get_figwidth() < 17, name
        assert figure.get_figheight() < 25, name
        drop_ticks_out_of_view(figure)
        assert not overlapping(figure), name


def drop_ticks_out_of_view(figure: Figure) -> None:
    """Remove the ticks that matplotlib has beyond the ends of an axis and does not draw."""
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_ticklocs() if low <= tick <= high]
        if len(ticks) < len(axis.get_ticklocs()):
            axis.set_ticks(ticks)


def test_fits_at_another_retention_than_the_wanted_one_say_which(tmp_path: Path) -> None:
    write_bands(tmp_path, NAMES, retention=0.9)
    part = part_of(tmp_path)
    assert part.values["bits_table"].loc["Net a"].tolist()[:2] == ["95 %", "1,000 [800, 1,250]"]
    assert "the retention that was measured, which is in the table" in rendered(part)
    assert part.facts == []
    assert "bits per image at the measured retention" in words(part.figures["band_bits"])


def test_a_network_that_decides_for_one_class_needs_no_bits(tmp_path: Path) -> None:
    document = write_bands(tmp_path, NAMES[:2], {"a": (0.0, 0.0, 0.0), "b": (0.0, 0.0, 0.0)})
    (tmp_path / "band_tolerance" / "order.json").write_text(json.dumps(document | {"constant": ["a", "b"]}))
    for name, empty in (("curve", "bits"), ("spectrum", "bits"), ("spectrum", "share"), ("bits", "bandwidth")):
        path = tmp_path / "band_tolerance" / f"{name}.csv"
        table = pd.read_csv(path)
        columns = table.columns[table.columns.str.startswith(empty)]
        table[columns] = 1e-9 if empty == "bits" else np.nan
        table.to_csv(path, index=False)
    part = part_of(tmp_path)
    assert "<strong>Net a and Net b</strong> decide for one class on every test image" in rendered(part)
    assert part.values["bits_table"].loc["Net a"].tolist() == ["fewer than 0.1", "–", "–", "–"]
    for name, figure in part.figures.items():
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf")


def test_where_labels_had_to_be_kept_cross_reading_is_accuracy(tmp_path: Path) -> None:
    document = write_bands(tmp_path, NAMES)
    (tmp_path / "band_tolerance" / "order.json").write_text(json.dumps(document | {"labels": "labels"}))
    part = part_of(tmp_path)
    assert next(iter(part.values["reading_tables"])) == "Accuracy"
    assert "top-1 accuracy" in words(part.figures["band_reading"])
    assert "share of images in % on which it is right." in rendered(part)
