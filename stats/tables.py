"""What passes over the images measured, as tables with named rows and columns.

Rows of the same source, the seeds of one autoencoder, are averaged.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from stats.arrays import BoolArray, FloatArray, IntArray, Values
from stats.names import ORIGINAL, PRETRAINED
from stats.proportion import wilson_interval

CHANNELS = ("L", "a", "b")


def accuracy_table(correct: Values, rows: list[str], columns: list[str]) -> pd.DataFrame:
    r"""Accuracy of every classifier on every source of images.

    .. math:: \mathrm{acc}_{rc} = \frac{1}{N} \sum_{n=1}^{N} x_{nrc}

    where :math:`x_{nrc}` is 1 if classifier :math:`c` is right on image :math:`n` from source :math:`r`, else 0.

    Args:
        correct: 0 or 1, shape ``(N, R, C)``.
        rows: Names of the R sources of images.
        columns: Names of the C classifiers.

    Returns:
        Accuracies in [0, 1], rows by columns, with the index named ``autoencoder``.

    Example:
        >>> accuracy_table(np.array([[[1, 0]], [[1, 1]]]), ["a"], ["a", "b"]).loc["a"].to_dict()
        {'a': 1.0, 'b': 0.5}
    """
    means = correct.mean(axis=0, dtype=np.float64)
    return pd.DataFrame(means, index=pd.Index(rows, name="autoencoder"), columns=columns)


def mean_over_seeds(table: pd.DataFrame, sources: Sequence[str]) -> pd.DataFrame:
    r"""Average the rows of the same source.

    .. math:: m_i = \frac{1}{S_i} \sum_{s=1}^{S_i} v_{is}

    where :math:`v_{is}` is the value of source :math:`i` with seed :math:`s` of :math:`S_i`.

    Args:
        table: A row for each autoencoder.
        sources: Name of each row without its seed; rows of the same source follow each other.

    Returns:
        One row for each source, in order of appearance.

    Example:
        >>> table = pd.DataFrame({"x": [1.0, 2.0, 5.0]}, index=["a", "a-seed1", "b"])
        >>> mean_over_seeds(table, ["a", "a", "b"])["x"].to_dict()
        {'a': 1.5, 'b': 5.0}
    """
    return table.groupby(pd.Index(sources, name="autoencoder"), sort=False).mean()


def nmi_table(intra: FloatArray, inter: FloatArray, rows: list[str]) -> pd.DataFrame:
    r"""Mean and standard deviation of the nMI, within and between images.

    .. math:: m = \frac{1}{N} \sum_n v_n, \qquad s = \sqrt{\frac{1}{N - 1} \sum_n (v_n - m)^2}

    where :math:`v_n` is the nMI of image, or pair, number :math:`n` of :math:`N`.

    Args:
        intra: nMI of each image and its reconstruction, shape ``(N, R)``.
        inter: nMI of pairs of different images' reconstructions, shape ``(N // 2, R)``.
        rows: Names of the R sources of images; the inter nMI of ``original`` is the floor.

    Returns:
        Columns ``intra_mean``, ``intra_std``, ``inter_mean``, ``inter_std``, with the index named ``autoencoder``; a
        single pair has no deviation (NaN).

    Example:
        >>> nmi_table(np.array([[0.2], [0.4]]), np.array([[0.1]]), ["a"]).loc["a"].round(3).to_dict()
        {'intra_mean': 0.3, 'intra_std': 0.141, 'inter_mean': 0.1, 'inter_std': nan}
    """
    tables = {"intra": pd.DataFrame(intra, columns=rows), "inter": pd.DataFrame(inter, columns=rows)}
    columns = {
        f"{kind}_{statistic}": table.agg(statistic) for kind, table in tables.items() for statistic in ("mean", "std")
    }
    return pd.DataFrame(columns).rename_axis("autoencoder")


def accuracy_under_noise(
    right: BoolArray, sources: Sequence[str], classifiers: Sequence[str], epsilons: Sequence[float]
) -> pd.DataFrame:
    r"""Accuracy at each strength of noise, with the interval of :func:`stats.proportion.wilson_interval`.

    .. math:: \mathrm{acc}_\epsilon = \frac{1}{N} \sum_{n=1}^{N} x_{n \epsilon}

    where :math:`x_{n \epsilon}` is 1 if the classifier is right on image :math:`n` with noise :math:`\epsilon`, else 0.

    Args:
        right: Whether an image was classified correctly, ``(N, E, K)``.
        sources: For each of the K curves the source of its images; the seeds of one A_i are averaged.
        classifiers: For each curve its classifier.
        epsilons: The E strengths of the noise.

    Returns:
        Columns ``source, classifier, epsilon, accuracy, images``, and ``lower, upper``: 95 % intervals over images.

    Example:
        >>> right = np.array([[[True], [False]], [[True], [True]]])
        >>> table = accuracy_under_noise(right, ["original"], ["a"], [0.0, 0.5])
        >>> table[["epsilon", "accuracy", "lower"]].round(3).to_numpy().tolist()
        [[0.0, 1.0, 0.342], [0.5, 0.5, 0.095]]
    """
    accuracy = right.mean(axis=0, dtype=np.float64)
    tables = [
        pd.DataFrame({"source": source, "classifier": name, "epsilon": epsilons, "accuracy": accuracy[:, curve]})
        for curve, (source, name) in enumerate(zip(sources, classifiers, strict=True))
    ]
    table = _averaged(pd.concat(tables), ["source", "classifier", "epsilon"])
    lower, upper = wilson_interval(table["accuracy"].to_numpy(), len(right))
    return table.assign(images=len(right), lower=lower, upper=upper)


def lab_table(sources: Sequence[str], edges: FloatArray, counts: IntArray) -> pd.DataFrame:
    r"""Share of pixels in each bin of the LAB histograms.

    .. math:: p_{ki} = c_{ki} / \sum_j c_{kj}

    where :math:`c_{ki}` is the number of pixels with channel :math:`k` in bin :math:`i`.

    Args:
        sources: Name of each row without its seed.
        edges: Edges of the bins, ``(3, bins + 1)``.
        counts: Pixels, ``(R, 3, bins)``.

    Returns:
        Columns ``source, channel, lower, upper, share``.

    Example:
        >>> edges, counts = np.array([[0.0, 50, 100]] * 3), np.array([[[1, 3], [2, 2], [4, 0]]])
        >>> lab_table(["a"], edges, counts)["share"].tolist()
        [0.25, 0.75, 0.5, 0.5, 1.0, 0.0]
    """
    shares = counts / counts.sum(axis=-1, keepdims=True)
    tables = [
        pd.DataFrame({"source": source, "channel": channel, "lower": low[:-1], "upper": low[1:], "share": share})
        for source, row in zip(sources, shares, strict=True)
        for channel, low, share in zip(CHANNELS, edges, row, strict=True)
    ]
    return _averaged(pd.concat(tables), ["source", "channel", "lower", "upper"])


def spectrum_table(sources: Sequence[str], frequencies: FloatArray, power: FloatArray) -> pd.DataFrame:
    """Mean power at each frequency.

    Args:
        sources: Name of each row without its seed.
        frequencies: In cycles per pixel, ``(K,)``.
        power: ``(R, K)``.

    Returns:
        Columns ``source, frequency, power``.

    Example:
        >>> spectrum_table(["a", "a"], np.array([0.25, 0.5]), np.array([[1.0, 2.0], [3.0, 4.0]]))["power"].tolist()
        [2.0, 3.0]
    """
    tables = [
        pd.DataFrame({"source": source, "frequency": frequencies, "power": row})
        for source, row in zip(sources, power, strict=True)
    ]
    return _averaged(pd.concat(tables), ["source", "frequency"])


def checkerboard_table(
    sources: Sequence[str], periods: Sequence[float], scores: FloatArray, strides: Mapping[str, Mapping[int, float]]
) -> pd.DataFrame:
    """Checkerboard scores at the periods of every network's strides.

    Args:
        sources: Name of each row without its seed.
        periods: The P measured periods, in pixels of the images.
        scores: In decibel, ``(R, P, 3)``.
        strides: For each network the period of each of its strides.

    Returns:
        Columns ``source, network, stride, period, horizontal, vertical, diagonal, score`` (the mean of the three);
        scores are missing at periods that images of this size cannot show.

    Example:
        >>> table = checkerboard_table(["a"], [2.0], np.array([[[1.0, 2.0, 6.0]]]), {"vgg": {2: 2.0, 8: 8.0}})
        >>> table[["stride", "score"]].to_numpy().tolist()
        [[2.0, 3.0], [8.0, nan]]
    """
    positions = {period: position for position, period in enumerate(periods)}
    rows = []
    for source, of_source in zip(sources, scores, strict=True):
        for network, of_network in strides.items():
            for stride, period in of_network.items():
                values = of_source[positions[period]] if period in positions else np.full(3, np.nan)
                rows.append((source, network, stride, period, *values, values.mean()))
    columns = ["source", "network", "stride", "period", "horizontal", "vertical", "diagonal", "score"]
    return _averaged(pd.DataFrame(rows, columns=columns), columns[:4])


def pair_table(names: Sequence[str], **values: FloatArray) -> pd.DataFrame:
    """Symmetric matrices as a table with a row for each pair of classifiers.

    Args:
        names: The C classifiers.
        **values: Symmetric matrices ``(C, C)`` by the name of their column.

    Returns:
        Columns ``classifier, other`` and those of the values; each pair once.

    Example:
        >>> pair_table(["a", "b"], kappa=np.array([[1.0, 0.3], [0.3, 1.0]])).to_dict("records")
        [{'classifier': 'a', 'other': 'b', 'kappa': 0.3}]
    """
    first, second = np.triu_indices(len(names), k=1)
    picked = {name: matrix[first, second] for name, matrix in values.items()}
    return pd.DataFrame({"classifier": np.array(names)[first], "other": np.array(names)[second]} | picked)


def mean_gains(differences: pd.DataFrame) -> pd.DataFrame:
    """How much more accurate classifiers are on the images of their A_i than on each baseline, averaged over them.

    Args:
        differences: As from ``paired_differences``: columns ``minus``, ``estimate``, ``lower``, ``upper``.

    Returns:
        Columns ``minus`` (the baseline), ``classifiers``, ``mean`` and ``clear`` (how many of the intervals do not
        contain 0).

    Example:
        >>> from tests.stats.example import example_predictions, example_sample
        >>> from stats.intervals import paired_differences
        >>> mean_gains(paired_differences(example_predictions(), example_sample())).round(2).to_numpy().tolist()
        [['original', 3, 0.22, 1]]
    """
    clear = (differences["lower"] > 0) | (differences["upper"] < 0)
    grouped = differences.assign(clear=clear).groupby("minus", sort=False)
    table = grouped.agg(classifiers=("estimate", "size"), mean=("estimate", "mean"), clear=("clear", "sum"))
    return table.reset_index()


def noise_means(table: pd.DataFrame) -> pd.DataFrame:
    """The accuracy of each classifier under noise, averaged over all strengths above 0.

    Args:
        table: As from ``accuracy_under_noise``: columns ``source``, ``classifier``, ``epsilon``, ``accuracy``.

    Returns:
        Columns ``classifier``, ``original``, ``pretrained`` and ``own`` (its A_i); NaN where one was not measured.

    Example:
        >>> rows = [("original", "a", 0.0, 0.9), ("original", "a", 0.5, 0.4), ("a", "a", 0.5, 0.6)]
        >>> noise_means(pd.DataFrame(rows, columns=["source", "classifier", "epsilon", "accuracy"])).to_dict("records")
        [{'classifier': 'a', 'original': 0.4, 'pretrained': nan, 'own': 0.6}]
    """
    source = table["source"].where(table["source"] != table["classifier"], "own")
    noisy = table.assign(source=source)[table["epsilon"] > 0]
    wide = noisy.pivot_table("accuracy", "classifier", "source", sort=False)
    return wide.reindex(columns=[ORIGINAL, PRETRAINED, "own"]).reset_index().rename_axis(columns=None)


def _averaged(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """One row for each combination of keys, in order of appearance: the mean over the rows that share it."""
    return table.groupby(keys, sort=False, as_index=False).mean()
