"""Where it is known what each classifier uses: does its autoencoder keep that, and only that?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stats.bootstrap import FloatArray
from stats.intervals import Sample, rates_of
from stats.predictions import Predictions

ENDS = ("estimate", "lower", "upper")
ROWS = ("same cue", "other cue", "guessing", "separation")
TOGETHER = " × "  # between the cues of a question that needs several


def pairs_of_questions(questions: list[str]) -> tuple[FloatArray, FloatArray]:
    """Which pairs of classifiers are asked the same, and which are asked for cues that have nothing in common.

    Args:
        questions: What each of n classifiers is asked; cues that are needed together are joined by `` × ``.

    Returns:
        Two masks ``(n, n)``, 0 or 1: different classifiers with the same question, and with disjoint ones. A cue and a
        combination that holds it are neither.
    """
    cues = [frozenset(question.split(TOGETHER)) for question in questions]
    same = np.array([[float(one == other) for other in cues] for one in cues])
    apart = np.array([[float(not one & other) for other in cues] for one in cues])
    return same - np.eye(len(cues)), apart


def separation(predictions: Predictions, sample: Sample) -> pd.DataFrame:
    """How far autoencoders serve readers of their own cue and not readers of other cues.

    Args:
        predictions: The study's; its classifiers are asked at least two different questions, one of them twice.
        sample: Of ``predictions.top1``.

    Returns:
        Rows ``same cue`` (mean RRC over pairs of different classifiers with the same question), ``other cue`` (with
        disjoint questions), ``guessing`` (the RRC of readers of other cues that guess), ``separation`` (same cue minus
        other cue), and ``own kept, <classifier>`` (accuracy on its own A_i over that on the originals); columns
        ``estimate``, ``lower``, ``upper``.

    Raises:
        ValueError: If there is no pair with the same question, or none with different ones.
    """
    names = predictions.classifiers
    columns = [predictions.columns.index(name) for name in names]
    same, apart = pairs_of_questions([predictions.questions[column] for column in columns])
    if not same.any() or not apart.any():
        raise ValueError(
            "cue retention needs two classifiers with the same question and two with different ones: use "
            "experiment=planted_cues"
        )
    chance = np.array([1 / len(np.unique(predictions.labels[:, column])) for column in columns])
    rates, rows = rates_of(predictions, sample), sample.places(names)
    [original] = sample.places(["original"])

    def served(accuracy: FloatArray) -> FloatArray:
        rrc, own = rates(accuracy), accuracy[..., rows, columns]
        floor = divided(chance, np.minimum(own[..., :, None], own[..., None, :]))
        alike, others, guessed = (
            np.where(mask > 0, values, 0).sum(axis=(-2, -1)) / mask.sum()
            for values, mask in ((rrc, same), (rrc, apart), (floor, apart))
        )
        return np.stack([alike, others, guessed, alike - others], axis=-1)

    pairs = sample.interval(served)
    numbers = {name: [getattr(pairs, end)[place] for end in ENDS] for place, name in enumerate(ROWS)}
    for name, row, column in zip(names, rows, columns, strict=True):
        if sample.means[original, column] > 0:  # else there is nothing to keep
            ratio = Ratio((row, column), (original, column))
            numbers[f"own kept, {name}"] = [getattr(sample.interval(ratio), end)[0] for end in ENDS]
    return pd.DataFrame.from_dict(numbers, orient="index", columns=list(ENDS)).rename_axis("number")


def served_readers(probes: pd.DataFrame) -> dict[str, float]:
    """What readers trained on each autoencoder's images read of the classifier's cue, and of other cues.

    Args:
        probes: Columns ``source``, ``classifier``, ``question`` and ``accuracy``, as ``task=probe`` writes them.

    Returns:
        ``readers, same cue`` and ``readers, other cue``: mean accuracy over that on the originals, over pairs of an
        autoencoder and a classifier with the same question (its own, too) and with disjoint ones; ``readers,
        originals``: the least accuracy on the originals.
    """
    asked = probes.drop_duplicates("classifier").set_index("classifier")["question"]
    table = probes.pivot_table("accuracy", "source", "classifier", sort=False)[list(asked.index)]
    same, apart = pairs_of_questions(list(asked))
    original = table.loc["original"]
    shares = (table.loc[list(asked.index)] / original).to_numpy()
    alike = same + np.eye(len(asked))
    return {
        "readers, same cue": float((shares * alike).sum() / alike.sum()),
        "readers, other cue": float((shares * apart).sum() / apart.sum()),
        "readers, originals": float(original.to_numpy().min()),
    }


@dataclass(frozen=True)
class Ratio:
    """The statistic that divides one accuracy by another; each is a row and a column."""

    of: tuple[int, int]
    to: tuple[int, int]

    def __call__(self, accuracy: FloatArray) -> FloatArray:
        """From accuracies ``(..., S, C)`` to ratios ``(..., 1)``; infinite where the second is 0."""
        return divided(accuracy[(..., *self.of)], accuracy[(..., *self.to)])[..., None]


def divided(one: FloatArray, other: FloatArray) -> FloatArray:
    """A quotient, infinite or no number where the divisor is 0: such resamples are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(one / other)
