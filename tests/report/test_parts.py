"""Tables and parts of signal statistics, noise and agreement: against literal loops, SciPy, and for few and many."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from report.parts import agreement, colour_and_frequency, noise
from stats.class_accuracies import class_accuracies, largest_changes
from stats.predictions import Predictions
from stats.tables import accuracy_under_noise, checkerboard_table, lab_table, pair_table, spectrum_table


def drawn_predictions() -> Predictions:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, (60, 2))
    labels[:, 1] = labels[:, 0] % 2  # another question about the same images
    predicted = generator.integers(0, 4, (60, 5, 2))
    return Predictions(
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
    generator = np.random.default_rng(1)
    rows = ["original", "pretrained", *names, "mse_control"]
    folder = tmp_path / "signal_statistics"
    for path in (folder, tmp_path / "noise", tmp_path / "order"):
        path.mkdir()
    edges = np.stack([np.linspace(0, 100, 257), *[np.linspace(-128, 128, 257)] * 2])
    lab_table(rows, edges, generator.integers(0, 99, (len(rows), 3, 256))).to_csv(folder / "lab_histograms.csv")
    far = pd.DataFrame(generator.random((len(rows) - 1, 3)), columns=["L", "a", "b"]).assign(source=rows[1:])
    pd.concat([far.assign(other=other) for other in ("original", "pretrained")]).to_csv(folder / "lab_distances.csv")
    spectrum_table(rows, np.arange(1, 25) / 48, generator.random((len(rows), 24))).to_csv(folder / "spectra.csv")
    strides = {"autoencoder": {2: 2.0, 4: 4.0}, names[0]: {4: 3.0, 32: 24.0}}
    scores = generator.normal(size=(len(rows), 3, 3))
    checkerboard_table(rows, [2.0, 3.0, 4.0], scores, strides).to_csv(folder / "checkerboard.csv")
    values = generator.random((2, len(names), len(names)))
    pairs = pair_table(names, kappa=values[0], cka=values[1]).assign(source="original", other_source="original")
    pairs.to_csv(folder / "kappa.csv")
    pairs.to_csv(folder / "cka.csv")
    rrc = pd.DataFrame(generator.random((len(names), len(names))), index=names, columns=names)
    rrc.to_csv(tmp_path / "order" / "rrc.csv")
    classes = pd.DataFrame({"classifier": np.repeat(names, 3), "class": [0, 1, 2] * len(names), "images": 5})
    changes = generator.normal(scale=0.1, size=len(classes))
    classes = classes.assign(name=["a_very_long_name_of_a_class", "b", "c"] * len(names), original=0.5, pretrained=0.4)
    classes.assign(own=0.5 + changes, change=changes).to_csv(folder / "classes.csv")
    sources = [source for name in names for source in ("original", "pretrained", name)]
    right = generator.random((9, 2, len(sources))) < 0.7
    table = accuracy_under_noise(right, sources, [name for name in names for _ in range(3)], [0.0, 1.0])
    table.to_csv(tmp_path / "noise" / "accuracy.csv")
    return tmp_path, {name: f"Net <{name[-2:]}>" for name in names}


def test_parts_read_what_was_measured(study: tuple[Path, dict[str, str]]) -> None:
    root, labels = study
    for read in (colour_and_frequency.read, noise.read, agreement.read):
        part = read(root, labels)
        assert part is not None
        assert {section.figure for section in part.sections} == set(part.figures)
        assert all(path.exists() for path in part.files)
        assert not any("Net <" in section.text for section in part.sections)
        for figure in part.figures.values():
            figure.canvas.draw()  # what cannot be drawn raises
        assert read(root / "nowhere", labels) is None


def test_correlations_in_the_text_are_those_of_scipy(study: tuple[Path, dict[str, str]]) -> None:
    root, labels = study
    part = agreement.read(root, labels)
    assert part is not None
    text = part.sections[-1].text
    if len(labels) == 2:
        assert "too few pairs" in text
        return
    pairs = pd.read_csv(root / "signal_statistics" / "cka.csv")
    rrc = pd.read_csv(root / "order" / "rrc.csv", index_col=0)
    both = [
        (rrc.loc[one, other] + rrc.loc[other, one]) / 2
        for one, other in zip(pairs["classifier"], pairs["other"], strict=True)
    ]
    assert f"CKA and RRC, symmetrised {spearmanr(pairs['cka'], both).statistic:.2f}" in text
    assert f"Cohen’s κ and CKA {spearmanr(pairs['kappa'], pairs['cka']).statistic:.2f}" in text


def test_without_an_order_agreement_has_two_measures(study: tuple[Path, dict[str, str]]) -> None:
    root, labels = study
    (root / "order" / "rrc.csv").unlink()
    part = agreement.read(root, labels)
    assert part is not None
    assert "RRC" not in part.sections[-1].text
