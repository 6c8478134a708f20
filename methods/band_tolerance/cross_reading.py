"""What passes the channel of each classifier, classified by all: matrix, order, and whether the order is explained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from methods.band_tolerance.evaluation import Passed
from methods.band_tolerance.measures import Measured, band_bits
from methods.band_tolerance.rows import COMMON, Row, at_compared
from stats.arrays import FloatArray
from stats.intervals import Resampling, Sample, accuracy_intervals, finite_tables, rates_of, rrc_intervals
from stats.names import ORIGINAL
from stats.order import order_document
from stats.order_agreement import law_agreement, order_agreement
from stats.order_certainty import order_certainty
from stats.predictions import Predictions
from stats.rate_retention import off_diagonal
from study.folder import seeded

KEYS = ["source", "classifier"]


def cross_predictions(
    passed: Passed,
    rows: Sequence[Row],
    compared: float,
    names: Sequence[str],
    controls: Sequence[str],
    label_sets: Sequence[str],
    labelled: bool,
) -> Predictions:
    """The rows that all classifiers see, as the predictions of a study.

    Args:
        passed: Predictions for what passes.
        rows: What each of its rows is.
        compared: The tolerance at which all see what passes, in nats.
        names: All classifiers.
        controls: Those that are controls.
        label_sets: Name of the labels of each classifier.
        labelled: Whether the labels are right, not the decisions on the originals.
    """
    shared = at_compared(rows, compared)
    right = passed.labels if labelled else passed.decisions
    predicted = np.concatenate([passed.decisions[:, None], passed.predicted[:, shared]], axis=1)
    sources = [ORIGINAL, *(rows[number].classifier for number in shared)]
    return Predictions(
        rows=[ORIGINAL, *(seeded(rows[number].classifier, rows[number].seed) for number in shared)],
        sources=sources,
        columns=list(names),
        controls=list(controls),
        label_sets=list(label_sets),
        index=passed.index,
        labels=right,
        predicted=predicted,
        top1=predicted == right[:, None],
    )


def cross_reading_table(predictions: Predictions, sample: Sample, law: pd.DataFrame) -> pd.DataFrame:
    """Every cell of the matrix with its interval, RRC with its interval, and what the spectra predict.

    Returns:
        Columns ``source`` (the classifier of the channel, or ``original``), ``classifier``, ``retention`` (share of
        images with the right class, which is the decision on the original or the label), ``retention_lower``,
        ``retention_upper``, ``rrc``, ``rrc_lower``, ``rrc_upper``, ``predicted_rrc`` and ``dominance``; NaN where a
        number is not defined.
    """
    retention = renamed(accuracy_intervals(predictions, sample, predictions.top1), "retention")
    if law.empty:
        return retention
    rates = renamed(rrc_intervals(predictions, sample), "rrc")
    return retention.merge(rates, how="left", on=KEYS).merge(law, how="left", on=KEYS)


def renamed(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Estimates with their intervals under another name."""
    ends = {"estimate": name, "lower": f"{name}_lower", "upper": f"{name}_upper"}
    return table.rename(columns=ends | {"autoencoder": "source"})[[*KEYS, *ends.values()]]


def law_table(passed: Passed, rows: Sequence[Row], predictions: Predictions, dominances: FloatArray) -> pd.DataFrame:
    r"""What the spectra of two networks predict for the relative rate of change.

    ``predicted_rrc`` is the RRC of classifier j, if what the channel of i lets through serves j as far as the channel
    of j lets it through, too: j's retention at :math:`\min(\rho_i, \rho_j)`, band by band, divided by the smaller of
    both retentions on their own channels. ``dominance`` is of the spectra alone, see
    :func:`stats.rate_retention.dominance`.

    Args:
        passed: Predictions for what passes.
        rows: What each of its rows is.
        predictions: Of the rows that all see.
        dominances: Result of :func:`stats.rate_retention.dominance`, ``(n, n)``.

    Returns:
        Columns ``source``, ``classifier``, ``predicted_rrc``, ``dominance``, for all ordered pairs of different
        classifiers; ``predicted_rrc`` is NaN where the common channels were not evaluated.
    """
    names = predictions.classifiers
    columns = {name: predictions.column(name) for name in names}
    own = {name: predictions.top1[:, predictions.rows_of(name)[0], column].mean() for name, column in columns.items()}
    common: dict[tuple[str, str], float] = {}
    for number, row in enumerate(rows):
        if row.kind != COMMON:
            continue
        pair = [predictions.columns[column] for column in row.readers]
        for source, reader, column in zip(pair, reversed(pair), reversed(row.readers), strict=True):
            kept = passed.predicted[:, number, column] == predictions.labels[:, column]
            smaller = min(own[source], own[reader])
            common[source, reader] = float(kept.mean() / smaller) if smaller > 0 else np.nan
    return pd.DataFrame(
        [
            (source, reader, common.get((source, reader), np.nan), dominances[i, j])
            for i, source in enumerate(names)
            for j, reader in enumerate(names)
            if i != j
        ],
        columns=[*KEYS, "predicted_rrc", "dominance"],
    )


