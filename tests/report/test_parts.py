"""Tables and parts of signal statistics, noise and agreement: against literal loops, SciPy, and for few and many."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from report.parts import agreement, colour_and_frequency, noise
from stats.class_accuracies import class_accuracies, largest_changes
from stats.predictions import ReconstructionPredictions
from stats.similarity import measure_correlations, similarity_pairs
from stats.tables import accuracy_under_noise, checkerboard_table, noise_means, pair_table
from tests.report.measurements import write_measurements
from tests.report.rendered import anchors, rendered
from tests.stats import drawn


def drawn_predictions() -> ReconstructionPredictions:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (60, 2))
    labels[:, 1] = labels[:, 0] % 2  # another question about the same images
    predicted = generator.integers(0, 4, (60, 5, 2))
    return ReconstructionPredictions(
        rows=["original", "pretrained", "a", "a-seed1", "b"],
        sources=["original", "pretrained", "a", "a", "b"],
        columns=["a", "b"],
        controls=[],
        label_sets=["label", "label"],
        index=np.arange(60),
        labels=labels,
        predicted=predicted,
        top1=predicted == labels[:, None],
        top5=np.ones((60, 5, 2), dtype=bool),
        nmi_intra=np.ones((60, 5)),
        nmi_inter=np.ones((30, 5)),
    )


def test_class_accuracies_equal_a_literal_loop_with_each_classifiers_own_labels_and_seeds() -> None:
    predictions = drawn_predictions()
    found = class_accuracies(predictions).set_index(["classifier", "class"])
    assert len(found) == 4 + 2
    own = {"a": [2, 3], "b": [4]}
    for column, name in enumerate("ab"):
        for label in np.unique(predictions.labels[:, column]):
            images = [n for n in range(60) if predictions.labels[n, column] == label]
            row = found.loc[(name, label)]
            assert row["images"] == len(images)
            for key, rows in (("original", [0]), ("pretrained", [1]), ("own", own[name])):
                right = [predictions.predicted[n, r, column] == label for n in images for r in rows]
                assert row[key] == pytest.approx(sum(right) / len(right))
            assert row["change"] == pytest.approx(row["own"] - row["original"])


def test_largest_changes_leave_out_what_does_not_change() -> None:
    table = pd.DataFrame({"classifier": "a", "class": range(6), "change": [0.1, -0.2, 0, 0.5, -0.1, 0.3]})
    assert largest_changes(table, 2)["class"].tolist() == [3, 5, 4, 1]
    assert largest_changes(table[:1], 2)["class"].tolist() == [0]
    assert not len(largest_changes(table.assign(change=0.0), 2))


def test_noise_tables_average_over_seeds() -> None:
    right = np.zeros((4, 2, 3), dtype=bool)
    right[:3, 0, 0], right[:1, 1, 1], right[:, 1, 2] = True, True, True
    table = accuracy_under_noise(right, ["original", "a", "a"], ["a", "a", "a"], [0.0, 0.5])
    values = table.set_index(["source", "epsilon"])["accuracy"]
    assert values.to_dict() == {("original", 0.0): 0.75, ("original", 0.5): 0, ("a", 0.0): 0, ("a", 0.5): 0.625}
    assert set(table["images"]) == {4}


def test_pairs_are_listed_once_and_unmeasurable_periods_stay_empty() -> None:
    pairs = pair_table(["a", "b", "c"], kappa=np.arange(9.0).reshape(3, 3))
    assert pairs.to_numpy().tolist() == [["a", "b", 1], ["a", "c", 2], ["b", "c", 5]]
    table = checkerboard_table(
        ["original", "a", "a"], [2.0], np.arange(9.0).reshape(3, 1, 3), {"n": {2: 2.0, 32: 32.0}}
    )
    assert table["score"].fillna(-1).tolist() == [1, -1, 5.5, -1]  # two seeds of a averaged


@pytest.fixture(params=[2, 24])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The files of a study with so many classifiers, and a control among the sources."""
    names = [f"net_{number}" for number in range(request.param)]
    write_measurements(tmp_path, names)
    return tmp_path, {name: f"Net <{name[-2:]}>" for name in names}


def test_parts_read_what_was_measured(study: tuple[Path, dict[str, str]]) -> None:
    root, titles = study
    for read in (colour_and_frequency.read, noise.read, agreement.read):
        part = read(root, titles)
        assert part is not None
        page = rendered(part)
        assert anchors(page) == set(part.figures)
        assert all(path.exists() for path in part.files)
        assert "Net <" not in page
        assert "Net &lt;" in page
        for figure in part.figures.values():
            figure.canvas.draw()  # what cannot be drawn raises
        assert read(root / "nowhere", titles) is None


def test_correlations_in_the_text_are_those_of_scipy(study: tuple[Path, dict[str, str]]) -> None:
    root, titles = study
    part = agreement.read(root, titles)
    assert part is not None
    page = rendered(part)
    if len(titles) == 2:
        assert "too few pairs" in page
        return
    pairs = pd.read_csv(root / "signal_statistics" / "similarity.csv")
    for first, second, names in (("cka", "rrc", "CKA and RRC, symmetrised"), ("kappa", "cka", "Cohen’s κ and CKA")):
        value = spearmanr(pairs[first], pairs[second]).statistic
        assert f"{names} {value:.2f}".replace("-", "−") in page


def test_without_relative_rates_agreement_has_two_measures(study: tuple[Path, dict[str, str]]) -> None:
    root, titles = study
    path = root / "signal_statistics" / "similarity.csv"
    pairs = pd.read_csv(path).assign(rrc=np.nan)
    pairs.to_csv(path, index=False)
    measure_correlations(pairs).to_csv(path.with_name("correlations.csv"), index=False)
    part = agreement.read(root, titles)
    assert part is not None
    assert "RRC" not in rendered(part)


def test_similarity_takes_relative_rates_in_both_directions_and_leaves_controls_out() -> None:
    predictions = drawn.drawn_predictions(names=["a", "b", "c"])
    kappa = pair_table(predictions.columns, kappa=np.full((4, 4), 0.5)).assign(source="original")
    cka = pair_table(predictions.columns, cka=np.full((4, 4), 0.7)).assign(source="original", other_source="original")
    pairs = similarity_pairs(predictions, kappa, cka[:-1]).set_index(["classifier", "other"])
    right = {
        (source, name): predictions.top1[:, predictions.rows_of(source), predictions.column(name)].mean()
        for source in "abc"
        for name in "abc"
    }
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        rates = [right[one, other], right[other, one]] / np.minimum(right[one, one], right[other, other])
        assert pairs.loc[(one, other), "rrc"] == pytest.approx(rates.mean())
    controls = pairs[pairs.index.get_level_values("other") == "control"]
    assert controls["rrc"].isna().all()
    assert len(pairs) == 6
    assert pairs["cka"].isna().sum() == 1


def test_noise_means_leave_out_the_images_without_noise() -> None:
    rows = [("original", "a", 0.0, 1.0), ("original", "a", 0.5, 0.5), ("original", "a", 1.0, 0.3),
            ("a", "a", 0.0, 0.9), ("a", "a", 0.5, 0.7), ("a", "a", 1.0, 0.5)]  # fmt: skip
    table = noise_means(pd.DataFrame(rows, columns=["source", "classifier", "epsilon", "accuracy"]))
    [row] = table.to_dict("records")
    assert (row["classifier"], row["original"], row["own"]) == ("a", pytest.approx(0.4), pytest.approx(0.6))
    assert np.isnan(row["pretrained"])
