"""Where it is known what each classifier uses: does its autoencoder keep that, and only that?"""

import numpy as np
import pandas as pd

from analysis.intervals.bootstrap import FloatArray
from analysis.intervals.study import Sample, rates_of
from analysis.verdicts import Verdicts

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


def separation(verdicts: Verdicts, sample: Sample) -> pd.DataFrame:
    """How far autoencoders serve readers of their own cue and not readers of other cues.

    Args:
        verdicts: The study's; its classifiers are asked at least two different questions, one of them twice.
        sample: Of ``verdicts.top1``.

    Returns:
        Rows ``same cue`` (mean RRC over pairs of different classifiers with the same question), ``other cue`` (with
        disjoint questions), ``guessing`` (the RRC of readers of other cues that guess), ``separation`` (same cue minus
        other cue), and ``own kept, <classifier>`` (accuracy on its own A_i over that on the originals); columns
        ``estimate``, ``lower``, ``upper``.

    Raises:
        ValueError: If there is no pair with the same question, or none with different ones.
    """
    names = verdicts.classifiers
    columns = [verdicts.columns.index(name) for name in names]
    same, apart = pairs_of_questions([verdicts.questions[column] for column in columns])
    if not same.any() or not apart.any():
        raise ValueError(
            "cue retention needs two classifiers with the same question and two with different ones: use "
            "experiment=planted_cues"
        )
    chance = np.array([1 / len(np.unique(verdicts.labels[:, column])) for column in columns])
    rates, rows = rates_of(verdicts, sample), sample.places(names)
    [original] = sample.places(["original"])

    def statistic(accuracy: FloatArray) -> FloatArray:
        rrc, own = rates(accuracy), accuracy[..., rows, columns]
        floor = chance / np.minimum(own[..., :, None], own[..., None, :])
        served, others, guessed = (
            (values * mask).sum(axis=(-2, -1)) / mask.sum()
            for values, mask in ((rrc, same), (rrc, apart), (floor, apart))
        )
        kept = own / accuracy[..., original, columns]
        return np.concatenate([np.stack([served, others, guessed, served - others], axis=-1), kept], axis=-1)

    found = sample.interval(statistic)
    index = ["same cue", "other cue", "guessing", "separation", *(f"own kept, {name}" for name in names)]
    numbers = {"estimate": found.estimate, "lower": found.lower, "upper": found.upper}
    return pd.DataFrame(numbers, index=pd.Index(index, name="number"))