def band_matrix(measured: Measured, names: Sequence[str], compared: float) -> FloatArray:
    """The bits of each classifier in each band and colour at the compared tolerance, ``(n, bands * 3)``; first seed."""
    rows = [measured.rows[number] for number in at_compared(measured.rows, compared)]
    first = {row.classifier: row for row in reversed(rows)}
    return np.stack(
        [band_bits(first[name], measured.powers[str(first[name].fitted.wavelet)]).ravel() for name in names]
    )


def cross_document(
    predictions: Predictions, sample: Sample, law: pd.DataFrame, other: Predictions | None, how: Resampling
) -> dict[str, Any]:
    """The order at every threshold, how sure it is, whether spectra explain it, and whether autoencoders agree.

    Args:
        predictions: Of the rows that all classifiers see.
        sample: Of its ``top1``.
        law: Result of :func:`law_table`.
        other: The predictions of the study's autoencoders for the same images, if there are any.
        how: How the images are resampled.

    Returns:
        ``order`` (:func:`stats.order.order_document`), ``certainty`` (:func:`stats.order_certainty.order_certainty`),
        ``law`` (``predicted_rrc`` and ``dominance``: rank correlation with RRC) and ``autoencoders``
        (:func:`stats.order_agreement.order_agreement`, with their mean RRC); each ``None`` where there is nothing to
        compare, with the reason in ``no_order``.
    """
    names = predictions.classifiers
    document: dict[str, Any] = {"no_order": None, "order": None, "certainty": None, "law": None, "autoencoders": None}
    square = np.ix_(sample.positions(names), predictions.classifier_columns)
    table = pd.DataFrame(sample.means[square], index=names, columns=names)
    if reason := why_no_order(table):
        return document | {"no_order": reason}
    rates = rates_of(predictions, sample)
    rrc, resampled = rates(sample.means), rates(sample.resampled)
    document |= {"order": order_document(table), "certainty": order_certainty(predictions, sample)}
    finite = finite_tables(resampled)
    matrices = {
        name: law.pivot(index="source", columns="classifier", values=name).loc[names, names].to_numpy(dtype=float)
        for name in ("predicted_rrc", "dominance")
    }
    document["law"] = {
        name: law_agreement(values, rrc, finite, how.level)
        for name, values in matrices.items()
        if np.isfinite(off_diagonal(values)).all()
    }
    if other is not None and other.classifiers == names:
        autoencoders = Sample(other.top1, other.sources, how)
        others = rates_of(other, autoencoders)
        theirs = others(autoencoders.resampled)
        both = np.isfinite(resampled).all(axis=(1, 2)) & np.isfinite(theirs).all(axis=(1, 2))
        means = others(autoencoders.means)
        document["autoencoders"] = order_agreement(rrc, resampled[both], means, theirs[both], how.level)
        document["autoencoders"]["mean_rrc"] = dict(zip(names, means.mean(axis=0).tolist(), strict=True))
        document["autoencoders"]["order"] = order_document(
            pd.DataFrame(
                autoencoders.means[np.ix_(autoencoders.positions(names), other.classifier_columns)], names, names
            )
        )["widest"]
    document["mean_rrc"] = dict(zip(names, rrc.mean(axis=0).tolist(), strict=True))
    return document


def why_no_order(table: pd.DataFrame) -> str | None:
    """Why the classifiers of a square table have no order, in words; ``None`` if they have one."""
    if len(table) < 2:
        return "there is one classifier"
    never = [name for name, kept in zip(table.index, np.diag(table), strict=True) if kept <= 0]
    return f"{never[0]} keeps no decision on its own channel" if never else None


def of_images(predictions: Predictions, index: np.ndarray) -> Predictions | None:
    """The predictions of a study for some images, or ``None`` if it lacks one of them."""
    positions = {int(image): number for number, image in enumerate(predictions.index)}
    if any(int(image) not in positions for image in index):
        return None
    chosen = [positions[int(image)] for image in index]
    return Predictions(
        rows=predictions.rows, sources=predictions.sources, columns=predictions.columns, controls=predictions.controls,
        label_sets=predictions.label_sets, index=predictions.index[chosen], labels=predictions.labels[chosen],
        predicted=predictions.predicted[chosen], top1=predictions.top1[chosen],
    )  # fmt: skip
