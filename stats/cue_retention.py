"""Planted cues: does the autoencoder of a classifier keep the cue that the classifier uses, and no other cue?"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from stats.arrays import FloatArray
from stats.intervals import Sample, rates_of
from stats.names import ORIGINAL
from stats.predictions import Predictions

ENDS = ("estimate", "lower", "upper")
ROWS = ("same cue", "other cue", "guessing", "separation")
TOGETHER = " × "  # between the cues of a label that needs several


def pairs_by_labels(label_sets: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    r"""Which pairs of classifiers use the same cue, and which use cues that have nothing in common.

    .. math:: \{ (i, j) : i \ne j, \; C_i = C_j \}, \qquad \{ (i, j) : C_i \cap C_j = \emptyset \}

    where :math:`C_i` is the set of cues that the labels of classifier :math:`i` need.

    Args:
        label_sets: The labels of each of n classifiers, named by their cue; cues that are needed together are joined
            by `` × ``.

    Returns:
        Two masks ``(n, n)``, 0 or 1: different classifiers with the same labels, and classifiers without a common cue.
        A cue and a combination that contains it are neither.

    Example:
        >>> same, apart = pairs_by_labels(["colour", "colour", "shape"])
        >>> same.tolist(), apart.tolist()
        ([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    """
    cues = [frozenset(labels.split(TOGETHER)) for labels in label_sets]
    same = np.array([[float(one == other) for other in cues] for one in cues])
    apart = np.array([[float(not one & other) for other in cues] for one in cues])
    return same - np.eye(len(cues)), apart


def separation(predictions: Predictions, sample: Sample) -> pd.DataFrame:
    r"""How much more autoencoders keep of their classifier's cue than of other cues.

    .. math::
        \frac{1}{|P|} \sum_{(i, j) \in P} \mathrm{RRC}_{ij} - \frac{1}{|Q|} \sum_{(i, j) \in Q} \mathrm{RRC}_{ij}

    where :math:`\mathrm{RRC}_{ij}` is the relative rate of change of classifier :math:`j` on the reconstructions of
    :math:`A_i`, :math:`P` the pairs of different classifiers with the same labels, and :math:`Q` the pairs without a
    common cue.

    Args:
        predictions: The study's; its classifiers have at least two different label sets, one of them twice.
        sample: Of ``predictions.top1``.

    Returns:
        Rows ``same cue`` (the first mean), ``other cue`` (the second), ``guessing`` (the second, if classifier
        :math:`j` guessed), ``separation`` (the difference), and ``own kept, <classifier>`` (accuracy on its own A_i
        divided by that on the originals); columns ``estimate``, ``lower``, ``upper``.

    Raises:
        ValueError: If there is no pair with the same labels, or none with different ones.

    Example:
        >>> from dataclasses import replace
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions = replace(example_predictions(), label_sets=["colour", "colour", "shape"])
        >>> separation(predictions, example_sample())["estimate"].head(4).round(2).to_dict()
        {'same cue': 0.75, 'other cue': 0.71, 'guessing': 0.5, 'separation': 0.04}
    """
    names, columns = predictions.classifiers, predictions.classifier_columns
    same, apart = pairs_by_labels([predictions.label_sets[column] for column in columns])
    if not same.any() or not apart.any():
        raise ValueError(
            "cue retention needs two classifiers with the same labels and two with different ones: use "
            "experiment=planted_cues"
        )
    chance = np.array([1 / len(np.unique(predictions.labels[:, column])) for column in columns])
    rates, rows = rates_of(predictions, sample), sample.positions(names)
    [original] = sample.positions([ORIGINAL])

    def pair_means(accuracy: FloatArray) -> FloatArray:
        rrc, diagonal = rates(accuracy), accuracy[..., rows, columns]
        guessed = _quotient(chance, np.minimum(diagonal[..., :, None], diagonal[..., None, :]))
        means = [
            np.where(mask > 0, values, 0).sum(axis=(-2, -1)) / mask.sum()
            for values, mask in ((rrc, same), (rrc, apart), (guessed, apart))
        ]
        return np.stack([*means, means[0] - means[1]], axis=-1)

    pairs = sample.interval(pair_means).columns()
    numbers = {name: [pairs[end][position] for end in ENDS] for position, name in enumerate(ROWS)}
    for name, row, column in zip(names, rows, columns, strict=True):
        if sample.means[original, column] > 0:  # a classifier that is never right has nothing to keep
            kept = sample.interval(partial(_ratio, of=(row, column), to=(original, column))).columns()
            numbers[f"own kept, {name}"] = [kept[end][0] for end in ENDS]
    return pd.DataFrame.from_dict(numbers, orient="index", columns=list(ENDS)).rename_axis("number")


def cue_tables(predictions: Predictions, sample: Sample) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cue retention and the pairs behind it; both are empty in a study that has no such pairs.

    Args:
        predictions: The study's.
        sample: Of ``predictions.top1``.

    Returns:
        As :func:`separation`, with the column ``number``; and columns ``autoencoder``, ``classifier``, ``cue`` (``same
        cue`` or ``other cue``), ``rrc``.

    Example:
        >>> from dataclasses import replace
        >>> from tests.stats.example import example_predictions, example_sample
        >>> predictions = replace(example_predictions(), label_sets=["colour", "colour", "shape"])
        >>> cue_tables(predictions, example_sample())[1].round(2).to_numpy().tolist()[:3]
        [['a', 'b', 'same cue', 0.67], ['a', 'c', 'other cue', 0.83], ['b', 'a', 'same cue', 0.83]]
    """
    names = predictions.classifiers
    same, apart = pairs_by_labels([predictions.label_sets[column] for column in predictions.classifier_columns])
    columns = ["autoencoder", "classifier", "cue", "rrc"]
    if not same.any() or not apart.any():
        return pd.DataFrame(columns=["number", *ENDS]), pd.DataFrame(columns=columns)
    rrc = rates_of(predictions, sample)(sample.means)
    rows = [
        (names[i], names[j], "same cue" if same[i, j] else "other cue", rrc[i, j]) for i, j in np.argwhere(same + apart)
    ]
    return separation(predictions, sample).reset_index(), pd.DataFrame(rows, columns=columns)


def probe_retention(probes: pd.DataFrame) -> dict[str, float]:
    r"""How much of a classifier's cue, and of other cues, probes still recognise in each autoencoder's images.

    .. math:: \frac{1}{|P|} \sum_{(i, j) \in P} \frac{a_{ij}}{a_{0j}}

    where :math:`a_{ij}` is the accuracy of a probe that was trained on the reconstructions of :math:`A_i` with the
    labels of classifier :math:`j`, :math:`a_{0j}` that of one trained on the originals, and :math:`P` a set of pairs.

    Args:
        probes: Columns ``source``, ``classifier``, ``labels`` (their name) and ``accuracy``, as
            ``task=probe`` writes them.

    Returns:
        ``readers, same cue`` and ``readers, other cue``: the mean over pairs with the same labels (:math:`i = j`, too)
        and without a common cue; ``readers, originals``: the smallest accuracy on the originals.

    Example:
        >>> rows = [("original", "a", "colour", 1.0), ("a", "a", "colour", 0.9), ("b", "a", "colour", 0.3),
        ...         ("original", "b", "shape", 0.8), ("a", "b", "shape", 0.2), ("b", "b", "shape", 0.8)]
        >>> probes = pd.DataFrame(rows, columns=["source", "classifier", "labels", "accuracy"])
        >>> {name: round(value, 3) for name, value in probe_retention(probes).items()}
        {'readers, same cue': 0.95, 'readers, other cue': 0.275, 'readers, originals': 0.8}
    """
    label_sets = probes.drop_duplicates("classifier").set_index("classifier")["labels"]
    table = probes.pivot_table("accuracy", "source", "classifier", sort=False)[list(label_sets.index)]
    same, apart = pairs_by_labels(list(label_sets))
    same = same + np.eye(len(label_sets))
    original = table.loc[ORIGINAL]
    shares = (table.loc[list(label_sets.index)] / original).to_numpy()
    return {
        "readers, same cue": float((shares * same).sum() / same.sum()),
        "readers, other cue": float((shares * apart).sum() / apart.sum()),
        "readers, originals": float(original.to_numpy().min()),
    }


def _ratio(accuracy: FloatArray, of: tuple[int, int], to: tuple[int, int]) -> FloatArray:
    """The accuracy at one row and column divided by that at another: ``(..., 1)`` of accuracies ``(..., S, C)``."""
    return _quotient(accuracy[(..., *of)], accuracy[(..., *to)])[..., None]


def _quotient(one: FloatArray, other: FloatArray) -> FloatArray:
    """A quotient, infinite or NaN where the divisor is 0: such resamples are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(one / other)
