"""The files of signal statistics and noise curves, with random numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stats.class_accuracies import largest_changes
from stats.similarity import measure_correlations
from stats.tables import accuracy_under_noise, checkerboard_table, lab_table, noise_means, pair_table, spectrum_table


def write_measurements(root: Path, names: Sequence[str]) -> None:
    """Write the files of a study of these classifiers, with a control among the sources."""
    generator = np.random.default_rng(1)
    rows = ["original", "pretrained", *names, "mse_control"]
    folder = root / "signal_statistics"
    for path in (folder, root / "noise"):
        path.mkdir()
    edges = np.stack([np.linspace(0, 100, 257), *[np.linspace(-128, 128, 257)] * 2])
    lab_table(rows, edges, generator.integers(0, 99, (len(rows), 3, 256))).to_csv(folder / "lab_histograms.csv")
    far = pd.DataFrame(generator.random((len(rows) - 1, 3)), columns=["L", "a", "b"]).assign(source=rows[1:])
    pd.concat([far.assign(other=other) for other in ("original", "pretrained")]).to_csv(folder / "lab_distances.csv")
    spectrum_table(rows, np.arange(1, 25) / 48, generator.random((len(rows), 24))).to_csv(folder / "spectra.csv")
    strides = {"autoencoder": {2: 2.0, 4: 4.0}, names[0]: {4: 3.0, 32: 24.0}}
    scores = generator.normal(size=(len(rows), 3, 3))
    checkerboard_table(rows, [2.0, 3.0, 4.0], scores, strides).to_csv(folder / "checkerboard.csv")
    values = generator.random((3, len(names), len(names)))
    pairs = pair_table(names, kappa=values[0], cka=values[1], rrc=values[2])
    pairs.to_csv(folder / "similarity.csv", index=False)
    measure_correlations(pairs).to_csv(folder / "correlations.csv", index=False)
    classes = pd.DataFrame({"classifier": np.repeat(names, 3), "class": [0, 1, 2] * len(names), "images": 5})
    changes = generator.normal(scale=0.1, size=len(classes))
    classes = classes.assign(name=["a_very_long_name_of_a_class", "b", "c"] * len(names), original=0.5, pretrained=0.4)
    classes = classes.assign(own=0.5 + changes, change=changes)
    classes.to_csv(folder / "classes.csv", index=False)
    largest_changes(classes, 3).to_csv(folder / "class_changes.csv", index=False)
    sources = [source for name in names for source in ("original", "pretrained", name)]
    right = generator.random((9, 2, len(sources))) < 0.7
    table = accuracy_under_noise(right, sources, [name for name in names for _ in range(3)], [0.0, 1.0])
    table.to_csv(root / "noise" / "accuracy.csv")
    noise_means(table).to_csv(root / "noise" / "means.csv", index=False)
